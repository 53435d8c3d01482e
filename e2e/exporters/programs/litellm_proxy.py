"""Prints what the LiteLLM proxy exports after a few calls that it answers by itself (`mock_response`).

Run by `e2e.exporters` with the packages of its own virtual environment; the proxy is that environment's `litellm`.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

KEY = "sk-none-but-the-recorder-uses-this"
CONFIG = f"""
model_list:
  - model_name: chat
    litellm_params: {{model: openai/llama-3-8b, api_key: none, mock_response: "An answer of five words."}}
  - model_name: broken
    litellm_params: {{model: openai/llama-3-8b, api_key: none, mock_response: "litellm.RateLimitError"}}
general_settings: {{master_key: {KEY}}}
litellm_settings: {{callbacks: [prometheus], num_retries: 0}}
"""
START_SECONDS = 900.0


def fetch(url: str, body: object = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=600) as answer:
        return bytes(answer.read())


def wait(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            fetch(f"{url}/health/liveliness")
        except OSError:
            time.sleep(1)
        else:
            return
    raise SystemExit("the proxy did not start")


def record(url: str) -> str:
    for model, stream in (("chat", False), ("chat", False), ("chat", True), ("chat", True), ("broken", False)):
        asked = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hello there"}]}
        try:
            fetch(f"{url}/v1/chat/completions", asked)
        except urllib.error.HTTPError as error:
            error.close()
    time.sleep(5)  # The callback counts in the background.
    return fetch(f"{url}/metrics/").decode()


def main() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(CONFIG)
        command = [Path(sys.executable).with_name("litellm"), "--config", config, "--host", "127.0.0.1"]
        allowed = {
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        with (Path(folder) / "log").open("w") as log:
            environment = {**os.environ, **allowed, "HOME": folder}
            proxy = subprocess.Popen([*command, "--port", str(port)], env=environment, stdout=log, stderr=log)
            try:
                wait(f"http://127.0.0.1:{port}")
                sys.stdout.write(record(f"http://127.0.0.1:{port}"))
            finally:
                proxy.terminate()
                proxy.wait(timeout=60)


main()
