"""The linear program against plans found by hand, by levels and by trying all."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.lab.bounds.dues import Kind, LateClasses
from flyball.lab.bounds.need import Values
from flyball.lab.bounds.program import Infeasible, Supply, cheapest_plan

NEVER_LATE = LateClasses(np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0))


def kind(arriving: list[float], due: list[float], late: LateClasses = NEVER_LATE, late_requests: float = 0.0) -> Kind:
    return Kind(np.cumsum(arriving), np.cumsum(due), 0.0, late, late_requests)


def supply(
    slots: int, start_seconds: float, before: float | None = 0.0, least: float = 0.0, most: float = 9.0
) -> Supply:
    return Supply(
        least=np.full(slots, least),
        most=np.full(slots, most),
        before=before,
        start_seconds=np.full(slots, start_seconds),
        per_work=(1.0,),
        price=1.0,
        gpus=1,
    )


def cost(kinds: list[Kind], supplies: list[Supply], gpus: int | None = None) -> float:
    """Of the cheapest plan, with slots of one second."""
    plan = cheapest_plan(1.0, kinds, supplies, gpus)
    return sum(
        supply.price * float(plan.replicas[v].sum() + plan.starts[v] @ supply.start_seconds)
        for v, supply in enumerate(supplies)
    )


def cost_by_levels(need: list[int], start_seconds: float) -> float:
    """Replica k runs while k or more are needed, and through a gap where that is cheaper than a new start."""
    total = 0.0
    for level in range(1, max(need) + 1):
        slots = [slot for slot, needed in enumerate(need) if needed >= level]
        gaps = [later - earlier - 1 for earlier, later in itertools.pairwise(slots)]
        total += len(slots) + start_seconds + sum(min(gap, start_seconds) for gap in gaps if gap)
    return total


@settings(max_examples=40)
@given(need=st.lists(st.integers(0, 4), min_size=1, max_size=14).filter(any), start_seconds=st.integers(0, 6))
def test_for_a_fixed_need_the_optimum_decomposes_by_level(need: list[int], start_seconds: int) -> None:
    work = [float(needed) for needed in need]
    assert cost([kind(work, work)], [supply(len(need), start_seconds)]) == pytest.approx(
        cost_by_levels(need, start_seconds)
    )


def cost_of_whole_replicas(arrived: Values, due: Values, start_seconds: float, most: int) -> float:
    """The cheapest of all whole plans; each serves what waits as early as it can."""
    cheapest = np.inf
    for plan in itertools.product(range(most + 1), repeat=len(arrived)):
        served = 0.0
        for slot, replicas in enumerate(plan):
            served = min(arrived[slot], served + replicas)
            if served < due[slot] - 1e-9:
                break
        else:
            rises = np.maximum(np.diff(np.array(plan), prepend=0), 0).sum()
            cheapest = min(cheapest, sum(plan) + start_seconds * rises)
    return cheapest


@settings(max_examples=40)
@given(
    work=st.lists(st.integers(0, 3), min_size=4, max_size=4).filter(any),
    patience=st.integers(0, 2),
    start_seconds=st.integers(0, 3),
)
def test_it_is_no_dearer_than_any_whole_plan_and_no_cheaper_than_the_work(
    work: list[int], patience: int, start_seconds: int
) -> None:
    due = np.concatenate((np.zeros(patience), work))[:4]
    demand = kind([float(arriving) for arriving in work], list(due))
    found = cost([demand], [supply(4, start_seconds)])
    whole = cost_of_whole_replicas(demand.arrived, demand.due, start_seconds, 3)
    assert sum(due) - 1e-6 <= found <= whole + 1e-6
    if patience == 0:
        assert found == pytest.approx(whole)


ONE, TWO, SIX = [0.0, 2.0, 0.0, 0.0], [2.0, 0.0, 2.0, 0.0], [0.0, 6.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("arriving", "due", "fleet", "expected"),
    [
        pytest.param(ONE, ONE, supply(4, 1.0), 2 + 2 * 1, id="at once: two start"),
        pytest.param(ONE, [0, 0, 2, 0], supply(4, 1.0), 2 + 1, id="within two slots: one starts, runs twice"),
        pytest.param(ONE, [0, 0, 2, 0], supply(4, 1.0, before=1.0), 2 + 1, id="one that ran before was let go"),
        pytest.param(ONE, [0, 0, 0, 2], supply(4, 3.0), 2 + 2, id="two thirds of a replica for three slots"),
        pytest.param(TWO, TWO, supply(4, 1.0, before=2.0), 2 + 2 + 2, id="through a gap as long as a start"),
        pytest.param(TWO, TWO, supply(4, 0.5, before=2.0), 2 + 2 + 1, id="started anew after a longer gap"),
        pytest.param(ONE, ONE, supply(4, 1.0, least=1.0, before=1.0), 4 + 1 + 1, id="at least one all the time"),
        pytest.param(ONE, ONE, supply(4, 0.0, before=None), 2, id="starts that ended in the warm-up are free"),
    ],
)
def test_plans_by_hand(arriving: list[float], due: list[float], fleet: Supply, expected: float) -> None:
    assert cost([kind(arriving, due)], [fleet]) == pytest.approx(expected)


def late(work: float, largest: float, served: float, slot: int = 1) -> LateClasses:
    return LateClasses(np.array([slot]), np.array([work]), np.array([largest]), np.array([served]))


@pytest.mark.parametrize(
    ("classes", "late_requests", "expected"),
    [
        pytest.param(late(6, 1, 1), 0.0, 6 + 6, id="none may be late: six start"),
        pytest.param(late(6, 1, 1), 1.0, 6 + 5, id="one of a second is served later, by one that runs"),
        pytest.param(late(6, 2, 1), 1.0, 6 + 4, id="a large one excuses more"),
        pytest.param(late(6, 1, 0), 1.0, 5 + 5, id="and one that need not be answered costs nothing"),
        pytest.param(late(6, 1, 0.5), 1.0, 5.5 + 5, id="a late one is cheaper to serve"),
        pytest.param(late(2, 1, 0), 4.0, 4 + 4, id="no more is excused than the class has"),
    ],
)
def test_late_work_is_put_off_but_not_forgiven(classes: LateClasses, late_requests: float, expected: float) -> None:
    assert cost([kind(SIX, SIX, classes, late_requests)], [supply(4, 1.0)]) == pytest.approx(expected)


def test_work_that_is_due_at_the_end_only_must_be_served_by_then() -> None:
    at_end = Kind(np.cumsum(SIX), np.zeros(4), 3.0, NEVER_LATE, 0.0)
    assert cost([at_end], [supply(4, 3.0)]) == pytest.approx(3 + 3)


def test_two_kinds_share_the_replicas() -> None:
    both = replace(supply(4, 1.0), per_work=(1.0, 2.0))
    assert cost([kind(ONE, ONE), kind(ONE, ONE)], [both]) == pytest.approx(6 + 6)


CHEAP_DECODE = replace(supply(4, 0.0), per_work=(1.0, 1.0))
CHEAP_PREFILL = replace(supply(4, 0.0), per_work=(0.25, 2.0), price=2.0, gpus=8)


@pytest.mark.parametrize(
    ("most", "gpus", "expected"),
    [
        pytest.param(9.0, None, 6 * 0.25 * 2 + 6, id="each serves what it is cheapest for"),
        pytest.param(5.0, None, 6 * 0.25 * 2 + 5 + 2 * 2, id="beyond its bound it spills"),
        pytest.param(9.0, 15, 3 * 0.25 * 2 + 3 + 6, id="of 15 GPUs 6 and 3 take as many, and 6 are left for the rest"),
    ],
)
def test_variants_share_the_work(most: float, gpus: int | None, expected: float) -> None:
    fleets = [replace(CHEAP_DECODE, most=np.full(4, most)), CHEAP_PREFILL]
    assert cost([kind(SIX, SIX), kind(SIX, SIX)], fleets, gpus) == pytest.approx(expected)


def test_without_enough_replicas_there_is_no_plan() -> None:
    with pytest.raises(Infeasible):
        cost([kind(SIX, SIX)], [supply(4, 1.0, most=5.0)])
