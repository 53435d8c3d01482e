"""Prices of a book, resolved: the whole GPU's, a fraction's, components' and labour's, and what is missing by name."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from flyball.api.convert import read_workload, to_workload
from flyball.api.parse import parse_resource
from flyball.api.pricing import gpu_price, node_price, price_per_gpu_hour, prices_of
from flyball.api.v1alpha1 import PriceBook, PriceBookSpec, WorkloadSLOSpec
from flyball.api.v1alpha1.words import CapacityType
from flyball.core.money.node_prices import NodePriceRule
from flyball.core.spec import BackendPrice, HostedModel, Invalid, Unit, WorkloadSpec

GPUS = [{"accelerator": "NVIDIA-L4", "onDemand": "0.80", "spot": "0.35"}]
FALLBACK = {"routes": [{"httpRoute": "chat", "primary": "own", "fallback": "hosted"}], "hostedModel": "small"}


def book(**fields: Any) -> PriceBookSpec:
    return PriceBookSpec.model_validate({"gpus": GPUS} | fields)


def workload(**fields: Any) -> WorkloadSLOSpec:
    targets = [{"targetRef": {"name": "chat"}, "maxReplicas": 2}]
    return WorkloadSLOSpec.model_validate({"workloadType": "SupportBot", "targets": targets} | fields)


def shelf(found: PriceBookSpec) -> dict[str, PriceBook]:
    return {"prices": PriceBook(spec=found)}


@pytest.mark.parametrize(
    ("fields", "accelerator", "capacity", "dollars"),
    [
        pytest.param({}, "NVIDIA-L4", CapacityType.ON_DEMAND, "0.80", id="on demand"),
        pytest.param({}, "NVIDIA-L4", CapacityType.SPOT, "0.35", id="spot"),
        pytest.param({}, "NVIDIA-L4", CapacityType.RESERVED, None, id="no such capacity"),
        pytest.param({}, "NVIDIA-B200", CapacityType.ON_DEMAND, None, id="no such accelerator"),
        pytest.param({"nodeOverhead": "12.5%"}, "NVIDIA-L4", CapacityType.ON_DEMAND, "0.9", id="with its node"),
        pytest.param(
            {
                "fractions": [{"accelerator": "NVIDIA-L4-SHARED", "of": "NVIDIA-L4", "share": "25%"}],
                "nodeOverhead": "10%",
            },
            "NVIDIA-L4-SHARED",
            CapacityType.ON_DEMAND,
            "0.22",
            id="a quarter by time slicing, with its share of the node",
        ),
    ],
)
def test_the_price_of_a_gpu_hour(
    fields: dict[str, Any], accelerator: str, capacity: CapacityType, dollars: str | None
) -> None:
    found = price_per_gpu_hour(book(**fields), accelerator, capacity)
    assert found == (None if dollars is None else Decimal(dollars))


@pytest.mark.parametrize(
    ("price", "unit", "dollars"),
    [
        pytest.param({"perRequest": "0.001"}, Unit.REQUEST, "0.001", id="by the request"),
        pytest.param({"perMillionTokens": "0.02"}, Unit.MILLION_TOKENS, "0.02", id="by token"),
        pytest.param({"perHour": "0.35"}, Unit.HOUR, "0.35", id="by the hour"),
        pytest.param({"perGibibyte": "0.1", "gibibytesStored": "146"}, Unit.HOUR, "0.02", id="stored for a month"),
        pytest.param({"perGibibyte": "0.1", "gibibytesPerRequest": "0.02"}, Unit.REQUEST, "0.002", id="moved"),
    ],
)
def test_a_component_has_one_price_per_unit(price: dict[str, str], unit: Unit, dollars: str) -> None:
    rates = book(components=[{"name": "part", "kind": "Other"} | price])
    [found] = prices_of(workload(), "prices", shelf(rates)).components
    assert (found.name, found.kind, found.unit, found.price) == ("part", "Other", unit, Decimal(dollars))


def test_labour_is_a_component_of_every_request_at_the_book_s_rate() -> None:
    rates = book(laborRates=[{"role": "Clerk", "perHour": "42"}])
    spec = workload(cost={"labor": [{"role": "Clerk", "minutesPerRequest": "0.1"}]})
    [found] = prices_of(spec, "prices", shelf(rates)).components
    assert (found.name, found.kind, found.unit, found.price) == ("Clerk", "Labor", Unit.REQUEST, Decimal("0.07"))


def test_dates_are_days_of_utc_and_a_hosted_model_is_found_by_its_name() -> None:
    rates = book(
        effectiveFrom="2028-02-29",
        staleAfter="1d",
        hostedModels=[{"name": "small", "perMillionInputTokens": "0.15", "perMillionOutputTokens": "0.6"}],
    )
    found = prices_of(workload(fallback=FALLBACK), "prices", shelf(rates))
    assert (found.effective_at, found.stale_at) == (1_835_395_200.0, 1_835_481_600.0)
    assert found.hosted == HostedModel("small", Decimal("0.15"), Decimal("0.6"))
    assert found.missing == ()


BACKENDS = [
    {"name": "hosted", "kind": "HostedModel", "hostedModel": "large"},
    {"name": "queue", "kind": "HumanQueue", "labor": {"role": "Clerk", "minutesPerRequest": "6"}},
]


def test_every_fallback_backend_is_priced_by_its_own_model_and_role() -> None:
    rates = book(
        hostedModels=[{"name": "large", "perMillionInputTokens": "3", "perMillionOutputTokens": "15"}],
        laborRates=[{"role": "Clerk", "perHour": "40"}],
    )
    routes = [{"httpRoute": name, "primary": "own", "fallback": name} for name in ("hosted", "queue")]
    spec = workload(fallback={"routes": routes, "backends": BACKENDS})
    found = prices_of(spec, "prices", shelf(rates))
    assert found.backends == (
        BackendPrice("hosted", HostedModel("large", Decimal(3), Decimal(15))),
        BackendPrice("queue", labor_per_request=Decimal(4)),
    )
    assert (found.components, found.missing) == ((), ())
    assert prices_of(spec, "prices", shelf(book())).missing == (
        "PriceBook prices holds no hosted model large",
        "PriceBook prices holds no rate of labour role Clerk",
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("prices", "PriceBook prices holds no", id="the book lacks it"),
        pytest.param("other", "is not known: PriceBook other does not exist or is invalid", id="no such book"),
        pytest.param(None, "is not known: set cost.priceBookRef", id="no book named"),
    ],
)
def test_what_is_looked_up_in_vain_is_named(name: str | None, said: str) -> None:
    spec = workload(fallback=FALLBACK, cost={"labor": [{"role": "Clerk", "minutesPerRequest": "1"}]})
    found = prices_of(spec, name, shelf(book()))
    assert (found.components, found.hosted) == ((), None)
    assert ["hosted model small" in found.missing[0], "labour role Clerk" in found.missing[1]] == [True, True]
    assert all(said in sentence for sentence in found.missing)


@pytest.mark.parametrize(
    ("cost", "book_in", "reckoned", "currency", "usable"),
    [
        pytest.param({}, {}, None, "USD", True, id="nobody says a word: dollars"),
        pytest.param({}, {"currency": "EUR"}, None, "EUR", True, id="the book's"),
        pytest.param({"currency": "EUR"}, {"currency": "EUR"}, "EUR", "EUR", True, id="all agree"),
        pytest.param({"currency": "EUR"}, {}, None, "EUR", False, id="the book is in another than the workload"),
        pytest.param({}, {"currency": "EUR"}, "USD", "USD", False, id="the book is in another than Flyball reckons in"),
    ],
)
def test_prices_in_another_currency_are_missing_and_never_taken_as_they_are(
    cost: dict[str, str], book_in: dict[str, str], reckoned: str | None, currency: str, usable: bool
) -> None:
    components = [{"name": "vectors", "kind": "VectorDatabase", "perRequest": "0.001"}]
    books = shelf(book(components=components, laborRates=[{"role": "Clerk", "perHour": "60"}], **book_in))
    value = {"kpis": [{"name": "saved", "kind": "TimeSaved", "laborRole": "Clerk"}]}
    targets = [{"targetRef": {"name": "chat"}, "maxReplicas": 2, "accelerator": "NVIDIA-L4"}]
    ceilings = [{"period": "Hour", "amount": "5"}]
    declared = workload(
        targets=targets, value=value, cost={"priceBookRef": {"name": "prices"}, "ceilings": ceilings} | cost
    )
    found = to_workload("shop", "chat", "u", 1, declared, books, currency=reckoned)
    assert (found.currency, found.ceilings[0].currency) == (currency, currency)
    told = [found.variants[0].price_source, *found.prices.missing, found.value.kpis[0].missing]
    if usable:
        assert (found.variants[0].price_per_gpu_hour, len(found.prices.components)) == (Decimal("0.80"), 1)
        return
    assert (found.variants[0].price_per_gpu_hour, found.prices.components) == (None, ())
    assert all("its spec.currency" in text and "spec.cost.currency" in text for text in told)
    assert all(f"name a book in {currency}" in text for text in told)


def test_a_workload_in_another_currency_than_flyball_reckons_in_is_refused_by_its_field() -> None:
    spec = workload(cost={"currency": "EUR"}).to_wire()
    raw = {"metadata": {"namespace": "shop", "name": "chat", "uid": "u"}, "spec": spec}
    assert isinstance(read_workload(raw, {}, currency="EUR"), WorkloadSpec)
    found = read_workload(raw, {}, currency="USD")
    assert isinstance(found, Invalid)
    assert str(found).startswith("spec.cost.currency: amounts in EUR cannot be held against the others")
    assert "reckons in USD (--currency); write the amounts in USD" in str(found)


@pytest.mark.parametrize(
    ("book_in", "opencost_in", "refused"),
    [
        pytest.param({}, {}, False, id="both dollars"),
        pytest.param({"currency": "EUR"}, {"currency": "EUR"}, False, id="both euros"),
        pytest.param({"currency": "EUR"}, {}, True, id="OpenCost's dollars in a book of euros"),
        pytest.param({}, {"currency": "EUR"}, True, id="OpenCost's euros in a book of dollars"),
    ],
)
def test_opencost_s_currency_is_said_and_must_be_the_book_s(
    book_in: dict[str, str], opencost_in: dict[str, str], refused: bool
) -> None:
    gpus = [{"accelerator": "NVIDIA-L4", "openCost": {"instanceTypes": ["g6.xlarge"]} | opencost_in}]
    parsed = parse_resource(PriceBook, {"metadata": {"name": "prices"}, "spec": {"gpus": gpus} | book_in})
    assert isinstance(parsed, tuple) is refused
    if isinstance(parsed, tuple):
        assert "openCost.currency is not the book's currency" in str(parsed[0])
    else:
        rule = node_price("prices", parsed.spec, "NVIDIA-L4", CapacityType.ON_DEMAND)
        assert rule is not None
        assert rule.currency == parsed.spec.priced_in


OPEN_COST = {
    "gpus": [
        {
            "accelerator": "NVIDIA-L4",
            "spot": "0.35",
            "openCost": {"instanceTypes": ["g6.xlarge"], "nodePrefixes": ["gpu-"], "band": "5%", "staleAfter": "30m"},
        },
        {"accelerator": "NVIDIA-H100", "openCost": {"instanceTypes": ["p5.48xlarge"], "basis": "Node"}},
    ],
    "fractions": [{"accelerator": "NVIDIA-L4-SHARED", "of": "NVIDIA-L4", "share": "25%"}],
    "nodeOverhead": "10%",
}
L4 = NodePriceRule(
    "prices", "NVIDIA-L4", "OnDemand", ("g6.xlarge",), ("gpu-",), factor=Decimal("1.1"), band=Decimal("0.05"),
    stale_after_seconds=1800.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("target", "dollars", "found"),
    [
        pytest.param({"accelerator": "NVIDIA-L4"}, None, L4, id="read from OpenCost, and the node's overhead on top"),
        pytest.param(
            {"accelerator": "NVIDIA-L4", "capacityType": "Spot"},
            "0.385",
            replace(L4, capacity="Spot", spot=True, own=Decimal("0.385")),
            id="the book's own, compared with OpenCost's",
        ),
        pytest.param(
            {"accelerator": "NVIDIA-L4-SHARED"},
            None,
            replace(L4, accelerator="NVIDIA-L4-SHARED", factor=Decimal("0.275")),
            id="a fraction of it",
        ),
        pytest.param(
            {"accelerator": "NVIDIA-H100"},
            None,
            NodePriceRule("prices", "NVIDIA-H100", "OnDemand", ("p5.48xlarge",), whole_node=True),
            id="a whole node, which has no overhead beside it, within 10% and an hour",
        ),
        pytest.param(
            {"accelerator": "NVIDIA-H100", "capacityType": "Reserved"}, None, None, id="OpenCost knows none reserved"
        ),
        pytest.param({"accelerator": "NVIDIA-H100", "pricePerGpuHour": "3"}, "3", None, id="the manifest's own"),
    ],
)
def test_a_book_may_take_a_price_from_opencost(
    target: dict[str, str], dollars: str | None, found: NodePriceRule | None
) -> None:
    spec = workload(targets=[{"targetRef": {"name": "chat"}, "maxReplicas": 2} | target])
    price = gpu_price(spec.targets[0], "prices", shelf(book(**OPEN_COST)), None)
    assert (price.dollars, price.node_price) == (None if dollars is None else Decimal(dollars), found)
