"""Hypothesis strategies for whole workloads: specs, and what several ticks in sequence may see of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from core import cases
from hypothesis import strategies as st

from flyball.core.decide import decide
from flyball.core.decision import Decision
from flyball.core.memory import Memory
from flyball.core.names import Enforcement, Mode, Period, Precedence, RoiMetric
from flyball.core.observation import (
    ABSENT,
    ObjectiveReading,
    Observation,
    Percentiles,
    Reading,
    RouteState,
    SignalState,
    VariantSignals,
    VariantState,
    WindowShare,
)
from flyball.core.spec import Ceiling, RoiTarget, Scaling, Variant, WorkloadSpec

GARBAGE = (math.nan, math.inf, -math.inf, -1.0, 1e300, 1e18, 5e-324)
NAMES = ("a", "b", "c")

sane = st.floats(0, 200)
anything = st.one_of(sane, st.sampled_from(GARBAGE), st.floats())
reading = st.one_of(st.just(ABSENT), st.builds(Reading, anything, st.sampled_from(SignalState), st.floats(0, 1e6)))


@st.composite
def variants(draw: st.DrawFn, name: str) -> Variant:
    low = draw(st.integers(0, 3))
    return cases.variant(
        name,
        low,
        draw(st.integers(max(1, low), 12)),
        price=draw(st.sampled_from(["1", "2.50", None])),
        gpus_per_replica=draw(st.sampled_from([1, 2, None])),
        startup_seconds=draw(st.sampled_from([30.0, 120.0, None])),
        engine=draw(st.sampled_from([cases.ENGINE, None])),
    )


ceilings = st.builds(Ceiling, st.sampled_from(Period), st.decimals("0.01", 40, places=2), st.sampled_from(Enforcement))
scalings = st.builds(
    Scaling,
    up_stabilization_seconds=st.sampled_from([0.0, 30.0]),
    up_max_step=st.sampled_from([None, 1, 3]),
    down_stabilization_seconds=st.sampled_from([None, 0.0, 300.0]),
    down_max_step=st.sampled_from([None, 1]),
    headroom=st.sampled_from([0.0, 0.1, 0.5]),
)
roi_targets = st.builds(
    RoiTarget,
    st.sampled_from(["worth", "cheap"]),
    st.sampled_from(RoiMetric),
    st.decimals("0.001", 5, places=3),
    st.sampled_from([60.0, 3600.0]),
)


@st.composite
def specs(draw: st.DrawFn) -> WorkloadSpec:
    count = draw(st.integers(1, 3))
    names = st.lists(ceilings, max_size=3, unique_by=lambda ceiling: ceiling.period)
    return cases.spec(
        *(draw(variants(name)) for name in NAMES[:count]),
        mode=draw(st.sampled_from([Mode.AUTO, Mode.AUTO, Mode.RECOMMEND, Mode.PAUSED])),
        precedence=draw(st.sampled_from(Precedence)),
        objectives=(cases.objective(target=draw(st.sampled_from([0.5, 0.95, 1.0]))),),
        ceilings=tuple(draw(names)),
        value_per_request=draw(st.sampled_from([None, Decimal("0.02")])),
        roi_targets=tuple(draw(st.lists(roi_targets, max_size=2, unique_by=lambda target: target.name))),
        fallback=draw(st.none() | st.just(cases.fallback(price_per_request=Decimal("0.004")))),
        scaling=draw(scalings),
    )


@st.composite
def states(draw: st.DrawFn, name: str, healthy: bool) -> VariantState:
    replicas = draw(st.integers(0, 14))
    ready = draw(st.integers(0, replicas))
    starting = draw(st.integers(0, replicas - ready))
    return VariantState(
        name,
        exists=healthy or draw(st.sampled_from([True, True, True, False])),
        scalable=healthy or draw(st.sampled_from([True, True, True, False])),
        replicas=replicas,
        ready=ready,
        starting=starting,
        unschedulable=replicas - ready - starting,
        gpus_per_replica=draw(st.sampled_from([None, 1])),
        contender=None if healthy else draw(st.sampled_from([None, None, None, "HPA/x"])),
        startup_seconds=draw(st.sampled_from([(), (40.0,), (200.0, 90.0)])),
    )


def signals(name: str, readings: st.SearchStrategy[Reading]) -> st.SearchStrategy[VariantSignals]:
    fields = [field for field in VariantSignals.__dataclass_fields__ if field != "name"]
    return st.builds(VariantSignals, st.just(name), **dict.fromkeys(fields, readings))


def objective_readings(
    numbers: st.SearchStrategy[float], state: st.SearchStrategy[SignalState]
) -> st.SearchStrategy[ObjectiveReading]:
    window = st.builds(WindowShare, st.sampled_from([60.0, 300.0]), numbers, numbers)
    return st.builds(
        ObjectiveReading,
        st.just("ttft"),
        state,
        st.lists(window, max_size=3).map(tuple),
        st.none() | st.builds(Percentiles, numbers, numbers, numbers),
    )


routes = st.builds(
    RouteState,
    st.just("chat"),
    st.integers(0, 100),
    st.integers(0, 100),
    applied_weights=st.none() | st.tuples(st.integers(0, 100), st.integers(0, 100)),
    primary_ready_endpoints=st.integers(0, 2),
    fallback_ready_endpoints=st.integers(0, 2),
    problem=st.sampled_from(["", "", "", "no such rule"]),
)


@st.composite
def wild(draw: st.DrawFn, workload: WorkloadSpec, at: float) -> Observation:
    """Anything at all that a port may hand in."""
    names = [variant.name for variant in workload.variants]
    windows = st.lists(st.tuples(st.sampled_from([60.0, 3600.0]), anything), max_size=3).map(tuple)
    return cases.observation(
        at=at,
        signal=tuple(draw(signals(name, reading)) for name in names if draw(st.booleans())),
        state=tuple(draw(states(name, healthy=False)) for name in names if draw(st.sampled_from([True, True, False]))),
        routes=draw(st.lists(routes, max_size=1).map(tuple)),
        objectives=draw(objective_readings(anything, st.sampled_from(SignalState))),
        problem=draw(st.sampled_from(["", "", "", "Prometheus is down"])),
        cluster_problem=draw(st.sampled_from(["", "", "", "the API server is down"])),
        completions=draw(windows),
        tokens=draw(windows),
    )


@st.composite
def sound(draw: st.DrawFn, workload: WorkloadSpec, at: float) -> Observation:
    """What healthy telemetry of a healthy cluster may say."""
    names = [variant.name for variant in workload.variants]

    def of(name: str) -> VariantSignals:
        return cases.signals(
            name,
            draw(st.floats(0, 60)),
            running=draw(st.floats(0, 300)),
            waiting=draw(st.sampled_from([0.0, 0.0, 5.0, 80.0])),
            gpu_utilization=draw(st.floats(0, 1)),
            kv_cache_usage=draw(st.floats(0, 1)),
            seconds_per_output_token=draw(st.floats(0.01, 0.1)),
        )

    total = draw(st.floats(0, 2000))
    bad = [draw(st.floats(0, 1)) for _ in range(3)]
    return cases.observation(
        at=at,
        signal=tuple(of(name) for name in names),
        state=tuple(draw(states(name, healthy=True)) for name in names),
        routes=(cases.route(),),
        objectives=cases.shares(*((share * total * k, total * k) for share, k in zip(bad, (1, 5, 60), strict=True))),
        completions=((60.0, total), (3600.0, total * 60)),
        tokens=((3600.0, total * 12_000),),
    )


Maker = Callable[[WorkloadSpec, float], st.SearchStrategy[Observation]]


@dataclass(frozen=True)
class Tick:
    """One tick of a story: what was known and seen, and what came of it."""

    spec: WorkloadSpec
    seen: Observation
    before: Memory = field(repr=False)
    decision: Decision = field(repr=False)
    after: Memory = field(repr=False)


@st.composite
def stories(draw: st.DrawFn, make: Maker, most: int = 5) -> list[Tick]:
    """Several ticks in sequence, each seeing anything that `make` makes."""
    workload, memory, at = draw(specs()), Memory(), cases.START
    ticks = []
    for _ in range(draw(st.integers(1, most))):
        at += draw(st.sampled_from([1.0, 15.0, 61.0, 400.0]))
        seen = draw(make(workload, at))
        decision, after = decide(workload, seen, memory)
        ticks.append(Tick(workload, seen, memory, decision, after))
        memory = after
    return ticks


def without(seen: Observation, name: str, lost: Reading) -> Observation:
    """The observation with one reading of every variant replaced."""
    variants_ = tuple(replace(signal, **{name: lost}) for signal in seen.signals.variants)
    return replace(seen, signals=replace(seen.signals, variants=variants_))
