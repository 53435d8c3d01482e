"""The command line: bad options are explained, and SIGTERM ends the process well."""

import asyncio
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner
from flyball_cluster.ports import free_ports

from flyball.lab.modelserver.command import modelserver
from flyball.lab.modelserver.config import ModelServerConfig


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        pytest.param(["--preset", "tpu"], {}, "no engine preset 'tpu'; choose one of h100_8b", id="unknown preset"),
        pytest.param(
            [], {"FLYBALL_MODELSERVER_PRESET": "tpu"}, "no engine preset 'tpu'", id="preset from the environment"
        ),
        pytest.param(["--gpu-model", "TPU"], {}, "no accelerator 'TPU'", id="unknown accelerator"),
        pytest.param(["--gpus", "0"], {}, "gpus is 0", id="no GPU"),
        pytest.param(["--startup-seconds", "-1"], {}, "startup_seconds is -1", id="ready before the start"),
        pytest.param(["--model-name", ""], {}, "model_name is empty", id="a model without name"),
        pytest.param(["--max-model-len", "99999999"], {}, "must lie between 2 and", id="longer than the KV cache"),
        pytest.param(["--parameters", "missing.yaml"], {}, "missing.yaml", id="no such file"),
        pytest.param(["--host", "203.0.113.1", "--port", "1"], {}, "203.0.113.1", id="an address that is not ours"),
    ],
)
def test_bad_options_end_with_one_line(arguments: list[str], environment: dict[str, str], message: str) -> None:
    result = CliRunner().invoke(modelserver, arguments, env=environment)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


async def test_sigterm_drains_and_exits_0(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    parameters = tmp_path / "engine.json"
    parameters.write_text(
        '{"baseMs": 1, "perSequenceMs": 0, "perContextTokenMs": 0, "perPrefillTokenMs": 0,'
        ' "kvTokens": 4096, "maxBatch": 8, "maxBatchedTokens": 512}'
    )
    arguments = ["--parameters", str(parameters), "--host", "127.0.0.1", "--port", str(port)]
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "flyball.lab.modelserver", *arguments)
    url = f"http://127.0.0.1:{port}"
    async with asyncio.timeout(100), aiohttp.ClientSession() as session:
        while await health(session, url) != 200:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.05)
        body = {"prompt": [1], "max_tokens": 300, "ignore_eos": True, "stream": True}
        async with session.post(f"{url}/v1/completions", json=body) as response:
            await response.content.readline()
            process.send_signal(signal.SIGTERM)
            assert (await response.text()).endswith("data: [DONE]\n\n")
        assert await process.wait() == 0


async def health(session: aiohttp.ClientSession, url: str) -> int | None:
    try:
        async with session.get(f"{url}/health") as response:
            return response.status
    except aiohttp.ClientError:
        return None


@pytest.mark.parametrize("change", [{"max_model_len": 1}, {"drain_seconds": float("nan")}])
def test_impossible_configurations_are_refused_by_name(config: ModelServerConfig, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(config, **change)
