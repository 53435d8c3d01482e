"""What rivals' wishes cost by hand, and the load test that stands for their users'."""

from dataclasses import replace
from decimal import Decimal

import pytest
from core import cases
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.advice.shadow import DAY_SECONDS, HOUR_SECONDS, Account, Asked, asked, load_tests
from flyball.core.fleet.capacity import RequestShape, replica_capacity, start_fit
from flyball.core.memory import Memory, VariantMemory
from flyball.core.observation import VariantState, WorkloadState
from flyball.core.spec import Variant
from flyball.core.traffic.demand import limits_of

TICK = 15.0
TWO, FOUR = Asked(2, Decimal(4)), Asked(4, Decimal(8))


def account(*stretches: tuple[float, Asked | None, Asked], begin: float = 0.0) -> Account:
    """Looks every 15 s: for so many seconds each, what the rival and Flyball ask for."""
    found, at = Account(), begin
    for seconds, rival, own in stretches:
        until = at + seconds
        while at < until:
            found, at = found.advanced(at, rival, own), at + TICK
    return found.advanced(at, stretches[-1][1], stretches[-1][2])


def test_replica_hours_and_dollars_of_an_hour() -> None:
    bill = account((1800, FOUR, TWO), (1800, TWO, TWO)).bill(HOUR_SECONDS)
    assert (bill.covered_seconds, bill.replica_hours, bill.own_replica_hours) == (3600, 3.0, 2.0)
    assert (bill.dollars, bill.own_dollars) == (pytest.approx(Decimal(6)), pytest.approx(Decimal(4)))


def test_an_hour_forgets_what_is_older_and_a_day_does_not() -> None:
    found = account((7200, FOUR, TWO), (3600, TWO, TWO))
    assert found.bill(HOUR_SECONDS).replica_hours == pytest.approx(2.0, abs=0.2)
    assert found.bill(DAY_SECONDS).replica_hours == pytest.approx(10.0)


def test_a_day_is_all_that_is_kept() -> None:
    found = account((2 * DAY_SECONDS, FOUR, TWO))
    assert len(found.slots) == 289
    assert found.bill(DAY_SECONDS).replica_hours == pytest.approx(96, rel=0.01)


@pytest.mark.parametrize(
    ("gap", "covered"),
    [pytest.param(60.0, 60.0, id="four looks late"), pytest.param(61.0, 0.0, id="nobody knows any more")],
)
def test_a_gap_counts_for_neither(gap: float, covered: float) -> None:
    found = Account().advanced(0.0, FOUR, TWO).advanced(gap, FOUR, TWO).bill(HOUR_SECONDS)
    assert (found.covered_seconds, found.own_replica_hours) == (covered, pytest.approx(2 * covered / 3600))


def test_a_rival_that_asks_for_nothing_known_covers_no_time() -> None:
    assert account((600, None, TWO)).bill(HOUR_SECONDS).covered_seconds == 0


def test_without_a_price_there_are_hours_and_no_dollars() -> None:
    bill = account((600, replace(FOUR, per_hour=None), TWO)).bill(HOUR_SECONDS)
    assert (bill.dollars, bill.own_dollars) == (None, pytest.approx(Decimal(4) / 6))
    assert bill.replica_hours == pytest.approx(4 / 6)


@given(st.lists(st.tuples(st.floats(1, 200), st.integers(0, 50)), min_size=1, max_size=40))
def test_covered_time_times_the_extremes_bounds_the_hours(looks: list[tuple[float, int]]) -> None:
    found, at = Account(), 1e9
    for seconds, replicas in looks:
        found, at = found.advanced(at, Asked(replicas, None), TWO), at + seconds
    bill = found.bill(DAY_SECONDS)
    counts = [replicas for _, replicas in looks]
    hours = bill.covered_seconds / 3600
    assert min(counts) * hours - 1e-9 <= bill.replica_hours <= max(counts) * hours + 1e-9
    assert bill.own_replica_hours == pytest.approx(2 * hours)


def variant(name: str, price: str | None, gpus: int | None) -> Variant:
    return cases.variant(name, price=price, gpus_per_replica=gpus)


@pytest.mark.parametrize(
    ("variants", "expected"),
    [
        pytest.param((variant("a", "2", 1), variant("b", "3", 2)), Decimal(3 * 2 + 1 * 2 * 3), id="two kinds"),
        pytest.param((variant("a", "2", None), variant("b", "3", 2)), Decimal(3 * 8 * 2 + 6), id="GPUs as observed"),
        pytest.param((variant("a", "2", 1), variant("b", None, 1)), None, id="one price is missing"),
        pytest.param((variant("a", "2", 1), variant("c", None, 1)), Decimal(6), id="but nothing of it is asked for"),
    ],
)
def test_what_so_many_replicas_cost(variants: tuple[Variant, ...], expected: Decimal | None) -> None:
    state = WorkloadState((VariantState("a", gpus_per_replica=8),))
    found = asked(cases.spec(*variants), state, {"a": 3, "b": 1})
    assert (found.replicas, found.per_hour) == (4, expected)


def test_a_load_test_is_known_once_the_fit_is() -> None:
    spec, shape = cases.spec(), RequestShape(300.0, 300.0, 200.0)
    name, fit = spec.variants[0].name, start_fit(cases.ENGINE)
    learned = Memory(shape=shape, variants=(VariantMemory(name, replace(fit, samples=9)),))
    assert load_tests(spec, Memory()) == (None,)
    assert load_tests(spec, replace(learned, variants=(VariantMemory(name, fit),))) == (None,)
    (found,) = load_tests(spec, learned)
    assert found is not None
    capacity = replica_capacity(fit, shape, limits_of(spec))
    assert 0 < found.requests_per_second <= capacity.requests_per_second
    seconds = found.in_flight / found.requests_per_second
    lone = float(shape.regressors(0.0) @ fit.terms) * shape.output_tokens
    full = float(shape.regressors(capacity.batch) @ fit.terms) * shape.output_tokens
    assert lone < seconds < full + 1.0, "in flight as long as a request takes at that load"
