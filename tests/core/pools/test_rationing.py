"""From decisions to asks, and from grants back to decisions."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.objects import workload

from flyball.core.decision import Cause, Condition, CostReport, Decision, GpuReport, VariantDecision
from flyball.core.names import ConditionType, GpuVerdict, Mode
from flyball.core.observation import Observation, VariantState, WorkloadSignals, WorkloadState
from flyball.core.pools.gpu_pools import Ask, Grant
from flyball.core.pools.rationing import asks_of, held, limited_by_pool, rationed, shortage
from flyball.core.spec import TargetRef, Variant, WorkloadSpec

SPOT, OWN = (TargetRef("apps/v1", "Deployment", name) for name in ("spot", "own"))
ENOUGH = Condition(ConditionType.CAPACITY_AVAILABLE, True, "Enough", "all is well")
READY = Condition(ConditionType.READY, True, "Reconciled", "found")
WANTED = Cause("Demand", "9.00 requests/s arrive")


def spec(*minimums: int, **fields: object) -> WorkloadSpec:
    variants = tuple(
        Variant(target.name, target, minimum, 9, "L4", 2)
        for target, minimum in zip((SPOT, OWN), minimums, strict=False)
    )
    return replace(workload("team"), variants=variants, priority=5, **fields)  # type: ignore[arg-type]


def decision(*counts: tuple[int, int], conditions: tuple[Condition, ...] = (READY, ENOUGH)) -> Decision:
    variants = tuple(
        VariantDecision(target.name, current, desired, current, (WANTED,))
        for target, (current, desired) in zip((SPOT, OWN), counts, strict=False)
    )
    gpu = GpuReport(GpuVerdict.SATURATED, 1.0, None, None, None)
    cost = CostReport(None, Decimal(0), None, None, None)
    key = workload("team").key
    return Decision(
        "id", key, 0.0, Mode.AUTO, variants, (), conditions, (), (), gpu, cost, (), None, "spot 1→3", 9.0, 2.0
    )


def seen(*states: VariantState) -> Observation:
    return Observation(workload("team").key, 0.0, WorkloadSignals(), WorkloadState(states))


BOTH = seen(VariantState("spot"), VariantState("own"))


def test_everything_that_an_ask_needs() -> None:
    declared = spec(1, value_per_request=Decimal("0.02"))
    assert asks_of(declared, BOTH, decision((1, 3)), {}) == (
        Ask(declared.key, "spot", "L4", 2, 1, 1, 3, 5, 9.0, 2.0, 0.02),
    )


@pytest.mark.parametrize(
    ("variant", "state", "learned", "gpus", "accelerator"),
    [
        pytest.param({}, {}, {}, 2, "L4", id="as declared"),
        pytest.param({"accelerator": None}, {"accelerator": "H100"}, {"spot": "A100"}, 2, "H100", id="as seen"),
        pytest.param({"accelerator": None}, {}, {"spot": "A100"}, 2, "A100", id="as seen before"),
        pytest.param({"accelerator": None}, {}, {}, 2, None, id="not known"),
        pytest.param({"gpus_per_replica": None}, {"gpus_per_replica": 4}, {}, 4, "L4", id="of the pod template"),
    ],
)
def test_what_it_asks_for(
    variant: dict[str, object], state: dict[str, object], learned: dict[str, str], gpus: int, accelerator: str | None
) -> None:
    declared = spec(1)
    declared = replace(declared, variants=(replace(declared.variants[0], **variant),))  # type: ignore[arg-type]
    [ask] = asks_of(declared, seen(VariantState("spot", **state)), decision((1, 3)), learned)  # type: ignore[arg-type]
    assert (ask.gpus_per_replica, ask.accelerator) == (gpus, accelerator)


def test_a_target_without_gpus_asks_for_nothing() -> None:
    declared = spec(1)
    declared = replace(declared, variants=(replace(declared.variants[0], gpus_per_replica=None),))
    assert asks_of(declared, BOTH, decision((1, 3)), {}) == ()


@pytest.mark.parametrize(
    ("mode", "state", "fixed"),
    [
        pytest.param(Mode.AUTO, {}, False, id="Auto"),
        pytest.param(Mode.RECOMMEND, {}, True, id="Recommend"),
        pytest.param(Mode.PAUSED, {}, True, id="Paused"),
        pytest.param(Mode.AUTO, {"contender": "HorizontalPodAutoscaler/x"}, True, id="somebody else's"),
        pytest.param(Mode.AUTO, {"scalable": False}, True, id="not to be scaled"),
    ],
)
def test_what_may_not_be_changed_asks_for_what_it_has(mode: Mode, state: dict[str, object], fixed: bool) -> None:
    [ask] = asks_of(spec(1, mode=mode), seen(VariantState("spot", **state)), decision((1, 3)), {})  # type: ignore[arg-type]
    assert (ask.fixed, ask.desired) == (fixed, 1 if fixed else 3)


@pytest.mark.parametrize(
    ("minimums", "counts", "expected"),
    [
        pytest.param([2, 0], [(2, 2), (1, 1)], [2, 0], id="as declared"),
        pytest.param([0, 0], [(1, 2), (3, 3)], [0, 1], id="of two that may be emptied, the larger keeps one"),
        pytest.param([0, 0], [(0, 5), (1, 1)], [0, 1], id="one that runs before one that does not"),
        pytest.param([0], [(1, 0)], [1], id="whoever wants none has no use for it"),
    ],
)
def test_the_minimum(minimums: list[int], counts: list[tuple[int, int]], expected: list[int]) -> None:
    assert [ask.minimum for ask in asks_of(spec(*minimums), BOTH, decision(*counts), {})] == expected


count = st.integers(0, 5)


@given(st.lists(st.tuples(count, count, count), min_size=2, max_size=2))
def test_a_workload_that_wants_anything_has_a_minimum(drawn: list[tuple[int, int, int]]) -> None:
    asks = asks_of(spec(*(least for least, _, _ in drawn)), BOTH, decision(*((c, max(d, m)) for m, c, d in drawn)), {})
    assert not any(ask.desired for ask in asks) or any(min(ask.minimum, ask.desired) for ask in asks)


def test_who_is_not_seen_holds_what_it_had() -> None:
    asks = asks_of(spec(1, 1), BOTH, decision((1, 3), (4, 2)), {})
    assert [(ask.current, ask.desired, ask.fixed) for ask in held(asks)] == [(1, 1, True), (4, 4, True)]


def grants(*counts: int, why: str = "GPUPool shared hands out 4 L4") -> list[Grant]:
    asks = asks_of(spec(1, 1), BOTH, decision((1, 3), (1, 2)), {})
    return [Grant(ask, n, "shared", why if n < ask.desired else "") for ask, n in zip(asks, counts, strict=True)]


def test_a_decision_that_is_granted_stays_as_it_is() -> None:
    decided = decision((1, 3), (1, 2))
    assert rationed(decided, grants(3, 2)) is decided
    assert rationed(decided, []) is decided


def test_a_decision_within_what_is_granted_says_why_everywhere() -> None:
    found = rationed(decision((1, 3), (1, 2)), grants(2, 2))
    spot, own = found.variants
    text = "2 of the 3 replicas asked for are granted: GPUPool shared hands out 4 L4"
    assert (spot.desired, spot.limited_by, own.desired, own.limited_by) == (2, "GPUPool shared", 2, "")
    assert spot.causes == (WANTED, Cause("GPUsShort", text, (("asked", 3.0), ("granted", 2.0))))
    short = Condition(ConditionType.CAPACITY_AVAILABLE, False, "GPUsShort", f"spot: {text}")
    assert found.conditions == (READY, short)
    assert found.summary == f"spot 1→2, own 1→2: {WANTED.text}; {text}"
    assert limited_by_pool(spot.limited_by)
    assert not limited_by_pool(own.limited_by)


def test_what_is_short_in_a_sentence_for_the_next_look() -> None:
    assert shortage(grants(3, 2)) == ""
    assert shortage(grants(2, 2)) == "spot: 2 of the 3 replicas asked for are granted: GPUPool shared hands out 4 L4"
    assert shortage(grants(2, 2)[:1]) == "2 of the 3 replicas asked for are granted: GPUPool shared hands out 4 L4"


def test_what_else_is_short_is_said_after_it() -> None:
    lacking = Condition(ConditionType.CAPACITY_AVAILABLE, False, "Unschedulable", "no node has a free GPU for 1 pod")
    [condition] = rationed(decision((1, 3), (1, 2), conditions=(lacking,)), grants(2, 1)).conditions
    assert condition.reason == "GPUsShort"
    assert condition.message.endswith("; no node has a free GPU for 1 pod")
    assert condition.message.startswith("spot: 2 of the 3 replicas asked for are granted")
    assert "own: 1 of the 2 replicas asked for is granted" in condition.message
