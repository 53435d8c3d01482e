"""`python -m flyball.lab.modelserver.bench`: processor time and memory of a model server under concurrent streams.

A server of its own in a subprocess on loopback, and a closed loop of clients that only count bytes, so that both fit on
two cores. Reads the server's processor time from /proc, hence Linux only.
"""

import asyncio
import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
from typing_extensions import override

from flyball.lab.modelserver.process import ServerProcess, model_server

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Reading:
    """The server's totals at one moment."""

    at_seconds: float
    processor_seconds: float
    tokens: float
    running: float
    peak_lag_seconds: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What serving took while it was measured."""

    running: float
    """Requests in the batch at the end."""
    tokens_per_second: float
    core_share: float
    resident_mib: float
    peak_lag_seconds: float
    """The most by which an iteration ended late."""

    @override
    def __str__(self) -> str:
        return (
            f"{self.running:.0f} in the batch, {self.tokens_per_second:.0f} tokens/s, {self.core_share:.1%} of a core, "
            f"{self.resident_mib:.0f} MiB resident, peak lag {self.peak_lag_seconds * 1000:.0f} ms"
        )


class Client(asyncio.Protocol):
    """Keeps one stream open: when an answer ends, asks again."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            transport.write(self._request)

    @override
    def data_received(self, data: bytes) -> None:
        if self._transport is not None and data.endswith(b"0\r\n\r\n"):
            self._transport.write(self._request)


def _request(prompt_tokens: int, output_tokens: int, client: int) -> bytes:
    prompt = [client] * prompt_tokens
    body = {"prompt": prompt, "max_tokens": output_tokens, "ignore_eos": True, "stream": True, "cached_tokens": 0}
    payload = json.dumps(body).encode()
    return b"POST /v1/completions HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%b" % (len(payload), payload)


def _processor_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


async def _read(server: ServerProcess) -> Reading:
    processor_seconds = _processor_seconds(server.pid)
    samples = await server.metrics()
    return Reading(
        asyncio.get_running_loop().time(),
        processor_seconds,
        samples["vllm:generation_tokens_total"],
        samples["vllm:num_requests_running"],
        samples["flyball_modelserver_peak_lag_seconds"],
    )


async def measure(preset: str, streams: int, tokens: tuple[int, int], seconds: float) -> Cost:
    """Serve that many streams for so long, requests of so many prompt and output tokens each."""
    loop = asyncio.get_running_loop()
    async with model_server("--preset", preset) as server:
        for client in range(streams):
            await loop.create_connection(partial(Client, _request(*tokens, client)), "127.0.0.1", server.port)
        await asyncio.sleep(seconds / 4)
        before = await _read(server)
        await asyncio.sleep(seconds)
        after = await _read(server)
        resident_mib = _resident_mib(server.pid)
    wall = after.at_seconds - before.at_seconds
    return Cost(
        running=after.running,
        tokens_per_second=(after.tokens - before.tokens) / wall,
        core_share=(after.processor_seconds - before.processor_seconds) / wall,
        resident_mib=resident_mib,
        peak_lag_seconds=after.peak_lag_seconds,
    )


@click.command(context_settings={"show_default": True})
@click.option("--preset", default="a100_8b", help="Engine preset.")
@click.option("--streams", default=300, help="Concurrent clients.")
@click.option("--prompt-tokens", default=1154, help="Of each request.")
@click.option("--output-tokens", default=211, help="Of each request.")
@click.option("--seconds", default=20.0, help="Time measured, after a quarter of it to warm up.")
def bench(preset: str, streams: int, prompt_tokens: int, output_tokens: int, seconds: float) -> None:
    """Print what a model server costs."""
    cost = asyncio.run(measure(preset, streams, (prompt_tokens, output_tokens), seconds))
    click.echo(f"{preset}: {streams} streams, {cost}")


if __name__ == "__main__":
    bench()
