"""Prints what a Dynamo worker exports on its system port: ten requests that it has answered, and two that it works on.

Run by `e2e.exporters` with the packages of its own virtual environment. The worker's engine is a function of ours, so
that the series are the runtime's own; a real worker passes its engine's on beside them.
"""

import asyncio
import importlib
import os
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any


def free_port() -> int:
    """Below those that the kernel gives: Dynamo reads the number as 16 bits with a sign."""
    for port in range(21_000, 32_000):
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise SystemExit("no port from 21000 to 32000 is free")


PORT = free_port()
os.environ |= {"DYN_SYSTEM_PORT": str(PORT), "DYN_SYSTEM_HOST": "127.0.0.1", "DYN_SYSTEM_ENABLED": "true"}

# It reads the environment when it is loaded.
DistributedRuntime = importlib.import_module("dynamo.runtime").DistributedRuntime

STEP_SECONDS, PATIENCE_SECONDS = 0.05, 300.0


async def generate(request: Any) -> AsyncIterator[dict[str, Any]]:
    for token in range(request["tokens"]):
        await asyncio.sleep(STEP_SECONDS)
        yield {"token_ids": [token]}


async def read(client: Any, tokens: int) -> None:
    async for _ in await client.round_robin({"tokens": tokens}):
        continue


def exported() -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=60) as answer:
        return str(answer.read().decode())


async def main() -> None:
    runtime = DistributedRuntime(asyncio.get_running_loop(), "mem", "tcp", event_plane="zmq")
    endpoint = runtime.endpoint("dynamo.backend.generate")
    labels = [("model", "llama-3-8b")]
    serving = asyncio.ensure_future(endpoint.serve_endpoint(generate, metrics_labels=labels))
    client = await endpoint.client()
    await asyncio.wait_for(client.wait_for_instances(), PATIENCE_SECONDS)
    for _ in range(10):
        await read(client, 5)
    working = [asyncio.ensure_future(read(client, 2000)) for _ in range(2)]
    await asyncio.sleep(1)
    sys.stdout.write(await asyncio.to_thread(exported))
    sys.stdout.flush()
    for each in (*working, serving):
        each.cancel()
    os._exit(0)  # The runtime waits for requests that nobody reads.


asyncio.run(main())
