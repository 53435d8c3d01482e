from dataclasses import replace
from decimal import Decimal

import pytest
from core.cases import START, condition, decided, fallback, observation, spec, variant

from flyball.core.fleet.capacity import RequestShape
from flyball.core.money.prices import in_force, missing, overflow_price, stale
from flyball.core.spec import Component, HostedModel, Prices, Unit, WorkloadSpec

HOSTED = HostedModel("small", Decimal("0.15"), Decimal("0.60"))
SHAPE = RequestShape(80.0, 1000.0, 200.0)
DAY = 86400.0


def booked(**prices: object) -> WorkloadSpec:
    """A workload whose GPU price stands in the PriceBook `contract`."""
    return spec(variant(by_book=True), prices=Prices("contract", **prices))  # type: ignore[arg-type]


def test_a_book_s_prices_are_unknown_before_its_first_day_and_hold_from_then_on() -> None:
    logs = Component("logs", "Observability", Unit.REQUEST, Decimal("0.001"))
    workload = booked(components=(logs,), hosted=HOSTED, effective_at=START + DAY)
    early = in_force(workload, START)
    assert (early.variants[0].price_per_gpu_hour, early.prices.components, early.prices.hosted) == (None, (), None)
    assert missing(early) == ("PriceBook contract holds only from 2027-01-16 on",)
    assert in_force(workload, START + DAY) == workload


def test_a_price_of_the_manifest_holds_whatever_the_book_says() -> None:
    workload = replace(booked(effective_at=START + DAY), variants=(variant(price="3"),))
    assert in_force(workload, START).variants[0].price_per_gpu_hour == 3


@pytest.mark.parametrize(
    ("declared", "hosted", "shape", "dollars"),
    [
        pytest.param({"price_per_request": Decimal("0.004")}, None, None, "0.004", id="by the request"),
        pytest.param({}, HOSTED, SHAPE, "0.00027", id="by token: 1000 × $0.15 and 200 × $0.60 a million"),
        pytest.param({}, HOSTED, None, None, id="unknown while no request was measured"),
        pytest.param({}, None, SHAPE, None, id="unknown without any price"),
    ],
)
def test_what_a_request_costs_on_the_fallback(
    declared: dict[str, Decimal], hosted: HostedModel | None, shape: RequestShape | None, dollars: str | None
) -> None:
    found = overflow_price(fallback(**declared), Prices(hosted=hosted), shape)
    assert found == (None if dollars is None else Decimal(dollars))


@pytest.mark.parametrize(
    ("workload", "reason", "said"),
    [
        pytest.param(booked(), "Priced", "", id="all known"),
        pytest.param(booked(stale_at=START + 1), "Priced", "", id="not stale yet"),
        pytest.param(booked(stale_at=START), "PriceStale", "PriceBook contract is stale since 2027-01-15", id="stale"),
        pytest.param(
            booked(missing=("PriceBook contract holds no rate of labour role Clerk",)),
            "PriceMissing",
            "labour role Clerk",
            id="a rate that the book lacks",
        ),
        pytest.param(
            spec(fallback=fallback()), "PriceMissing", "set fallback.pricePerRequest", id="a fallback without a price"
        ),
        pytest.param(
            spec(fallback=fallback(), prices=Prices("contract", hosted=HOSTED)), "Priced", "", id="a hosted model"
        ),
        pytest.param(
            in_force(booked(effective_at=START + DAY), START), "PriceMissing", "from 2027-01-16 on", id="not yet"
        ),
    ],
)
def test_the_condition_names_what_is_missing_or_stale(workload: WorkloadSpec, reason: str, said: str) -> None:
    decision = decided(workload, observation())
    assert condition(decision, "PriceTrusted") == (reason == "Priced", reason)
    assert said in next(c.message for c in decision.conditions if c.type == "PriceTrusted")


def test_stale_prices_are_used_all_the_same() -> None:
    workload = booked(stale_at=START)
    assert stale(workload.prices, START)
    assert decided(workload, observation()).cost.per_hour == 4
