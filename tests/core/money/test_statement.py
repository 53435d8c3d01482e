"""A statement adds up: segments, idle, loading and corrections are the bill, whatever it is made of."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.money.bill import ALL_PATHS, FALLBACK_PATH, Charge, Correction, PathUse
from flyball.core.money.statement import Statement, state
from flyball.core.spec import Unit


def charge(component: str, path: str, dollars: str | None, quantity: str = "1") -> Charge:
    return Charge(
        component, "Other", path, Unit.REQUEST, Decimal(quantity), None if dollars is None else Decimal(dollars)
    )


def use(path: str, requests: int = 0, **fields: int | str) -> PathUse:
    money = {name: Decimal(value) for name, value in fields.items() if isinstance(value, str)}
    return PathUse(path, requests=Decimal(requests), **money)


STATEMENT = state(
    [use("gpu", 300, serving="6", idle="3", loading="1"), use(FALLBACK_PATH, 100)],
    [
        charge("logs", "gpu", "0.3"),
        charge("logs", FALLBACK_PATH, "0.1"),
        charge("hosted", FALLBACK_PATH, "2"),
        charge("vectors", ALL_PATHS, "0.8"),
        charge("clerk", FALLBACK_PATH, None, "100"),
    ],
    [Correction(0, 1, "gpu", Decimal("-0.5"), "credit")],
)


def test_what_a_request_costs_on_each_path_takes_all_that_the_path_causes() -> None:
    """gpu: 10 of GPUs, 0.3 of its own, 0.6 of the 0.8 shared; fallback: 2.1 and 0.2."""
    gpu, fallback = STATEMENT.paths
    assert (gpu.dollars, gpu.segment, gpu.shared) == (Decimal("10.9"), Decimal("6.9"), Decimal("0.6"))
    assert (fallback.dollars, fallback.per_request) == (Decimal("2.3"), Decimal("0.023"))
    assert gpu.per_request == Decimal("10.9") / 300
    assert gpu.per_million_tokens is None


def test_the_whole_adds_up_and_what_has_no_price_is_named() -> None:
    assert STATEMENT.dollars == Decimal("12.7")
    assert (STATEMENT.serving, STATEMENT.idle, STATEMENT.loading) == (Decimal("9.2"), 3, 1)
    assert STATEMENT.per_request == Decimal("12.7") / 400
    assert STATEMENT.by_component == (("hosted", 2), ("logs", Decimal("0.4")), ("vectors", Decimal("0.8")))
    assert STATEMENT.unpriced == (("clerk", 100),)


@pytest.mark.parametrize("charges", [[], [charge("vectors", ALL_PATHS, "0.8")]])
def test_without_requests_there_is_no_unit_cost_and_nothing_is_lost(charges: list[Charge]) -> None:
    found = state([use("gpu", idle="3")], charges, [])
    assert (found.per_request, found.paths[0].per_request) == (None, None)
    assert found.dollars == 3 + sum(c.dollars or 0 for c in charges)


names = st.sampled_from(["a", "b", FALLBACK_PATH])
dollars = st.decimals(0, 1000, places=9)
uses = st.lists(
    st.builds(
        PathUse,
        names,
        loading=dollars,
        idle=dollars,
        serving=dollars,
        unmeasured=dollars,
        requests=st.decimals(0, 10**6, places=3),
    ),
    max_size=3,
    unique_by=lambda each: each.path,
)
charges = st.lists(
    st.builds(
        Charge,
        st.sampled_from(["x", "y"]),
        st.just("Other"),
        st.one_of(names, st.just(ALL_PATHS)),
        st.just(Unit.REQUEST),
        st.just(Decimal(1)),
        st.none() | dollars,
    ),
    max_size=8,
)
corrections = st.lists(
    st.builds(Correction, st.just(0), st.just(0), st.just("gpu"), st.decimals(-100, 100, places=2), st.just("")),
    max_size=2,
)


@given(uses, charges, corrections)
def test_segments_and_idle_are_the_bill_to_the_last_digit(
    used: list[PathUse], charged: list[Charge], corrected: list[Correction]
) -> None:
    found: Statement = state(used, charged, corrected)
    bill = sum((each.dollars for each in used), Decimal(0))
    bill += sum((each.dollars or Decimal(0) for each in charged), Decimal(0))
    bill += sum((each.dollars for each in corrected), Decimal(0))
    assert found.dollars == bill
    whole = sum((path.dollars for path in found.paths), Decimal(0)) + found.unshared + found.corrected
    assert whole == bill
