"""One tick: look at everything once, decide for each workload, write only what differs. Knows ports, no client library.

The operator, the lab and the tests drive the same tick. A workload's own failure stays its own; a failed write is not
repeated here, since the next tick sees what is true then and decides again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from flyball.core.conditions import KnownCondition
from flyball.core.decide import decide
from flyball.core.decision import Decision, Event, RouteDecision, VariantDecision
from flyball.core.memory import Memory
from flyball.core.names import EventReason, Mode, WorkloadKey
from flyball.core.observation import Observation, RouteState, WorkloadSignals, WorkloadState
from flyball.core.ports import Cluster, Conflict, Events, Metrics, Missing, PortError, Rejected
from flyball.core.spec import FallbackRoute, Invalid, TargetRef, WorkloadSpec
from flyball.core.units import format_ratio
from flyball.runtime import budget, status
from flyball.runtime.mirror import Declared, Mirror

log = structlog.get_logger("flyball.tick")


@dataclass(slots=True)
class Known:
    """What the operator remembers of one workload between ticks."""

    memory: Memory
    conditions: tuple[KnownCondition, ...]
    spec: WorkloadSpec | None = None
    written_status: status.Status | None = None
    written_at: float = 0.0
    annotated: dict[TargetRef, budget.Annotations] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One workload's part of a tick: what was seen and decided, and which writes failed."""

    spec: WorkloadSpec
    observation: Observation
    decision: Decision
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TickReport:
    """One finished tick, for metrics, logs and tests. `at` is seconds since the epoch."""

    at: float
    outcomes: tuple[Outcome, ...]
    invalid: tuple[Invalid, ...]


class Ticker:
    """Runs ticks over the mirror. Nothing but `tick` changes its state."""

    def __init__(self, mirror: Mirror, metrics: Metrics, cluster: Cluster, events: Events) -> None:
        self._mirror = mirror
        self._metrics = metrics
        self._cluster = cluster
        self._events = events
        self._known: dict[WorkloadKey, Known] = {}

    async def tick(self, at: float) -> TickReport:
        """Observe, decide and apply for everything declared. Raises only what is a defect of Flyball itself."""
        declared = self._mirror.declared()
        for entry in declared:
            if entry.key not in self._known:
                self._known[entry.key] = Known(*status.recall(entry.raw))
        await self._forget(declared)
        await asyncio.gather(*(self._release(entry, at) for entry in declared if entry.deleting))
        living = [entry for entry in declared if not entry.deleting]
        specs = [entry.spec for entry in living if isinstance(entry.spec, WorkloadSpec)]
        invalid = [entry.spec for entry in living if isinstance(entry.spec, Invalid)]
        signals, states = await asyncio.gather(self._metrics.read(specs, at), self._cluster.observe(specs))
        claims = _claims(specs)
        results = await asyncio.gather(
            *(self._one(spec, at, signals.get(spec.key), states.get(spec.key), claims) for spec in specs)
        )
        await asyncio.gather(*(self._tell_invalid(spec, at) for spec in invalid))
        return TickReport(at, tuple(results), tuple(invalid))

    async def _one(
        self,
        spec: WorkloadSpec,
        at: float,
        signals: WorkloadSignals | None,
        state: WorkloadState | None,
        claims: Mapping[tuple[str, TargetRef], WorkloadKey],
    ) -> Outcome:
        known = self._known[spec.key]
        state = _contend(spec, state or WorkloadState(problem="the cluster was not observed"), claims)
        observation = Observation(spec.key, at, signals or WorkloadSignals(problem="telemetry was not read"), state)
        before = known.memory
        decision, known.memory = decide(spec, observation, known.memory)
        known.spec = spec
        self._mirror.learn_accelerators(
            spec.key, {variant.name: variant.accelerator for variant in state.variants if variant.accelerator}
        )
        failures, events = await self._apply(spec, observation, decision, before)
        _log(decision, failures)
        for event in (*decision.events, *events):
            await _attempt(failures, "event", self._events.publish(spec.key, spec.uid, event, at))
        await self._annotate(spec, observation, decision, known, failures)
        await self._write_status(spec.key, status.render(spec, observation, decision, known.conditions), at, failures)
        return Outcome(spec, observation, decision, tuple(failures))

    async def _apply(
        self, spec: WorkloadSpec, observation: Observation, decision: Decision, before: Memory
    ) -> tuple[list[str], list[Event]]:
        failures: list[str] = []
        events: list[Event] = []
        if spec.mode is Mode.AUTO:
            for variant, decided in zip(spec.variants, decision.variants, strict=True):
                if decided.desired != decided.current:
                    events += await self._scale(spec, variant.target, decided, failures)
        if spec.fallback is not None:
            for route, decided_route in zip(spec.fallback.routes, decision.routes, strict=False):
                observed = next((r for r in observation.state.routes if r.route == route.route), None)
                if observed is not None:
                    events += await self._route(spec, route, observed, decided_route, decision, before, failures)
        return failures, events

    async def _scale(
        self, spec: WorkloadSpec, target: TargetRef, decided: VariantDecision, failures: list[str]
    ) -> list[Event]:
        up = decided.desired > decided.current
        reason = EventReason.SCALED_UP if up else EventReason.SCALED_DOWN
        why = "; ".join(cause.text for cause in decided.causes)
        text = f"{target} from {decided.current} to {decided.desired} replicas: {why}"
        try:
            await self._cluster.scale(spec.key.namespace, target, decided.current, decided.desired)
        except Conflict as error:
            failures.append(f"scale {target}: {error}; deciding again next tick")
            return []
        except (Rejected, Missing) as error:
            failures.append(f"scale {target}: {error}")
            return [Event(EventReason.SCALE_BLOCKED, f"cannot scale {text}: {error}", "Scale", warning=True)]
        except PortError as error:
            failures.append(f"scale {target}: {error}")
            return []
        return [Event(reason, f"scaled {text}", "Scale")]

    async def _route(
        self,
        spec: WorkloadSpec,
        route: FallbackRoute,
        observed: RouteState,
        decided: RouteDecision,
        decision: Decision,
        before: Memory,
        failures: list[str],
    ) -> list[Event]:
        touched = observed.applied_weights is not None
        if decided.weights is None:
            if not touched:
                return []
            return await self._restore(spec, route, observed, before, failures)
        if decided.weights == (observed.primary_weight, observed.fallback_weight):
            return []
        try:
            await self._cluster.hold_finalizer(spec.key, True)
            await self._cluster.set_weights(spec.key, route, observed, *decided.weights)
        except PortError as error:
            failures.append(f"weights of {route.route}: {error}")
            blocked = isinstance(error, Rejected | Missing)
            return [_blocked(route, error)] if blocked else []
        report = decision.fallback
        share = format_ratio(report.share, 0) if report is not None else ""
        cause = report.cause if report is not None else ""
        text = f"{share} of HTTPRoute {route.route}'s traffic to {route.fallback}: {cause}"
        text += _price_of_overflow(spec, decision)
        return [Event(EventReason.FALLBACK_ACTIVATED, text, "ShiftTraffic", warning=True)]

    async def _restore(
        self, spec: WorkloadSpec, route: FallbackRoute, observed: RouteState, before: Memory, failures: list[str]
    ) -> list[Event]:
        try:
            await self._cluster.restore_weights(spec.key, route)
            await self._cluster.hold_finalizer(spec.key, False)
        except PortError as error:
            failures.append(f"restore {route.route}: {error}")
            return []
        weights = observed.original_weights
        own = f" {weights[0]}:{weights[1]}" if weights else ""
        why = "the primary carries all traffic" if spec.mode is Mode.AUTO else f"mode is {spec.mode}"
        held = f" after {before.fallback.cause}" if before.fallback.cause else ""
        text = f"HTTPRoute {route.route} has its own weights{own} back: {why}{held}"
        return [Event(EventReason.FALLBACK_CLEARED, text, "ShiftTraffic")]

    async def _annotate(
        self, spec: WorkloadSpec, observation: Observation, decision: Decision, known: Known, failures: list[str]
    ) -> None:
        if spec.mode is Mode.PAUSED:
            return
        wanted = budget.annotations(spec, decision)
        for variant in spec.variants:
            if not observation.state.variant(variant.name).exists:
                known.annotated.pop(variant.target, None)
            elif budget.material(known.annotated.get(variant.target), wanted):
                write = self._cluster.annotate(spec.key.namespace, variant.target, wanted)
                if await _attempt(failures, f"annotate {variant.target}", write):
                    known.annotated[variant.target] = wanted
        for target in set(known.annotated) - {variant.target for variant in spec.variants}:
            await _attempt(
                failures, f"annotate {target}", self._cluster.annotate(spec.key.namespace, target, budget.REMOVED)
            )
            del known.annotated[target]

    async def _write_status(self, key: WorkloadKey, now: status.Status, at: float, failures: list[str]) -> None:
        known = self._known[key]
        if not status.material(known.written_status, now, at - known.written_at):
            return
        if await _attempt(failures, "status", self._cluster.write_status(key, now)):
            known.conditions = status.conditions_of(now)
            known.written_status, known.written_at = now, at

    async def _tell_invalid(self, invalid: Invalid, at: float) -> None:
        known = self._known[invalid.key]
        failures: list[str] = []
        if known.memory.generation != invalid.generation:
            event = Event(EventReason.INVALID_SPEC, str(invalid), "Validate", warning=True)
            if await _attempt(failures, "event", self._events.publish(invalid.key, invalid.uid, event, at)):
                known.memory = replace(known.memory, generation=invalid.generation)
        await self._write_status(invalid.key, status.render_invalid(invalid, at, known.conditions), at, failures)
        if failures:
            log.warning("write failed", workload=str(invalid.key), failures=failures)

    async def _release(self, entry: Declared, at: float) -> None:
        """Give back everything of a workload that is being deleted, then let it go."""
        spec = entry.spec if isinstance(entry.spec, WorkloadSpec) else self._known[entry.key].spec
        failures: list[str] = []
        if spec is not None:
            for route in spec.fallback.routes if spec.fallback else ():
                await _attempt(failures, f"restore {route.route}", self._cluster.restore_weights(spec.key, route))
            await self._remove_annotations(spec, failures)
        if not failures and entry.has_finalizer:
            await _attempt(failures, "finalizer", self._cluster.hold_finalizer(entry.key, False))
        log.info("released", workload=str(entry.key), failures=failures, at=at)

    async def _forget(self, declared: Sequence[Declared]) -> None:
        """Take the annotations off the targets of workloads that are gone, and drop what was remembered of them."""
        for key in set(self._known) - {entry.key for entry in declared}:
            spec = self._known.pop(key).spec
            if spec is not None:
                await self._remove_annotations(spec, [])

    async def _remove_annotations(self, spec: WorkloadSpec, failures: list[str]) -> None:
        for variant in spec.variants:
            try:
                await self._cluster.annotate(spec.key.namespace, variant.target, budget.REMOVED)
            except Missing:
                continue
            except PortError as error:
                failures.append(f"annotate {variant.target}: {error}")


def _claims(specs: Sequence[WorkloadSpec]) -> dict[tuple[str, TargetRef], WorkloadKey]:
    """Who governs each target: the oldest of those that claim it."""
    claims: dict[tuple[str, TargetRef], WorkloadKey] = {}
    for spec in specs:
        for variant in spec.variants:
            claims.setdefault((spec.key.namespace, variant.target), spec.key)
    return claims


def _contend(
    spec: WorkloadSpec, state: WorkloadState, claims: Mapping[tuple[str, TargetRef], WorkloadKey]
) -> WorkloadState:
    """The state in which targets that an older WorkloadSLO governs are contended."""
    owners = {v.name: claims[(spec.key.namespace, v.target)] for v in spec.variants}
    variants = tuple(
        replace(found, contender=f"WorkloadSLO/{owners[found.name].name}")
        if owners.get(found.name, spec.key) != spec.key
        else found
        for found in state.variants
    )
    return replace(state, variants=variants)


def _price_of_overflow(spec: WorkloadSpec, decision: Decision) -> str:
    """What the overflow costs, in words, where the fallback's price is declared."""
    declared, report, arrivals = spec.fallback, decision.fallback, decision.arrivals_per_second
    if declared is None or report is None or arrivals is None:
        return ""
    price = (declared.price_per_request or 0) + (declared.labor_cost_per_request or 0)
    moved = arrivals * report.share
    return f"; about {moved:.2f} requests/s at ${price} each, ${float(price) * moved * 3600:.2f}/h" if price else ""


def _blocked(route: FallbackRoute, error: PortError) -> Event:
    return Event(EventReason.FALLBACK_BLOCKED, f"HTTPRoute {route.route}: {error}", "ShiftTraffic", warning=True)


async def _attempt(failures: list[str], what: str, write: Any) -> bool:
    """Await a write; a port's error becomes a line in `failures`."""
    try:
        await write
    except PortError as error:
        failures.append(f"{what}: {error}")
        return False
    return True


def _log(decision: Decision, failures: Sequence[str]) -> None:
    changed = any(v.desired != v.current for v in decision.variants) or bool(decision.events)
    say = log.warning if failures else log.info if changed else log.debug
    say(
        "decision",
        decision=decision.id,
        workload=str(decision.key),
        mode=str(decision.mode),
        variants={v.name: [v.current, v.desired] for v in decision.variants},
        causes=[cause.code for v in decision.variants for cause in v.causes],
        summary=decision.summary,
        events=[str(event.reason) for event in decision.events],
        failures=list(failures),
    )
