"""The operator process: kopf watches, our loop decides. kopf is embedded, and knows nothing but raw events.

No handler here keeps state in objects (no timers, daemons, create/update/delete handlers): they would cost a finalizer
and annotations on every object, and a task each. The loop starts first; whichever of the two ends stops the other.

Of several operators one ticks, the one that holds the Lease; the others watch, so that they can begin at once. Each
time as the holder begins anew from what the objects say, and its writes end with it.
"""

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, closing, nullcontext
from functools import partial
from typing import Any

import kopf
import structlog

from flyball.cluster.adapter import KubernetesCluster
from flyball.cluster.client import ApiServer, connect
from flyball.cluster.events import EventRecorder
from flyball.cluster.experiments import KubernetesExperiments
from flyball.cluster.lease import Lease
from flyball.cluster.resources import Object
from flyball.cluster.reviews import Reviews
from flyball.core.ports import Metrics, Missing, PortError, Rejected, Rivals
from flyball.ledger.recorder import Recorder
from flyball.runtime.accountant import Accountant
from flyball.runtime.advice import Adviser, Advisers
from flyball.runtime.bookkeeper import Bookkeeper
from flyball.runtime.ending import SAVE_SECONDS, leave, leave_late, stop_on_signals, supervise, within
from flyball.runtime.evidence import Evidence, to_all
from flyball.runtime.exporter import Tally
from flyball.runtime.intake import Intake
from flyball.runtime.leadership import Alone, Candidate, Leadership
from flyball.runtime.loop import Loop
from flyball.runtime.mirror import Mirror
from flyball.runtime.planner import Planner
from flyball.runtime.segment_accounts import SegmentAccountant
from flyball.runtime.server import serve
from flyball.runtime.settings import Settings
from flyball.runtime.shadow import Shadow
from flyball.runtime.shelf import Raw
from flyball.runtime.tick import ReadBooks, ReadNodePrices, Ticker, no_books, no_node_prices
from flyball.telemetry.discovery import Engines
from flyball.telemetry.hours import HourlyMetrics
from flyball.telemetry.node_prices import NodePriceReader
from flyball.telemetry.outcomes import OutcomeMetrics
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.replicas import ReplicaMetrics
from flyball.telemetry.segment_counts import SegmentMetrics

GROUP, VERSION = "flyball.dev", "v1alpha1"
RELIST_RETRY_SECONDS = 5.0
FOLLOW_SECONDS = 0.2

log = structlog.get_logger("flyball.operator")


async def run(settings: Settings, rivals: Rivals) -> None:
    """Run until SIGTERM or SIGINT, with these rivals for `spec.shadow`. Raises what made the loop or the watch end
    otherwise, and PortError without a way to the API server. The process ends with it.
    """
    tally, stop, engines = Tally(), asyncio.Event(), Engines()
    stop_on_signals(stop)
    late = asyncio.create_task(leave_late(stop), name="leave late")
    try:
        async with (
            connect(on_write=tally.count_write) as api,
            aclosing(PrometheusMetrics(settings.prometheus, engines)) as metrics,
            aclosing(NodePriceReader(settings.prometheus)) as node_prices,
            _advising(settings, rivals, tally, engines) as (advisers, books),
        ):
            await operate(settings, api, metrics, tally, stop, advisers, books, node_prices.read)
    finally:
        late.cancel()
    leave()


@asynccontextmanager
async def _advising(
    settings: Settings, rivals: Rivals, tally: Tally, engines: Engines
) -> AsyncIterator[tuple[Advisers, ReadBooks]]:
    """The plan, rivals and accountants, each with a client of its own for Prometheus; and how books are read."""
    with (
        closing(HourlyMetrics(settings.prometheus, engines)) as hours,
        closing(ReplicaMetrics(settings.prometheus, engines)) as replicas,
        closing(OutcomeMetrics(settings.prometheus)) as outcomes,
        closing(SegmentMetrics(settings.prometheus)) as by_segment,
    ):
        shadow = Shadow(rivals, replicas)
        tally.looks_missed = lambda: shadow.missed
        accountant = Accountant(settings.ledger, settings.ledger_zone, outcomes) if settings.ledger else None
        others: list[Adviser] = [accountant] if accountant else []
        if settings.ledger:
            others.append(SegmentAccountant(settings.ledger, settings.ledger_zone, by_segment))
        async with aclosing(Advisers(Planner(hours), shadow, *others)) as advisers:
            yield advisers, accountant.books if accountant else no_books


async def operate(
    settings: Settings,
    api: ApiServer,
    metrics: Metrics,
    tally: Tally,
    stop: asyncio.Event,
    advisers: Advisers | None = None,
    books: ReadBooks = no_books,
    node_prices: ReadNodePrices = no_node_prices,
) -> None:
    """Run the whole operator over a connection and a source of telemetry, until `stop` is set."""
    mirror, unwatch = Mirror(settings.currency), asyncio.Event()
    cluster = KubernetesCluster(api, namespaces=settings.namespaces, routes=settings.routes)
    recorder = _recorder(settings, tally)
    record = recorder.record if recorder else lambda _: None
    keeper = _bookkeeper(settings, tally)
    evidence = Evidence(mirror, settings.ledger, settings.ledger_zone)
    loop = Loop(tally, settings.tick_seconds, to_all(*([keeper.take] if keeper else []), evidence.take))
    leadership = _leadership(settings)
    tally.leads = lambda: int(leadership.term is not None)
    tally.tasks = lambda: len(asyncio.all_tasks())

    def begin(term: int) -> Ticker:
        fenced = api.fenced(lambda: leadership.left(term))
        events = EventRecorder(fenced)
        tally.events_dropped = lambda: events.dropped
        written = KubernetesCluster(fenced, namespaces=settings.namespaces, routes=settings.routes)
        evidence.lead(KubernetesExperiments(fenced, written, routes=settings.routes), events)
        return Ticker(mirror, metrics, written, events, record, advisers, books, node_prices)

    find = recorder.find_line if recorder else None
    intake = Intake(settings.ledger, settings.ledger_zone, Reviews(api), mirror.workload) if settings.ledger else None
    take = intake.take if intake else None
    with closing(recorder) if recorder else nullcontext(), closing(keeper) if keeper else nullcontext():
        async with (
            aclosing(evidence),
            serve(settings.listen, tally, lambda: mirror.synced, settings.stalled_after, find, take) as port,
        ):
            log.info("serving", port=port, prometheus=settings.prometheus.shown_url, tick_seconds=settings.tick_seconds)
            await supervise(
                stop,
                loop.finish,
                unwatch,
                watch=_watch(settings, mirror, loop, stop, unwatch),
                evaluate=_evaluate(partial(_list, cluster, mirror), leadership, begin, loop, tally),
                relist=_relist(settings, cluster, mirror, loop),
            )


def _leadership(settings: Settings) -> Leadership | Alone:
    """The wish for the Lease that the settings name; without one, this operator is alone."""
    if not settings.lease:
        return Alone()
    namespace, _, name = settings.lease.partition("/")
    # Unlike a pod's name, this never names two processes, nor a container and the one it is restarted as.
    identity = f"{settings.identity or socket.gethostname()}_{secrets.token_hex(4)}"
    candidate = Candidate(identity, settings.lease_seconds)

    @asynccontextmanager
    async def connected() -> AsyncIterator[Lease]:
        async with connect(concurrency=1, timeout_seconds=candidate.look_seconds) as api:
            yield Lease(api, namespace, name)

    return Leadership(connected, candidate)


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
    keeper = Bookkeeper(settings.ledger, settings.ledger_zone, settings.currency)
    tally.ledger_written, tally.ledger_lost = lambda: keeper.written, lambda: keeper.lost
    tally.ledger_failing = lambda: int(keeper.failing)
    keeper.start()
    return keeper


async def _evaluate(
    list_all: Callable[[], Awaitable[bool]],
    leadership: Leadership | Alone,
    begin: Callable[[int], Ticker],
    loop: Loop,
    tally: Tally,
) -> None:
    """Tick whenever this process leads, and give the lead up in the end.

    Nothing is decided before everything declared was listed once since it leads: a half-seen fleet makes wrong claims
    on targets, and a status from before the last leader's last write remembers too little.
    """
    leadership.start()
    tickers: dict[int, Ticker] = {}
    try:
        while not loop.finishing:
            tally.alive_at = time.time()
            term = leadership.term
            if term in tickers:
                await loop.run(tickers[term], partial(_leads, leadership, term))
            elif not await list_all():
                await asyncio.sleep(RELIST_RETRY_SECONDS)
            elif term is not None:
                tickers = {term: begin(term)}
            else:
                await _follow(leadership, loop, tally)
    finally:
        # Also where the tick under way was given up: what it waited for is not what this needs.
        try:
            for term, ticker in tickers.items():
                if leadership.left(term) > 0:
                    await within(SAVE_SECONDS, ticker.save(time.time()))
        finally:
            await asyncio.to_thread(leadership.close)


def _leads(leadership: Leadership | Alone, term: int | None) -> bool:
    return leadership.term == term


async def _follow(leadership: Leadership | Alone, loop: Loop, tally: Tally) -> None:
    """Wait until this process leads, or is to finish."""
    tally.report = None
    while leadership.term is None and not loop.finishing:
        leadership.require()
        tally.alive_at = time.time()
        await asyncio.sleep(FOLLOW_SECONDS)


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
        experiments = await _optional(cluster.list_roi_experiments)
        budgets = await _optional(cluster.list_budgets)
        mirror.reconcile(await cluster.list_workloads(), books, mark, pools, demand_events, experiments, budgets)
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


async def _watch(settings: Settings, mirror: Mirror, loop: Loop, stop: asyncio.Event, unwatch: asyncio.Event) -> None:
    before = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=build_registry(mirror, loop.poke),
        settings=_kopf_settings(),
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=list(settings.namespaces),
        stop_flag=unwatch,
    )
    stop_on_signals(stop)  # kopf took them over
    await kopf.run_tasks(tasks, ignored=before)


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
        ("budgets", mirror.put_budget, mirror.remove_budget),
        ("roiexperiments", mirror.put_experiment, mirror.remove_experiment),
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
