"""Prints what OpenTelemetry's own instrumentation of the OpenAI client exports after calls of a stand-in for a server.

Run by `e2e.exporters` with the packages of its own virtual environment.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from openai import OpenAI, OpenAIError
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from prometheus_client import generate_latest

ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "llama-3-8b",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}],
    "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
}


class Server(BaseHTTPRequestHandler):
    """Answers every chat, but for the model `broken`."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, body = (500, b"{}") if asked["model"] == "broken" else (200, json.dumps(ANSWER).encode())
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    reader = PrometheusMetricReader()
    provider = MeterProvider([reader], Resource.create({"service.name": "rag", "service.version": "1.2.3"}))
    set_meter_provider(provider)
    OpenAIInstrumentor().instrument()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = OpenAI(base_url=f"http://127.0.0.1:{server.server_address[1]}/v1", api_key="none", max_retries=0)
    for model in ("llama-3-8b", "llama-3-8b", "llama-3-8b", "broken"):
        try:
            client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hello"}])
        except OpenAIError:
            continue
    sys.stdout.write(generate_latest().decode())


main()
