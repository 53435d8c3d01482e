"""The operator process: kopf watches, our loop decides. kopf is embedded, and knows nothing but raw events.

No handler here keeps state in objects (no timers, daemons, create/update/delete handlers): they would cost a finalizer
and annotations on every object, and a task each. The loop starts first; whichever of the two ends stops the other.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager, closing, nullcontext, suppress
from typing import Any

import kopf
import structlog

from flyball.cluster.adapter import KubernetesCluster
from flyball.cluster.client import ApiServer, connect
from flyball.cluster.events import EventRecorder
from flyball.cluster.resources import Object
from flyball.core.ports import Metrics, Missing, PortError, Rejected, Rivals
from flyball.ledger.recorder import Recorder
from flyball.runtime.advice import Advisers
from flyball.runtime.bookkeeper import Bookkeeper
from flyball.runtime.exporter import Tally
from flyball.runtime.loop import Loop
from flyball.runtime.mirror import Mirror
from flyball.runtime.planner import Planner
from flyball.runtime.server import serve
from flyball.runtime.settings import Settings
from flyball.runtime.shadow import Shadow
from flyball.runtime.shelf import Raw
from flyball.runtime.tick import Ticker
from flyball.telemetry.hours import HourlyMetrics
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.replicas import ReplicaMetrics

GROUP, VERSION = "flyball.dev", "v1alpha1"
RELIST_RETRY_SECONDS = 5.0
# kopf gives tasks that began after it, open connections to our own endpoints among them, five seconds to end.
STOP_SECONDS = 8.0

log = structlog.get_logger("flyball.operator")


async def run(settings: Settings, rivals: Rivals) -> None:
    """Run until SIGTERM or SIGINT, with these rivals for `spec.shadow`. Raises what made the loop or the watch end
    otherwise, and PortError without a way to the API server.
    """
    tally, stop = Tally(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # until kopf takes them over, to the same end
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with (
        connect(on_write=tally.count_write) as api,
        aclosing(PrometheusMetrics(settings.prometheus)) as metrics,
        _advising(settings, rivals, tally) as advisers,
    ):
        await operate(settings, api, metrics, tally, stop, advisers)


@asynccontextmanager
async def _advising(settings: Settings, rivals: Rivals, tally: Tally) -> AsyncIterator[Advisers]:
    """The plan and the rivals, each with a client of its own for Prometheus."""
    with closing(HourlyMetrics(settings.prometheus)) as hours, closing(ReplicaMetrics(settings.prometheus)) as replicas:
        shadow = Shadow(rivals, replicas)
        tally.looks_missed = lambda: shadow.missed
        async with aclosing(Advisers(Planner(hours), shadow)) as advisers:
            yield advisers


async def operate(
    settings: Settings,
    api: ApiServer,
    metrics: Metrics,
    tally: Tally,
    stop: asyncio.Event,
    advisers: Advisers | None = None,
) -> None:
    """Run the whole operator over a connection and a source of telemetry, until `stop` is set."""
    mirror, events = Mirror(), EventRecorder(api)
    cluster = KubernetesCluster(api, namespaces=settings.namespaces, routes=settings.routes)
    tally.events_dropped = lambda: events.dropped
    recorder = _recorder(settings, tally)
    record = recorder.record if recorder else lambda _: None
    keeper = _bookkeeper(settings, tally)
    ticker = Ticker(mirror, metrics, cluster, events, record, advisers)
    loop = Loop(ticker, tally, settings.tick_seconds, keeper.take if keeper else lambda _: None)
    find = recorder.find_line if recorder else None
    with closing(recorder) if recorder else nullcontext(), closing(keeper) if keeper else nullcontext():
        async with serve(settings.listen, tally, lambda: mirror.synced, settings.stalled_after, find) as port:
            log.info("serving", port=port, prometheus=settings.prometheus.url, tick_seconds=settings.tick_seconds)
            await _supervise(
                stop,
                watch=_watch(settings, mirror, loop, stop),
                evaluate=_evaluate(cluster, mirror, loop, tally),
                relist=_relist(settings, cluster, mirror, loop),
            )


def _recorder(settings: Settings, tally: Tally) -> Recorder | None:
    """The recorder of decisions, running and counted; None where they are not recorded."""
    if settings.records is None:
        return None
    recorder = Recorder(settings.records, settings.records_bytes)
    tally.decisions_recorded, tally.decisions_lost = lambda: recorder.recorded, lambda: recorder.lost
    recorder.start()
    return recorder


def _bookkeeper(settings: Settings, tally: Tally) -> Bookkeeper | None:
    """The keeper of the ledger, running and counted; None where none is kept."""
    if not settings.ledger:
        return None
    keeper = Bookkeeper(settings.ledger, settings.ledger_zone)
    tally.ledger_written, tally.ledger_lost = lambda: keeper.written, lambda: keeper.lost
    tally.ledger_failing = lambda: int(keeper.failing)
    keeper.start()
    return keeper


async def _supervise(stop: asyncio.Event, **parts: Coroutine[Any, Any, None]) -> None:
    """Run the parts until one of them ends or `stop` is set, and end the others; raises what ended the first."""
    tasks = [asyncio.create_task(part, name=name) for name, part in parts.items()]
    stopping = asyncio.create_task(stop.wait(), name="stop")
    done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    for part in tasks:
        if part.get_name() != "watch":  # kopf stops by itself, and says goodbye to nobody when it is cancelled
            part.cancel()
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
    for task in done:
        task.result()
    log.info("stopped", by=sorted(task.get_name() for task in done))


async def _evaluate(cluster: KubernetesCluster, mirror: Mirror, loop: Loop, tally: Tally) -> None:
    """Decide nothing before everything declared was listed once: a half-seen fleet makes wrong claims on targets."""
    while not await _list(cluster, mirror):
        tally.alive_at = time.time()
        await asyncio.sleep(RELIST_RETRY_SECONDS)
    await loop.run()


async def _relist(settings: Settings, cluster: KubernetesCluster, mirror: Mirror, loop: Loop) -> None:
    """Correct the mirror by complete LISTs, which drop what the watch never said was gone."""
    while True:
        await asyncio.sleep(settings.relist_seconds)
        if await _list(cluster, mirror):
            loop.poke()


async def _list(cluster: KubernetesCluster, mirror: Mirror) -> bool:
    mark = mirror.mark()
    try:
        books = await cluster.list_price_books()
        pools = await _optional(cluster.list_gpu_pools)
        demand_events = await _optional(cluster.list_demand_events)
        mirror.reconcile(await cluster.list_workloads(), books, mark, pools, demand_events)
    except PortError as error:
        log.warning("listing what is declared failed", error=str(error))
        return False
    return True


async def _optional(read: Callable[[], Awaitable[list[Object]]]) -> list[Object] | None:
    """A list of a kind that workloads can do without: None where it is not served or not granted here."""
    try:
        return await read()
    except (Missing, Rejected) as error:
        log.warning("a kind of resource is left out", error=str(error))
        return None


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

    for plural, put, remove in (
        ("workloadslos", mirror.put, mirror.remove),
        ("pricebooks", mirror.put_book, mirror.remove_book),
        ("gpupools", mirror.put_pool, mirror.remove_pool),
        ("demandevents", mirror.put_demand_event, mirror.remove_demand_event),
    ):
        kopf.on.event(GROUP, VERSION, plural, registry=registry, id=plural)(_feed(put, remove, poke))
    return registry


def _feed(put: Callable[[Raw], bool], remove: Callable[[Raw], None], poke: Callable[[], None]) -> Callable[..., Any]:
    async def changed(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        if type == "DELETED":
            remove(dict(body))
            poke()
        elif put(dict(body)):
            poke()

    return changed


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    return settings
