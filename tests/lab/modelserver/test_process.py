"""A model server as a process: it listens when it says so, and ends with its context."""

import os

import aiohttp
import pytest

from flyball.lab.modelserver.process import model_server


async def test_it_serves_and_is_gone_in_the_end() -> None:
    async with model_server("--preset", "h100_8b", "--model-name", "tiny") as server:
        async with aiohttp.ClientSession() as session, session.get(f"{server.url}/v1/models") as response:
            assert (await response.json())["data"][0]["id"] == "tiny"
        assert await server.peak_lag_seconds() >= 0
        assert (await server.metrics())["vllm:num_requests_running"] == 0
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


async def test_one_that_does_not_start_is_an_error() -> None:
    with pytest.raises(OSError, match="ended before it listened"):
        async with model_server("--preset", "tpu"):
            pass
