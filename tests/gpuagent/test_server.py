"""The agent's endpoints: healthy whatever the GPUs do, but for what a restart mends."""

import aiohttp
import pytest

from flyball.gpuagent.nvml import code_of
from flyball.gpuagent.server import serve
from flyball.gpuagent.watch import Watch


async def _get(port: int, path: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, answer.headers["Content-Type"], await answer.text()


@pytest.mark.parametrize(
    ("lines", "status", "said"),
    [
        pytest.param((), 200, "Running: 1 GPU read\n", id="a GPU"),
        pytest.param(("gpus 0",), 200, "NoGpu: this node has no NVIDIA GPU", id="none"),
        pytest.param((f"fail * {code_of('DRIVER_NOT_LOADED')} -1",), 200, "NoDriver: ", id="no driver"),
        pytest.param((f"fail * {code_of('GPU_IS_LOST')} 0",), 200, "Running: 0 of 1 GPUs read: GPU 0", id="a lost GPU"),
        pytest.param((f"fail * {code_of('LIB_RM_VERSION_MISMATCH')} -1",), 500, "VersionMismatch: ", id="a new driver"),
    ],
)
async def test_health_says_what_is_the_matter(gpus, sampler, lines, status, said):
    gpus.write(*lines)
    watch = Watch(sampler, None, 3600.0, 3600.0)
    async with serve(("127.0.0.1", 0), watch, "node-a") as port:
        watch.sweep()
        watch.start()
        told = await _get(port, "/healthz")
        watch.stop(patience_seconds=60)
    assert (told[0], told[2].startswith(said)) == (status, True), told


async def test_without_the_thread_that_sweeps_it_is_not_healthy(sampler):
    async with serve(("127.0.0.1", 0), Watch(sampler, None, 5.0, 15.0), "node-a") as port:
        assert (await _get(port, "/healthz"))[0] == 500


async def test_metrics_come_in_prometheus_text_format_with_those_of_the_process(sampler):
    watch = Watch(sampler, None, 5.0, 15.0)
    watch.sweep()
    async with serve(("127.0.0.1", 0), watch, "node-a") as port:
        status, kind, text = await _get(port, "/metrics")
    assert (status, kind.split(";")[0]) == (200, "text/plain")
    assert "DCGM_FI_DEV_GPU_UTIL{" in text
    assert "# TYPE process_cpu_seconds_total counter" in text
