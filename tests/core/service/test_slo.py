import math

import pytest
from core.cases import BREACHED, BURNING, GARBAGE, GOOD, LAW, objective, shares
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.observation import BucketEdges, ObjectiveReading, Percentiles, SignalState, WindowShare
from flyball.core.service.slo import budget_state, judge, report

TTFT = objective(target=0.95)


def quiet(newest: float, bad: float, total: float) -> ObjectiveReading:
    """A last minute with too few events to say anything, and (bad, total) of the last five."""
    return shares((0, newest), (bad, total), (bad, total), state=SignalState.INSUFFICIENT)


@pytest.mark.parametrize(
    ("reading", "before", "state"),
    [
        pytest.param(GOOD, None, "Met", id="no bad events are met"),
        pytest.param(BREACHED, None, "Breached", id="half bad in a minute and a fifth in five is breached"),
        pytest.param(BURNING, None, "Burning", id="only the last minute burns: burning, not breached yet"),
        pytest.param(BURNING, "Breached", "Breached", id="what was breached stays so while the last minute burns"),
        pytest.param(shares((7, 100), (7, 100)), None, "Met", id="7% of 100 may be 5%: too few to be sure"),
        pytest.param(shares((70, 1000), (70, 1000)), None, "Breached", id="7% of 1000 is no chance any more"),
        pytest.param(shares((7, 100), (7, 100)), "Breached", "Breached", id="7% of 100 is no relief either"),
        pytest.param(shares((7, 100), (7, 100)), "Burning", "Burning", id="nor for what was burning"),
        pytest.param(shares((5, 100), (30, 100)), "Breached", "Met", id="within the budget now is met, whatever was"),
        pytest.param(shares((4, 4), (4, 4)), None, "Insufficient", id="four events say nothing, all bad or not"),
        pytest.param(shares((0, 0), (60, 100)), None, "Breached", id="an empty minute is judged by five"),
        pytest.param(shares((0, 0), (60, 100)), "Met", "Met", id="but is no news for what is known"),
        pytest.param(shares((0, 0), (60, 100)), "Breached", "Breached", id="nor for what was breached"),
        pytest.param(shares((0, 3), (60, 100)), "Breached", "Met", id="until a few users come and are served well"),
        pytest.param(shares((1, 3), (60, 100)), "Breached", "Breached", id="or are not, and it stays breached"),
        pytest.param(shares((3, 20), (3, 75)), "Met", "Met", id="three bad of twenty in one of many looks are chance"),
        pytest.param(shares((7, 20), (7, 150)), "Met", "Burning", id="seven are not"),
        pytest.param(shares((3, 20), (7, 150)), "Burning", "Burning", id="after which three are no relief"),
        pytest.param(shares((0, 1), (60, 100)), None, "Met", id="a single good one now is calm, also at a first look"),
        pytest.param(shares((0, 0), (0, 0), (60, 100)), "Met", "Insufficient", id="an hour ago is not now"),
        pytest.param(quiet(0, 60, 100), None, "Insufficient", id="a first look at an empty minute says nothing"),
        pytest.param(quiet(0, 0, 25), "Met", "Met", id="an empty minute is chance at five a minute"),
        pytest.param(quiet(0, 0, 500), "Met", "Met", id="and no trouble where nothing was bad before it"),
        pytest.param(quiet(0, 20, 25), "Breached", "Breached", id="chance ends no breach either"),
        pytest.param(quiet(0, 300, 500), "Breached", "Insufficient", id="a hundred a minute that stop are gone"),
        pytest.param(quiet(0, 20, 25), "Insufficient", "Insufficient", id="and stay gone until somebody comes"),
        pytest.param(quiet(0, 0, 2), "Met", "Met", id="two in five minutes may be five"),
        pytest.param(quiet(0, 0, 0), "Met", "Insufficient", id="none in five minutes are not"),
        pytest.param(shares((0, 2), (0, 4)), "Met", "Met", id="four may be five"),
        pytest.param(ObjectiveReading("ttft", SignalState.STALE, GOOD.shares), "Met", "Stale", id="stale is said"),
        pytest.param(ObjectiveReading("ttft", SignalState.ABSENT), None, "Absent", id="absence is not zero"),
        pytest.param(ObjectiveReading("ttft", SignalState.OK), None, "Insufficient", id="no window is too short yet"),
    ],
)
def test_the_state_of_an_objective(reading: ObjectiveReading, before: str | None, state: str) -> None:
    assert judge(TTFT, reading, before) == state


@pytest.mark.parametrize(
    ("edges", "state"),
    [
        pytest.param(BucketEdges(True, 0.5, 0.5), "Met", id="an edge is counted"),
        pytest.param(BucketEdges(False, 0.25, 0.5), "Met", id="between edges it is interpolated"),
        pytest.param(BucketEdges(False, 0.0, 0.001), "Unmeasurable", id="below the first edge there is nothing"),
        pytest.param(BucketEdges(False, 10.0, math.inf), "Unmeasurable", id="nor above the last"),
    ],
)
def test_a_threshold_outside_the_histogram_is_unmeasurable(edges: BucketEdges, state: str) -> None:
    assert judge(TTFT, ObjectiveReading("ttft", SignalState.OK, GOOD.shares, edges=edges), None) == state


def test_an_objective_does_not_flap_on_few_events() -> None:
    """Five bad of forty, then 0 to 4 of forty around the budget of 2: one breach, one recovery."""
    state, told = None, []
    for bad in (10, 3, 4, 3, 4, 3, 2, 3, 4, 3, 2, 3):
        new = judge(TTFT, shares((bad, 40), (10, 40)), state)
        told += [new] if new != state else []
        state = new
    assert told == ["Breached", "Met"]


@pytest.mark.parametrize("value", GARBAGE)
def test_counts_that_cannot_be_are_invalid_and_hide_no_numbers(value: float) -> None:
    for share in (WindowShare(60.0, value, 100.0), WindowShare(60.0, 50.0, value)):
        found = report(TTFT, ObjectiveReading("ttft", SignalState.OK, (share,)), "Breached")
        assert (found.state, found.burn_short, found.attained, found.budget_left) == ("Invalid", None, None, None)


def test_the_report_speaks_in_multiples_of_the_allowed_share() -> None:
    """10% and 5% bad of an allowed 5% burn at 2 and 1; 1% over the hour leaves 80% of its budget."""
    found = report(TTFT, shares((10, 100), (25, 500), (72, 7200)), None)
    assert (found.burn_short, found.burn_long) == pytest.approx((2.0, 1.0))
    assert (found.attained, found.budget_left) == pytest.approx((0.99, 0.8))


def test_percentiles_that_are_no_numbers_are_left_out() -> None:
    for odd in GARBAGE:
        percentiles = Percentiles(0.1, odd, odd)
        found = report(TTFT, ObjectiveReading("ttft", SignalState.OK, GOOD.shares, percentiles), None)
        assert (found.p50, found.p95, found.p99) == (0.1, None, None)


@pytest.mark.parametrize(
    ("reading", "before", "now"),
    [
        pytest.param(BREACHED, None, True, id="half of the last minute"),
        pytest.param(shares((7, 100), (7, 100)), "Breached", False, id="7% of 100 stays breached without proof"),
        pytest.param(shares((3, 3), (300, 600)), None, False, id="three events are no proof"),
        pytest.param(GOOD, "Breached", False, id="nothing bad"),
    ],
)
def test_burning_now_needs_proof_in_the_shortest_window(
    reading: ObjectiveReading, before: str | None, now: bool
) -> None:
    assert report(TTFT, reading, before).burns_now is now


@pytest.mark.parametrize(
    ("bad", "state"),
    [
        pytest.param(0, "Plenty", id="nothing is spent"),
        pytest.param(270, "Plenty", id="3.75% of 5%: a quarter is left"),
        pytest.param(300, "Low", id="4.2% of 5%: a sixth is left"),
        pytest.param(360, "Exhausted", id="5% of 5%"),
        pytest.param(720, "Exhausted", id="10% of 5%"),
    ],
)
def test_the_error_budget(bad: float, state: str) -> None:
    assert budget_state(report(TTFT, shares((0, 100), (0, 500), (bad, 7200)), None)) == state


def test_without_events_nothing_is_known_of_the_budget() -> None:
    assert budget_state(report(TTFT, shares((0, 0), (0, 0), (0, 0)), None)) is None


def test_a_target_of_all_requests_has_no_budget_to_spend() -> None:
    perfect = objective(target=1.0)
    assert report(perfect, GOOD, None).budget_left == 1.0
    spoiled = report(perfect, shares((1, 100), (1, 500), (1, 7200)), None)
    assert (spoiled.state, spoiled.budget_left) == ("Breached", 0.0)


@LAW
@given(st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 1e4))
def test_more_bad_events_never_make_it_better(good: float, bad: float, more: float) -> None:
    rank = ("Met", "Burning", "Breached")
    total = good + bad + more + 5.0
    few, many = (judge(TTFT, shares((b, total), (b, total)), None) for b in (bad, bad + more))
    assert rank.index(many) >= rank.index(few)
