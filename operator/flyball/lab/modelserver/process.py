"""A model server as a process of its own on loopback."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

_START_SECONDS = 100.0


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that listens."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def metrics(self) -> dict[str, float]:
        """The values of /metrics by name, the last of those that differ in labels only."""
        async with ClientSession() as session, session.get(f"{self.url}/metrics") as response:
            text = await response.text()
        return {
            sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples
        }

    async def peak_lag_seconds(self) -> float:
        """How late the latest iteration was handled."""
        return (await self.metrics())["flyball_modelserver_peak_lag_seconds"]


@asynccontextmanager
async def model_server(*arguments: str) -> AsyncIterator[ServerProcess]:
    """Start `flyball modelserver` with these arguments on a port of the system's choice, and stop it in the end.

    Raises OSError when it ends, or has not said where it listens, within 100 seconds.
    """
    command = (sys.executable, "-m", "flyball.lab.modelserver", "--host", "127.0.0.1", "--port", "0")
    process = await asyncio.create_subprocess_exec(
        *command, "--drain-seconds", "0", *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield ServerProcess(await _listens(process), process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _listens(process: asyncio.subprocess.Process) -> int:
    """The port in the line that the server prints when it listens."""
    if process.stdout is None:
        raise RuntimeError("the process was started without a pipe")
    try:
        async with asyncio.timeout(_START_SECONDS):
            line = (await process.stdout.readline()).decode()
    except TimeoutError:
        raise OSError(f"the model server did not listen within {_START_SECONDS:.0f} s") from None
    _, _, port = line.strip().rpartition(":")
    if not port.isdigit():
        raise OSError("the model server ended before it listened; its own message is above")
    return int(port)
