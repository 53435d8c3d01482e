"""The operator process: kopf watches, our loop decides. kopf is embedded, and knows nothing but raw events.

No handler here keeps state in objects (no timers, daemons, create/update/delete handlers): they would cost a finalizer
and annotations on every object, and a task each. The loop starts first; whichever of the two ends stops the other.
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import kopf
import structlog

from flyball.cluster.adapter import KubernetesCluster
from flyball.cluster.client import connect
from flyball.cluster.events import EventRecorder
from flyball.core.ports import PortError
from flyball.runtime.exporter import Tally
from flyball.runtime.loop import Loop
from flyball.runtime.mirror import Mirror
from flyball.runtime.server import serve
from flyball.runtime.settings import Settings
from flyball.runtime.tick import Ticker
from flyball.telemetry.prometheus import PrometheusMetrics

GROUP, VERSION = "flyball.dev", "v1alpha1"
RELIST_RETRY_SECONDS = 5.0

log = structlog.get_logger("flyball.operator")


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises what made the loop or the watch end otherwise."""
    tally, mirror = Tally(), Mirror()
    async with connect(on_write=tally.count_write) as api:
        cluster = KubernetesCluster(api, namespaces=settings.namespaces, routes=settings.routes)
        events = EventRecorder(api)
        tally.events_dropped = lambda: events.dropped
        metrics = PrometheusMetrics(settings.prometheus)
        loop = Loop(Ticker(mirror, metrics, cluster, events), tally, settings.tick_seconds)
        async with serve(settings.listen, tally, lambda: mirror.synced, settings.stalled_after) as port:
            log.info("serving", port=port, prometheus=settings.prometheus.url, tick_seconds=settings.tick_seconds)
            await _supervise(settings, cluster, mirror, loop)


async def _supervise(settings: Settings, cluster: KubernetesCluster, mirror: Mirror, loop: Loop) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    tasks = {
        asyncio.create_task(_relist(settings, cluster, mirror, loop), name="relist"),
        asyncio.create_task(_evaluate(cluster, mirror, loop), name="evaluate"),
        asyncio.create_task(_watch(settings, mirror, loop, stop), name="watch"),
        asyncio.create_task(stop.wait(), name="stop"),
    }
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    for task in pending - {task for task in pending if task.get_name() == "watch"}:
        task.cancel()
    with suppress(TimeoutError):
        async with asyncio.timeout(5):
            await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()
    log.info("stopped")


async def _evaluate(cluster: KubernetesCluster, mirror: Mirror, loop: Loop) -> None:
    """Decide nothing before everything declared was listed once: a half-seen fleet makes wrong claims on targets."""
    while True:
        if await _list(cluster, mirror):
            break
        await asyncio.sleep(RELIST_RETRY_SECONDS)
    await loop.run()


async def _relist(settings: Settings, cluster: KubernetesCluster, mirror: Mirror, loop: Loop) -> None:
    """Correct the mirror by complete LISTs, which drop what the watch never said was gone."""
    while True:
        await asyncio.sleep(settings.relist_seconds)
        if await _list(cluster, mirror):
            loop.poke()


async def _list(cluster: KubernetesCluster, mirror: Mirror) -> bool:
    try:
        mirror.reconcile(await cluster.list_workloads(), await cluster.list_price_books())
    except PortError as error:
        log.warning("listing WorkloadSLOs and PriceBooks failed", error=str(error))
        return False
    return True


async def _watch(settings: Settings, mirror: Mirror, loop: Loop, stop: asyncio.Event) -> None:
    await kopf.operator(
        registry=build_registry(mirror, loop.poke),
        settings=_kopf_settings(),
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=list(settings.namespaces),
        stop_flag=stop,
    )


def build_registry(mirror: Mirror, poke: Callable[[], None]) -> kopf.OperatorRegistry:
    """The whole of kopf's part: credentials, and raw events into the mirror."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(**arguments: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)

    @kopf.on.event(GROUP, VERSION, "workloadslos", registry=registry)
    async def workload_changed(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        if type == "DELETED":
            mirror.remove(dict(body))
            poke()
        elif mirror.put(dict(body)):
            poke()

    @kopf.on.event(GROUP, VERSION, "pricebooks", registry=registry)
    async def price_book_changed(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        (mirror.remove_book if type == "DELETED" else mirror.put_book)(dict(body))
        poke()

    return registry


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    return settings
