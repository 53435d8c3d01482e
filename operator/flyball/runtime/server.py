"""The operator's own HTTP endpoints: /metrics, /healthz (a tick finished lately, or the first waits for the API
server), /readyz (mirror synced), /decisions/ID (the record of a decision, one line of JSON) and, with a ledger, POST
/outcomes (business outcomes that are pushed)."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from flyball.runtime import intake
from flyball.runtime.exporter import SnapshotCollector, Tally

# A request that is under way when the process is told to end; aiohttp would wait a minute for it.
SHUTDOWN_SECONDS = 0.2


@asynccontextmanager
async def serve(
    address: tuple[str, int],
    tally: Tally,
    ready: Callable[[], bool],
    stalled_after_seconds: float,
    find_decision: Callable[[str], bytes | None] | None = None,
    take_outcomes: Callable[[web.Request], Awaitable[web.Response]] | None = None,
) -> AsyncIterator[int]:
    """Serve while the context lasts; yields the port. Raises OSError when the address cannot be bound.

    `find_decision` gives a decision's record by its id; it may read files. None where decisions are not recorded.
    `take_outcomes` answers what is pushed to /outcomes, which is not there without it.
    """
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(tally))
    ProcessCollector(registry=registry)
    started_at = time.time()

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        age = time.time() - max(tally.alive_at, started_at)
        if age > stalled_after_seconds:
            return web.Response(status=500, text=f"no tick finished for {age:.0f} s\n")
        if not tally.finished_at:
            return web.Response(text="starting\n")
        return web.Response(text=f"last tick finished {time.time() - tally.finished_at:.0f} s ago\n")

    async def readyz(_: web.Request) -> web.Response:
        if not ready():
            return web.Response(status=503, text="WorkloadSLOs have not been listed yet\n")
        return web.Response(text="ready\n")

    async def decision(request: web.Request) -> web.Response:
        if find_decision is None:
            return web.Response(status=404, text="decisions are not recorded: start the operator with --records\n")
        name = request.match_info["id"]
        line = await asyncio.to_thread(find_decision, name)
        if line is None:
            return web.Response(status=404, text=f"decision {name} is not recorded, or its record was dropped by now\n")
        return web.Response(body=line, content_type="application/json")

    app = web.Application(client_max_size=intake.MOST_BYTES)
    app.add_routes(
        [
            web.get("/metrics", metrics),
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/decisions/{id}", decision),
        ]
    )
    if take_outcomes is not None:
        app.router.add_post(intake.PATH, take_outcomes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, *address)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
