"""Prints what Triton's own server exports after ten requests of a Python model, with its histograms switched on.

Run by `e2e.exporters` with pytriton's files on the path, which bring a server without TensorRT-LLM's backend.
"""

import importlib.util
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

# Answers in two parts, as a language model does.
MODEL = """
import numpy
import triton_python_backend_utils as utils


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            for token in (1, 2):
                sender.send(utils.InferenceResponse([utils.Tensor("said", numpy.array([token], dtype=numpy.int32))]))
            sender.send(flags=utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
CONFIG = """
name: "tensorrt_llm"
backend: "python"
max_batch_size: 0
input [{ name: "asked" data_type: TYPE_INT32 dims: [1] }]
output [{ name: "said" data_type: TYPE_INT32 dims: [1] }]
model_transaction_policy { decoupled: true }
instance_group [{ kind: KIND_CPU }]
"""
START_SECONDS = 300.0


def fetch(url: str, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(url, body, timeout=120) as answer:
        return bytes(answer.read())


def wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            fetch(f"{url}/v2/health/ready")
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise SystemExit(f"the server did not start:\n{log.read_text()}")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def command(home: Path, models: Path, ports: tuple[int, int]) -> list[str | Path]:
    backends, stubs = home / "backends", home / "python_backend_stubs"
    stub = stubs / f"{sys.version_info.major}.{sys.version_info.minor}" / "triton_python_backend_stub"
    shutil.copy(stub, backends / "python")
    return [
        home / "bin" / "tritonserver",
        f"--model-repository={models}",
        f"--backend-directory={backends}",
        "--allow-grpc=false",
        "--allow-gpu-metrics=false",
        "--allow-cpu-metrics=false",
        "--http-address=127.0.0.1",
        f"--http-port={ports[0]}",
        f"--metrics-port={ports[1]}",
        "--metrics-config=histogram_latencies=true",
    ]


def main() -> None:
    home = Path(str(importlib.util.find_spec("pytriton").submodule_search_locations[0])) / "tritonserver"
    ports = (free_port(), free_port())
    url, metrics = (f"http://127.0.0.1:{port}" for port in ports)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "models" / "tensorrt_llm"
        (model / "1").mkdir(parents=True)
        (model / "1" / "model.py").write_text(
            f"import sys\n\nsys.path += {sys.path!r}\n{MODEL}"
        )  # It has no path of ours.
        (model / "config.pbtxt").write_text(CONFIG)
        path = Path(folder) / "log"
        with path.open("w") as log:
            server = subprocess.Popen(command(home, model.parent, ports), stdout=log, stderr=log)
            try:
                wait(url, server, path)
                for _ in range(10):
                    fetch(f"{url}/v2/models/tensorrt_llm/generate_stream", b'{"asked": 1}')
                sys.stdout.write(fetch(f"{metrics}/metrics").decode())
            finally:
                server.terminate()
                server.wait(timeout=120)


main()
