"""What moves traffic to the fallback, by whole decisions, and what a shortage of GPUs means for itself."""

from dataclasses import replace
from decimal import Decimal

import pytest
from core.cases import (
    BREACHED,
    START,
    fallback,
    hourly,
    observation,
    route,
    running,
    signals,
    spec,
    variant,
)

from flyball.core.decide import decide
from flyball.core.decision import GpuReport, VariantDecision
from flyball.core.fleet.capacity import ReplicaCapacity
from flyball.core.fleet.staffing import Shortage, Sizing
from flyball.core.memory import Memory
from flyball.core.names import Enforcement, GpuVerdict, Period, Precedence
from flyball.core.observation import Observation
from flyball.core.routing.triggers import trigger
from flyball.core.spec import Ceiling, Fallback
from flyball.core.traffic.demand import Situation, Trust

CUT = "2 of the 5 replicas asked for are granted: GPUPool shared hands out 2 L4"

OVERFLOWING = {
    "signal": signals(rate=20.0, running=40.0, waiting=40.0, gpu_utilization=0.99),
    "state": running(2),
    "routes": (route(),),
}


def test_a_ceiling_moves_nothing_that_what_it_allows_is_measured_to_carry() -> None:
    """Five replicas are wanted for what may come, two are allowed, and those carry all that arrives."""
    capacity = ReplicaCapacity(20.0, 5.0, "the KV cache", confident=True)
    calm = GpuReport(GpuVerdict.EFFICIENT, None, None, None, None)
    short = Shortage(5, 2, by_ceiling=Period.HOUR)
    workload = spec(fallback=fallback(), ceilings=hourly("4", Enforcement.FALLBACK), precedence=Precedence.COST)
    for missing, expected in ((0.0, ""), (0.1, "the hourly ceiling allows 2 of the 5 replicas needed")):
        situation = Situation(Trust(), 6.0, 0.0, (capacity,), calm)
        sizing = Sizing((VariantDecision("gpu", 2, 2, 2, ()),), short, short, missing == 0, missing=missing)
        assert trigger(workload, look(START, {"routes": (route(),)}), situation, (), sizing) == expected


def look(at: float, seen: dict[str, object]) -> Observation:
    fields = {name: value for name, value in seen.items() if name != "gpus_short"}
    return replace(observation(at=at, **fields), gpus_short=str(seen.get("gpus_short", "")))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("declared", "workload", "seen", "cause"),
    [
        pytest.param(
            fallback(),
            {"ceilings": hourly("4", Enforcement.FALLBACK), "precedence": Precedence.COST},
            OVERFLOWING,
            "the hourly ceiling allows 2 of the 5 replicas needed",
            id="a ceiling that binds",
        ),
        pytest.param(
            fallback(),
            {"ceilings": (Ceiling(Period.MONTH, Decimal(1), Enforcement.FALLBACK),), "precedence": Precedence.COST},
            OVERFLOWING,
            "the monthly ceiling allows 1 of the 5 replicas needed",
            id="a month's budget that is spent",
        ),
        pytest.param(
            fallback(on_capacity=False),
            {"ceilings": hourly("4"), "precedence": Precedence.COST},
            OVERFLOWING,
            "",
            id="a ceiling that clamps and does not overflow",
        ),
        pytest.param(
            fallback(),
            {"variants": (variant(high=2),)},
            OVERFLOWING,
            "the GPUs are saturated and maxReplicas allows 2 of the 5 replicas needed",
            id="a maximum that binds saturated GPUs",
        ),
        pytest.param(
            fallback(),
            {},
            OVERFLOWING | {"state": running(3, ready=2, unschedulable=1)},
            "the GPUs are saturated and 1 pod cannot be placed on any GPU",
            id="a pod without a GPU",
        ),
        pytest.param(
            fallback(),
            {},
            OVERFLOWING | {"gpus_short": CUT},
            f"the GPUs are saturated and {CUT}",
            id="a pool that grants less than is asked for",
        ),
        pytest.param(fallback(), {}, {"routes": (route(),), "gpus_short": CUT}, "", id="what is cut is not needed yet"),
        pytest.param(
            fallback(on_capacity=False), {}, OVERFLOWING | {"gpus_short": CUT}, "", id="nobody asked for that trigger"
        ),
        pytest.param(
            fallback(),
            {},
            {"routes": (route(),), "objectives": BREACHED},
            "ttft is breached",
            id="a breached objective",
        ),
        pytest.param(
            fallback(),
            {},
            {"routes": (route(primary_ready_endpoints=0),), "state": running(2, ready=0)},
            "the primary backend has no ready endpoint",
            id="a primary that is gone",
        ),
        pytest.param(
            fallback(on_ceiling=False, on_capacity=False),
            {"ceilings": hourly("4", Enforcement.FALLBACK), "precedence": Precedence.COST},
            OVERFLOWING,
            "",
            id="triggers that were not asked for do nothing",
        ),
        pytest.param(
            fallback(on_objectives=False), {}, {"routes": (route(),), "objectives": BREACHED}, "", id="nor objectives"
        ),
        pytest.param(
            fallback(),
            {},
            {"routes": (route(),), "objectives": BREACHED, "problem": "down"},
            "",
            id="bad data moves none",
        ),
        pytest.param(fallback(), {}, {"routes": (route(),)}, "", id="no reason moves none"),
    ],
)
def test_what_moves_traffic(
    declared: Fallback, workload: dict[str, object], seen: dict[str, object], cause: str
) -> None:
    given_variants = workload.get("variants", ())
    fields = {name: value for name, value in workload.items() if name != "variants"}
    made = spec(*given_variants, fallback=replace(declared, trigger_for_seconds=30.0), **fields)
    memory = Memory()
    for tick in range(3):
        decision, memory = decide(made, look(START + 15.0 * tick, seen), memory)
    assert decision.fallback is not None
    assert (decision.fallback.state != "Primary", decision.fallback.cause) == (bool(cause), cause)


ARRIVING = "12.00 requests/s arrive, more than what serves carries"
PENDING = {"state": running(3, ready=2, unschedulable=1)}


@pytest.mark.parametrize(
    ("verdict", "carried", "confident", "ready", "seen", "cause"),
    [
        pytest.param(
            GpuVerdict.EFFICIENT,
            False,
            True,
            2,
            PENDING,
            f"{ARRIVING} and 1 pod cannot be placed on any GPU",
            id="a pod without a GPU, and measured replicas that carry too little",
        ),
        pytest.param(
            GpuVerdict.EFFICIENT,
            False,
            True,
            2,
            {"gpus_short": CUT},
            f"{ARRIVING} and {CUT}",
            id="a pool that grants too few",
        ),
        pytest.param(
            GpuVerdict.EFFICIENT,
            False,
            True,
            2,
            PENDING | {"gpus_short": CUT},
            f"{ARRIVING} and 1 pod cannot be placed on any GPU",
            id="of both, the pods that are there",
        ),
        pytest.param(GpuVerdict.EFFICIENT, True, True, 2, PENDING, "", id="what serves carries it all: it can wait"),
        pytest.param(GpuVerdict.EFFICIENT, False, False, 2, PENDING, "", id="a capacity that is only a guess"),
        pytest.param(
            GpuVerdict.EFFICIENT, False, True, 0, PENDING, "", id="nothing serves whose capacity could be known"
        ),
        pytest.param(
            GpuVerdict.SATURATED,
            True,
            False,
            2,
            PENDING,
            "the GPUs are saturated and 1 pod cannot be placed on any GPU",
            id="saturated GPUs need no model",
        ),
        pytest.param(GpuVerdict.SATURATED, False, True, 2, {}, "", id="nothing is short"),
    ],
)
def test_a_shortage_of_gpus_moves_traffic_once_users_feel_it(
    verdict: GpuVerdict, carried: bool, confident: bool, ready: int, seen: dict[str, object], cause: str
) -> None:
    capacity = ReplicaCapacity(20.0, 5.0, "the KV cache", confident=confident)
    gpu = GpuReport(verdict, None, None, None, None)
    situation = Situation(Trust(), 12.0, 0.0, (capacity,), gpu)
    enough = Shortage(3, 3, by_ceiling=None)
    sizing = Sizing((VariantDecision("gpu", 3, 3, ready, ()),), enough, enough, carried)
    assert (
        trigger(spec(fallback=fallback()), look(START, seen | {"routes": (route(),)}), situation, (), sizing) == cause
    )
