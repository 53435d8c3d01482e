from datetime import UTC, datetime
from decimal import Decimal

import pytest
from core.cases import LAW, fallback, running, spec, variant
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.fleet.capacity import RequestShape
from flyball.core.memory import SpendMemory, SpendRate
from flyball.core.money.cost import (
    hourly,
    overflowed_in,
    replica_price,
    spend,
    spend_rate,
    spent_in,
    unpriced,
)
from flyball.core.names import FallbackKind, Period
from flyball.core.spec import BackendPrice, Component, FallbackBackend, Prices, Unit

NOVEMBER = datetime(2026, 11, 10, tzinfo=UTC).timestamp()
HOUR = 3600.0
TINY = Decimal("1e-9")


def rate(at: float, dollars: str) -> SpendRate:
    return SpendRate(at, Decimal(dollars))


def account(*entries: tuple[float, str], keep: float = HOUR) -> SpendMemory:
    memory = SpendMemory()
    for at, dollars in entries:
        memory = spend(memory, rate(at, dollars), keep)
    return memory


@pytest.mark.parametrize(
    ("declared", "template", "price", "dollars"),
    [
        pytest.param(4, None, "1.25", "5.00", id="4 GPUs at $1.25"),
        pytest.param(None, 2, "1.25", "2.50", id="the pod template tells the GPUs"),
        pytest.param(4, 2, "1.25", "5.00", id="the manifest outranks the template"),
        pytest.param(None, None, "1.25", None, id="unknown GPUs have no price"),
        pytest.param(4, None, None, None, id="no price is never zero"),
    ],
)
def test_the_price_of_a_replica(
    declared: int | None, template: int | None, price: str | None, dollars: str | None
) -> None:
    found = replica_price(variant(price=price, gpus_per_replica=declared), running(gpus_per_replica=template))
    assert found == (None if dollars is None else Decimal(dollars))


def test_every_replica_that_holds_gpus_is_paid_for() -> None:
    """2 serving and 1 loading at $2, and 1 at $0.50: $6.50; a pod without a node costs nothing."""
    states = (running(4, ready=2, starting=1, unschedulable=1), running(1, "b"))
    assert hourly((variant(), variant("b", price="0.50")), states) == Decimal("6.50")


def test_one_replica_without_a_price_makes_the_sum_unknown_and_none_does_not() -> None:
    variants = (variant(), variant("b", price=None))
    assert hourly(variants, (running(), running(1, "b"))) is None
    assert hourly(variants, (running(), running(0, "b"))) == 4


def test_what_is_missing_for_a_price_is_said_with_its_fix() -> None:
    variants = (variant(price=None, accelerator="L4"), variant("b", gpus_per_replica=None), variant("c"))
    sentences = unpriced(variants, (running(), running(1, "b"), running(1, "c")))
    assert len(sentences) == 2
    assert "set pricePerGpuHour, or list its accelerator L4" in sentences[0]
    assert "set gpusPerReplica" in sentences[1]


def test_spend_is_rate_times_time() -> None:
    """$6/h for an hour and $12/h for half an hour: $12."""
    memory = account((NOVEMBER, "6"), (NOVEMBER + HOUR, "12"), (NOVEMBER + 1.5 * HOUR, "12"), keep=10 * HOUR)
    assert (memory.month, memory.month_to_date) == ("2026-11", 12)
    assert spent_in(memory, NOVEMBER + 1.5 * HOUR, HOUR) == Decimal(9)


def test_a_new_month_starts_with_the_share_that_fell_into_it() -> None:
    """From 23:00 on the last day to 01:00 on the first at $6/h: $6 each."""
    start = datetime(2026, 11, 30, 23, tzinfo=UTC).timestamp()
    before = account((start, "6"), (start + HOUR - 1, "6"))
    assert before.month_to_date == pytest.approx(Decimal(6), abs=Decimal("0.01"))
    after = spend(before, rate(start + 2 * HOUR, "6"), HOUR)
    assert (after.month, after.month_to_date) == ("2026-12", 6)


def test_a_year_begins_like_any_month() -> None:
    start = datetime(2026, 12, 31, 23, 30, tzinfo=UTC).timestamp()
    after = account((start, "4"), (start + HOUR, "4"))
    assert (after.month, after.month_to_date) == ("2027-01", 2)


def test_days_are_counted_like_months() -> None:
    """$6/h from 22:00 on; $12 by midnight, and $3 half an hour later."""
    start = datetime(2026, 11, 30, 22, tzinfo=UTC).timestamp()
    before = account((start, "6"), (start + 2 * HOUR - 1, "6"))
    assert (before.day, before.to_date(Period.DAY)) == ("2026-11-30", before.month_to_date)
    after = spend(before, rate(start + 2.5 * HOUR, "6"), HOUR)
    assert (after.day, after.day_to_date, after.to_date(Period.MONTH)) == ("2026-12-01", 3, 3)


def test_overflow_is_paid_by_the_request_with_its_labour() -> None:
    """2 requests/s at $0.004 and $0.001 of labour: 2 × 0.005 × 3600 = $36/h."""
    priced = fallback(price_per_request=Decimal("0.004"), labor_cost_per_request=Decimal("0.001"))
    found = spend_rate(spec(fallback=priced), NOVEMBER, Decimal(4), 5.0, (("chat-hosted", 0.4),), None)
    assert (found.replicas, found.overflow, found.total) == (4, 36, 40)
    none = spend_rate(spec(fallback=priced), NOVEMBER + 60, Decimal(4), 5.0, (), None)
    memory = spend(spend(SpendMemory(), found, HOUR), none, HOUR)
    assert overflowed_in(memory, NOVEMBER + 120, 120.0) == pytest.approx(120.0)


def test_every_fallback_backend_has_its_own_price_and_labour() -> None:
    """1 request/s at $0.002 on a smaller model, and 0.5 at $6 of labour in a queue: 7.20 + 10800 = $10807.20/h."""
    priced = fallback(
        backends=(
            FallbackBackend("small", FallbackKind.SMALLER_MODEL, price_per_request=Decimal("0.002")),
            FallbackBackend("queue", FallbackKind.HUMAN_QUEUE),
        )
    )
    book = Prices(backends=(BackendPrice("queue", labor_per_request=Decimal(6)),))
    moved = (("small", 0.2), ("queue", 0.1))
    found = spend_rate(spec(fallback=priced, prices=book), NOVEMBER, Decimal(4), 5.0, moved, None)
    assert found.overflow == Decimal("10807.20")
    assert found.overflow_per_second == pytest.approx(1.5)


def test_without_overflow_or_fallback_only_replicas_cost() -> None:
    for workload, moved in ((spec(), (("chat-hosted", 0.4),)), (spec(fallback=fallback()), ())):
        assert spend_rate(workload, 0.0, Decimal(4), 5.0, moved, None) == SpendRate(0.0, Decimal(4))


def test_components_are_paid_for_every_request_wherever_it_is_served() -> None:
    """5 requests/s at $0.0001, 200 tokens each at $2 a million, and $0.35/h: 1.80 + 7.20 + 0.35 = $9.35/h."""
    book = Prices(
        components=(
            Component("logs", "Observability", Unit.REQUEST, Decimal("0.0001")),
            Component("embedding", "Embedding", Unit.MILLION_TOKENS, Decimal(2)),
            Component("vectors", "VectorDatabase", Unit.HOUR, Decimal("0.35")),
        )
    )
    found = spend_rate(spec(prices=book), NOVEMBER, Decimal(4), 5.0, (), RequestShape(80.0, 100.0, 100.0))
    assert (found.components, found.total) == (Decimal("9.35"), Decimal("13.35"))


def test_a_clock_that_stands_or_steps_back_spends_nothing() -> None:
    memory = account((NOVEMBER, "6"), (NOVEMBER, "6"), (NOVEMBER - 60, "6"))
    assert memory.month_to_date == 0


seconds = st.floats(0.001, 30 * 86400.0)


@LAW
@given(seconds, seconds, st.integers(0, 10**6))
def test_spend_is_additive_wherever_an_interval_is_split(first: float, second: float, cents: int) -> None:
    dollars = str(Decimal(cents) / 100)
    split = account((NOVEMBER, dollars), (NOVEMBER + first, dollars), (NOVEMBER + first + second, dollars))
    whole = account((NOVEMBER, dollars), (NOVEMBER + first + second, dollars))
    assert abs(split.month_to_date - whole.month_to_date) <= TINY * (1 + whole.month_to_date)
    assert split.month == whole.month


steps = st.lists(st.tuples(st.floats(0.1, 900.0), st.integers(0, 50)), min_size=1, max_size=60)


@LAW
@given(steps)
def test_the_month_is_the_sum_of_its_pieces_and_the_window_agrees(changes: list[tuple[float, int]]) -> None:
    at, paid, memory = NOVEMBER, Decimal(0), account((NOVEMBER, "3"), keep=1e6)
    dollars = Decimal(3)
    for step, new in changes:
        paid += dollars * Decimal(str(at + step - at)) / 3600
        at, dollars = at + step, Decimal(new)
        memory = spend(memory, SpendRate(at, dollars), 1e6)
    assert abs(memory.month_to_date - paid) < Decimal("1e-6")
    assert abs(spent_in(memory, at, at - NOVEMBER) - paid) < Decimal("1e-6")


def test_an_account_stays_small_and_exact_while_its_rate_changes_with_every_tick() -> None:
    memory, paid, at, keep = account((NOVEMBER, "1"), keep=36_000.0), Decimal(0), NOVEMBER, 36_000.0
    for tick in range(3000):
        before, at = memory.rates[-1].total, at + 15.0
        if tick >= 600:
            paid += before * 15 / 3600
        memory = spend(memory, SpendRate(at, Decimal(tick % 7), Decimal(tick % 5), float(tick % 3)), keep)
    assert len(memory.rates) < 1100
    assert abs(spent_in(memory, at, keep) - paid) / paid < Decimal("0.001")
