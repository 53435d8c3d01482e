"""One tick: look at everything once, decide for each workload, write only what differs. Knows ports, no client library.

The operator, the lab and the tests drive the same tick. A workload's own failure stays its own; a failed write is not
repeated here, since the next tick sees what is true then and decides again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from flyball.core.decide import decide
from flyball.core.decision import Decision, Event
from flyball.core.memory import Memory
from flyball.core.money.books import Books
from flyball.core.money.node_prices import NodePrice, NodePriceRule, Quote, quote
from flyball.core.money.prices import in_force, quoted
from flyball.core.names import EventReason, WorkloadKey
from flyball.core.observation import Observation, WorkloadSignals, WorkloadState
from flyball.core.pools.gpu_pools import Grant
from flyball.core.pools.rationing import shortage
from flyball.core.ports import Cluster, Events, Metrics
from flyball.core.spec import Invalid, WorkloadSpec
from flyball.ledger.record import Record, record_of
from flyball.runtime import efficiency_status, giveback, routes, status
from flyball.runtime.advice import Advisers, Sample, Seen
from flyball.runtime.announced import Announced
from flyball.runtime.claims import Claims, claims_of, contended
from flyball.runtime.known import Known
from flyball.runtime.mirror import Declared, Mirror
from flyball.runtime.news import Shown, figures, ran_on
from flyball.runtime.pools import Pools, Wanted
from flyball.runtime.recall import as_found
from flyball.runtime.scaling import blocked, gpus_short, scale_all
from flyball.runtime.shared_budgets import Member, SharedBudgets
from flyball.runtime.telling import Teller

log = structlog.get_logger("flyball.tick")

# Clocks that are kept by NTP go back by less; what is remembered has times that would be waited for.
CLOCK_BACK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One workload's part of a tick: what was seen and decided, which writes failed, and what advisers measure."""

    spec: WorkloadSpec
    observation: Observation
    decision: Decision
    failures: tuple[str, ...] = ()
    advised: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided for one workload before anything was written: `memory` is what to remember of it."""

    wanted: Wanted
    memory: Memory
    record: Record


@dataclass(frozen=True, slots=True)
class TickReport:
    """One finished tick, for metrics, logs and tests. `at` is seconds since the epoch.

    `defects` are the workloads whose evaluation raised what it never should: the others were served all the same.
    """

    at: float
    outcomes: tuple[Outcome, ...]
    invalid: tuple[Invalid, ...]
    defects: tuple[WorkloadKey, ...] = ()


ReadBooks = Callable[[WorkloadKey], Books | None]
"""What the ledger last said of a workload."""


def no_books(_: WorkloadKey) -> Books | None:
    """Those of an operator without a ledger."""
    return None


ReadNodePrices = Callable[[float], Awaitable[Sequence[NodePrice]]]
"""What OpenCost says of nodes at that time (epoch seconds). Never raises: what is not known is not in it."""


async def no_node_prices(_: float) -> Sequence[NodePrice]:
    """Those of an operator that asks nobody."""
    return ()


class Ticker:
    """Runs ticks over the mirror. Nothing but `tick` changes its state.

    `record` is handed every decision that people can come upon: those shown in a status, told in the log or an Event,
    and all that changed or failed to change replicas or weights. `books` are what the ledger last said of a workload,
    `node_prices` are asked where a PriceBook names them.
    """

    def __init__(
        self,
        mirror: Mirror,
        metrics: Metrics,
        cluster: Cluster,
        events: Events,
        record: Callable[[Record], None] = lambda _: None,
        advisers: Advisers | None = None,
        books: ReadBooks = no_books,
        node_prices: ReadNodePrices = no_node_prices,
    ) -> None:
        self._mirror = mirror
        self._metrics = metrics
        self._cluster = cluster
        self._teller = Teller(cluster, events)
        self._record = record
        self._advisers = advisers or Advisers()
        self._books = books
        self._node_prices = node_prices
        self._quotes: dict[NodePriceRule, Quote] = {}
        self._nodes: Sequence[NodePrice] = ()
        self._known: dict[WorkloadKey, Known] = {}
        self._departed: list[tuple[WorkloadKey, Known]] = []
        self._at = 0.0
        self._pools = Pools(mirror, cluster)
        self._announced = Announced(mirror, cluster)
        self._shared = SharedBudgets(mirror, cluster)

    async def tick(self, at: float) -> TickReport:
        """Observe, decide and apply for everything declared. Raises only what is a defect of Flyball itself."""
        declared = self._mirror.declared()
        if at < self._at - CLOCK_BACK_SECONDS:
            log.warning("the clock went back: what is remembered by it is recalled anew", seconds=self._at - at)
            self._known.clear()
        self._at = at
        self._recall(declared)
        living = [entry for entry in declared if not entry.deleting]
        specs = [entry.spec for entry in living if isinstance(entry.spec, WorkloadSpec)]
        claims = claims_of(specs)
        self._departed = [(key, known) for key, known in self._departed if not await self._depart(key, known, claims)]
        await self._each([(entry.key, self._release(entry, claims, at)) for entry in declared if entry.deleting])
        self._announced.begin(declared)
        signals, states, *_ = await asyncio.gather(
            self._metrics.read(specs, at), self._cluster.observe(specs), self._pools.look(at), self._look_at_prices(at)
        )
        valid = [(entry, self._quoted(spec, at)) for entry in living if isinstance(spec := entry.spec, WorkloadSpec)]
        self._share(valid, states, at)
        decided = await self._each(
            [
                (spec.key, self._decide(entry, spec, at, signals.get(spec.key), states.get(spec.key), claims))
                for entry, spec in valid
            ]
        )
        found: list[Decided] = [each for _, each in decided if each is not None]
        rationed = self._ration(living, [each.wanted for each in found])
        applied = await self._each(
            [(d.wanted.spec.key, self._apply(d, rationed[d.wanted.spec.key], claims)) for d in found]
        )
        defects = [key for key, result in (*decided, *applied) if result is None]
        outcomes = [outcome for _, outcome in applied if outcome is not None]
        self._advisers.look(
            at,
            [
                Seen(each.wanted.spec, each.wanted.observation, each.memory, rationed[each.wanted.spec.key])
                for each in found
            ],
        )
        await self._pools.tell(at)
        await self._announced.tell(at)
        await self._shared.tell(at)
        invalid = [entry.spec for entry in living if isinstance(entry.spec, Invalid)]
        await self._each([(spec.key, self._tell_invalid(spec, at)) for spec in invalid])
        return TickReport(at, tuple(outcomes), tuple(invalid), tuple(defects))

    async def save(self, at: float) -> None:
        """Write the statuses that ran on since they were written: whoever comes next begins where this one ends."""
        late = [
            (key, self._teller.put(key, known, known.shown, at, "the operator ends"))
            for key, known in self._known.items()
            if known.shown is not None and not known.released and ran_on(known.status, known.shown.status)
        ]
        await self._each(late)

    def _recall(self, declared: Sequence[Declared]) -> None:
        """Know every declared object by its uid; those known that are gone, or gone and made anew, depart."""
        uids = {entry.key: entry.uid for entry in declared}
        for key in [key for key, known in self._known.items() if uids.get(key) != known.uid]:
            self._departed.append((key, self._known.pop(key)))
        for entry in declared:
            if entry.key not in self._known:
                self._known[entry.key] = Known.recalled(entry.uid, entry.raw)

    async def _each(self, parts: Sequence[tuple[WorkloadKey, Any]]) -> list[tuple[WorkloadKey, Any]]:
        """Await every workload's part; one that raises is a defect, logged, and None: it does not touch the others."""
        results = await asyncio.gather(*(part for _, part in parts), return_exceptions=True)
        found: list[tuple[WorkloadKey, Any]] = []
        for (key, _), result in zip(parts, results, strict=True):
            if isinstance(result, Exception):
                log.error("a defect of Flyball, please report it", workload=str(key), exc_info=result)
            elif isinstance(result, BaseException):
                raise result
            found.append((key, None if isinstance(result, Exception) else result))
        return found

    async def _decide(
        self,
        entry: Declared,
        spec: WorkloadSpec,
        at: float,
        signals: WorkloadSignals | None,
        state: WorkloadState | None,
        claims: Claims,
    ) -> Decided:
        known = self._known[spec.key]
        if known.status_at is None and state is not None:
            known.memory = as_found(known.memory, spec, state, at)
        state = contended(spec, state or WorkloadState(problem="the cluster was not observed"), claims)
        signals = signals or WorkloadSignals(problem="telemetry was not read")
        short = shortage(self._pools.grants(spec.key))
        announced, books = self._announced.expected(entry, at), self._books(spec.key)
        observation = Observation(spec.key, at, signals, state, announced, short, books)
        spec = self._mirror.learn_accelerators(
            spec, {variant.name: variant.accelerator for variant in state.variants if variant.accelerator}
        )
        spec = self._shared.within(in_force(self._quoted(spec, at), at))
        decision, memory = decide(spec, observation, known.memory)
        record = record_of(spec, observation, known.memory, decision)
        return Decided(Wanted(entry, spec, observation, decision), memory, record)

    async def _look_at_prices(self, at: float) -> None:
        """Know what OpenCost says of nodes, where a PriceBook names it."""
        asked = any(gpu.open_cost for book in self._mirror.books.valid.values() for gpu in book.spec.gpus)
        self._nodes = await self._node_prices(at) if asked else ()
        self._quotes = {}

    def _quoted(self, spec: WorkloadSpec, at: float) -> WorkloadSpec:
        """The spec with the prices that OpenCost knows, each found once per tick."""
        for variant in spec.variants:
            rule = variant.node_price
            if rule is not None and rule not in self._quotes:
                self._quotes[rule] = quote(rule, self._nodes)
        return quoted(spec, self._quotes, at)

    def _share(
        self, valid: Sequence[tuple[Declared, WorkloadSpec]], states: Mapping[WorkloadKey, WorkloadState], at: float
    ) -> None:
        """Share Budgets out among the workloads; a defect in there holds nobody's decision up."""
        try:
            self._shared.begin(
                [
                    Member(spec, entry.labels, self._known[spec.key].memory, states.get(spec.key, WorkloadState()))
                    for entry, spec in valid
                ],
                at,
            )
        except Exception:
            log.exception("a defect of Flyball, please report it: Budgets are not heeded")

    def _ration(self, living: Sequence[Declared], wanted: Sequence[Wanted]) -> dict[WorkloadKey, Decision]:
        """The decisions within what GPUPools grant; a defect in there holds nobody's decision up."""
        try:
            return self._pools.ration(living, wanted)
        except Exception:
            log.exception("a defect of Flyball, please report it: GPUPools are not heeded")
            return {each.spec.key: each.decision for each in wanted}

    async def _apply(self, decided: Decided, decision: Decision, claims: Claims) -> Outcome:
        """Write what the decision changes; `decision` is the one within what GPUPools grant."""
        entry, spec, observation = decided.wanted.entry, decided.wanted.spec, decided.wanted.observation
        known, memory, at = self._known[spec.key], decided.memory, decision.at
        record = _within(decided.record, decision, self._pools.grants(spec.key))
        failures, events, blocks = await scale_all(self._cluster, spec, decision, known)
        events = [*gpus_short(spec, decision, known), *events]
        decision = blocked(decision, blocks)
        moves = await routes.move_routes(self._cluster, spec, observation, decision, known, entry.has_finalizer)
        decision, memory = routes.as_moved(spec, decision, known.memory, memory, moves)
        known.memory, known.spec, known.told_invalid = memory, spec, None
        failures += moves.failures
        failures += await giveback.annotate(self._cluster, spec, observation, decision, known, claims)
        events = [*decision.events, *self._shared.events(spec.key), *events, *moves.events]
        failures += await self._teller.publish(spec.key, known, events, at)
        advice = self._advisers.advice(spec, known.status)
        rendered = {**status.render(spec, observation, decision, known.conditions), **advice.status}
        states = {**efficiency_status.states(decision.efficiency), **advice.states}
        shown = Shown(rendered, {**figures(spec, observation, decision), **advice.figures}, states)
        failures += await self._teller.show(spec.key, known, shown, at)
        why_shown = known.status_why if known.status_at == at else ""
        wants = _wants(decision)
        told = bool(why_shown) or bool(events) or (bool(wants) and wants != known.told_wants)
        known.told_wants = wants
        _log(decision, failures, why_shown, told=told)
        if told or failures:
            self._record(record)
        return Outcome(spec, observation, decision, tuple(failures), advice.samples)

    async def _tell_invalid(self, invalid: Invalid, at: float) -> None:
        known = self._known[invalid.key]
        event = Event(EventReason.INVALID_SPEC, str(invalid), "Validate", warning=True)
        news = [event] if known.told_invalid != invalid.generation else []
        known.told_invalid = invalid.generation
        failures = await self._teller.publish(invalid.key, known, news, at)
        told = Shown(status.render_invalid(invalid, at, known.conditions, known.status), {})
        failures += await self._teller.show(invalid.key, known, told, at)
        if failures:
            log.warning("write failed", workload=str(invalid.key), failures=failures)

    async def _release(self, entry: Declared, claims: Claims, at: float) -> None:
        known = self._known[entry.key]
        if known.spec is None and isinstance(entry.spec, WorkloadSpec):
            known.spec = entry.spec
        failures, events = await giveback.release(self._cluster, entry.key, known, entry.has_finalizer, claims)
        failures += await self._teller.publish(entry.key, known, events, at)
        if failures:
            log.warning("write failed", workload=str(entry.key), failures=failures)

    async def _depart(self, key: WorkloadKey, known: Known, claims: Claims) -> bool:
        return await giveback.depart(self._cluster, key, known, claims, reborn=key in self._known)


def _within(record: Record, decision: Decision, grants: Sequence[Grant]) -> Record:
    """The record of the decision within what GPUPools granted; grants that cut nothing are left out."""
    return record if decision is record.decision else replace(record, decision=decision, grants=tuple(grants))


def _wants(decision: Decision) -> tuple[tuple[str, object], ...]:
    """What the decision wants to be otherwise than it is: replicas by variant, weights by route."""
    replicas = ((v.name, (v.current, v.desired)) for v in decision.variants if v.desired != v.current)
    weights = ((route.route, route.weights) for route in decision.routes if route.weights is not None)
    return (*replicas, *weights)


def _log(decision: Decision, failures: Sequence[str], why_shown: str, *, told: bool) -> None:
    """One line; decisions that people find in a status or an Event, or that want something new, are told, the others
    are detail.
    """
    say = log.warning if failures else log.info if told else log.debug
    say(
        "decision",
        decision=decision.id,
        workload=str(decision.key),
        mode=str(decision.mode),
        variants={v.name: [v.current, v.desired] for v in decision.variants},
        causes=[cause.code for v in decision.variants for cause in v.causes],
        summary=decision.summary,
        events=[str(event.reason) for event in decision.events],
        status=why_shown,
        failures=list(failures),
    )
