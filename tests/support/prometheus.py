"""Workloads to read, and a stand-in for Prometheus that answers whatever a test says."""

import json
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from flyball.core.names import Indicator, Mode, Precedence, WorkloadKey
from flyball.core.spec import Objective, TargetRef, TelemetrySource, Variant, WorkloadSpec

VLLM = TelemetrySource()


def make_variant(name: str = "main", target: str = "llm", kind: str = "Deployment") -> Variant:
    return Variant(name, TargetRef("apps/v1", kind, target), 1, 10)


def make_objective(
    indicator: Indicator = Indicator.TIME_TO_FIRST_TOKEN, threshold: float | None = 1.0, window: float = 3600.0
) -> Objective:
    return Objective(f"{indicator}-{threshold}", indicator, threshold, 0.95, window)


def make_spec(
    name: str = "chat",
    namespace: str = "team-a",
    variants: tuple[Variant, ...] = (make_variant(),),
    objectives: tuple[Objective, ...] = (),
    telemetry: TelemetrySource = VLLM,
    **rest: object,
) -> WorkloadSpec:
    return WorkloadSpec(
        key=WorkloadKey(namespace, name),
        uid=name,
        generation=1,
        workload_type="Assistant",
        mode=Mode.AUTO,
        precedence=Precedence.SLO,
        priority=0,
        variants=variants,
        objectives=objectives,
        telemetry=telemetry,
        **rest,
    )


Respond = Callable[[dict[str, str]], tuple[int, dict[str, str], bytes]]
"""From a query's form to the response."""


class Stub:
    """An HTTP server that answers each query with what `answer` returns: status, headers and body."""

    def __init__(self, answer: Respond, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.released = threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                form = {key: values[0] for key, values in parse_qs(self.rfile.read(length).decode()).items()}
                stub.requests.append((self.path, dict(self.headers), form))
                status, headers, body = answer(form)
                with suppress(ConnectionError):  # some clients do not wait for a slow answer
                    self.send_response(status)
                    for name, value in ({"Content-Length": str(len(body))} | headers).items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


def vector(*rows: tuple[dict[str, str], float | str]) -> bytes:
    """The body of an instant query's answer."""
    result = [{"metric": labels, "value": [time.time(), str(value)]} for labels, value in rows]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
