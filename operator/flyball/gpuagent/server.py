"""The agent's HTTP endpoints: /metrics, and /healthz, which fails only for what a restart mends.

A node without a GPU, a driver that is gone and a call that hangs are states to report, not reasons to be restarted:
each is answered with 200 and said in words.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from flyball.gpuagent.exporter import SweepCollector, exposition
from flyball.gpuagent.readings import AgentState
from flyball.gpuagent.watch import Watch


@asynccontextmanager
async def serve(address: tuple[str, int], watch: Watch, node_name: str) -> AsyncIterator[int]:
    """Serve while the context lasts; yields the port. Raises OSError when the address cannot be bound."""
    registry = CollectorRegistry()
    registry.register(SweepCollector(watch, node_name))
    ProcessCollector(registry=registry)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=exposition(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        snapshot = watch.look()
        # A process keeps the library that it has loaded: only a new one gets the library of the new driver.
        healthy = watch.alive and snapshot.state is not AgentState.VERSION_MISMATCH
        return web.Response(status=200 if healthy else 500, text=f"{snapshot.state}: {snapshot.message}\n")

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, *address)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
