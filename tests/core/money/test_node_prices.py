"""What a GPU hour costs by OpenCost's nodes: their mean, and never a price that nobody set."""

from dataclasses import replace
from decimal import Decimal

import pytest
from core.cases import LAW, START, condition, decided, observation, spec, variant
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.money.node_prices import NodePrice, NodePriceRule, Quote, quote
from flyball.core.money.prices import in_force, quoted
from flyball.core.spec import Prices, WorkloadSpec

RULE = NodePriceRule("prices", "NVIDIA-H100", "OnDemand", instance_types=("p5.48xlarge",))
POOL = replace(RULE, instance_types=(), node_prefixes=("gpu-a-", "gpu-b-"))
WHOLE = replace(RULE, whole_node=True)


def node(name: str = "gpu-a-1", per_gpu: str = "2.50", gpus: int = 8, **fields: object) -> NodePrice:
    given = {"total": Decimal(32), "spot": False, "seen_at": START, **fields}
    return NodePrice(name, str(given.pop("instance_type", "p5.48xlarge")), Decimal(gpus), Decimal(per_gpu), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "nodes", "dollars"),
    [
        pytest.param(RULE, [node()], "2.5", id="one node"),
        pytest.param(RULE, [node(), node(per_gpu="4.50", gpus=24)], "4", id="the mean by GPUs, not by nodes"),
        pytest.param(RULE, [node(), node(per_gpu="9", instance_type="g6.xlarge")], "2.5", id="of its instance type"),
        pytest.param(POOL, [node(), node("gpu-b-7"), node("cpu-1", per_gpu="9")], "2.5", id="by the names of a pool"),
        pytest.param(RULE, [node(), node(per_gpu="1", spot=True)], "2.5", id="on demand"),
        pytest.param(replace(RULE, spot=True), [node(), node(per_gpu="1", spot=True)], "1", id="spot"),
        pytest.param(RULE, [node(), node(per_gpu="9", seen_at=START - 301)], "2.5", id="without nodes that are gone"),
        pytest.param(RULE, [node(), node(per_gpu="9", seen_at=START - 300)], "5.75", id="with all of one scrape"),
        pytest.param(RULE, [node(), node(per_gpu="0")], "2.5", id="without nodes whose GPUs have no price"),
        pytest.param(WHOLE, [node()], "4", id="the whole node over its GPUs"),
        pytest.param(replace(RULE, factor=Decimal("0.275")), [node()], "0.6875", id="a quarter, with 10% of overhead"),
    ],
)
def test_a_gpu_hour_costs_the_mean_of_the_nodes_that_are_there(
    rule: NodePriceRule, nodes: list[NodePrice], dollars: str
) -> None:
    found = quote(rule, nodes)
    assert (found.price, found.problem) == (Decimal(dollars), "")


@pytest.mark.parametrize(
    ("per_gpu", "written"),
    [("2.5", "2.50"), ("30.0", "30.00"), ("2.123456789", "2.123457"), ("2.125", "2.125"), ("0.000001", "0.000001")],
)
def test_a_price_is_written_to_the_cent_or_as_precisely_as_it_is_known(per_gpu: str, written: str) -> None:
    assert str(quote(RULE, [node(per_gpu=per_gpu)]).price) == written


@pytest.mark.parametrize(
    ("rule", "nodes", "said"),
    [
        pytest.param(RULE, [], "tells of no nodes of p5.48xlarge with GPUs: is it scraped", id="no OpenCost"),
        pytest.param(POOL, [node("cpu-1")], "nodes named gpu-a-… or gpu-b-… with GPUs", id="no such pool"),
        pytest.param(RULE, [node(spot=True)], "that are OnDemand (kubecost_node_is_spot)", id="only spot"),
        pytest.param(RULE, [node(spot=None)], "(kubecost_node_is_spot)", id="nobody says whether spot"),
        pytest.param(RULE, [node(per_gpu="0")], "has no node_gpu_hourly_cost", id="zero is no price"),
        pytest.param(RULE, [node(per_gpu="0.95")], "$0.95 for nodes of p5.48xlarge is its built-in", id="the default"),
        pytest.param(WHOLE, [node(per_gpu="0")], "has no node_total_hourly_cost", id="a node without its GPUs' price"),
        pytest.param(WHOLE, [node(per_gpu="0.95")], "built-in default", id="a node with the default GPU price"),
        pytest.param(WHOLE, [node(total=None)], "has no node_total_hourly_cost", id="no price of the whole node"),
    ],
)
def test_what_opencost_does_not_know_has_no_price(rule: NodePriceRule, nodes: list[NodePrice], said: str) -> None:
    found = quote(rule, nodes)
    assert found.price is None
    assert said in found.problem


@LAW
@given(st.lists(st.tuples(st.integers(1, 16), st.integers(1, 10_000)), min_size=1, max_size=6), st.randoms())
def test_the_price_lies_among_those_of_the_nodes_in_whatever_order_they_come(
    nodes: list[tuple[int, int]], dice: object
) -> None:
    known = [node(f"gpu-a-{i}", str(Decimal(cents) / 1000), gpus) for i, (gpus, cents) in enumerate(nodes)]
    known = [each for each in known if each.per_gpu != Decimal("0.95")] or [node()]
    found = quote(RULE, known)
    dice.shuffle(known)  # type: ignore[attr-defined]
    assert quote(RULE, known) == found
    assert found.price is not None
    assert found.lowest - Decimal("1e-6") <= found.price <= found.highest + Decimal("1e-6")


def booked(rule: NodePriceRule = RULE, own: str | None = None) -> WorkloadSpec:
    rule = replace(rule, own=None if own is None else Decimal(own))
    return spec(variant(price=own, node_price=rule, by_book=True), prices=Prices("prices"))


def judged(rule: NodePriceRule, own: str | None, found: Quote, at: float = START) -> WorkloadSpec:
    workload = booked(rule, own)
    rules = [each.node_price for each in workload.variants if each.node_price]
    return quoted(workload, dict.fromkeys(rules, found), at)


GOOD = quote(RULE, [node()])
APART = quote(RULE, [node(), node(per_gpu="2.80")])
LACKING = quote(RULE, [])


@pytest.mark.parametrize(
    ("own", "found", "at", "dollars", "reason", "said"),
    [
        pytest.param(None, GOOD, START, "2.5", "Priced", "OpenCost by PriceBook prices: node_gpu", id="read"),
        pytest.param(None, LACKING, START, None, "PriceMissing", "target gpu has no price: OpenCost", id="missing"),
        pytest.param(None, GOOD, START + 3599, "2.5", "Priced", "", id="an hour old"),
        pytest.param(None, GOOD, START + 3600, "2.5", "PriceStale", "last seen at 2027-01-15 08:00 UTC", id="stale"),
        pytest.param(None, APART, START, "2.65", "PriceDisagrees", "from $2.50 to $2.80 per GPU hour", id="nodes"),
        pytest.param("2.75", GOOD, START, "2.75", "Priced", "PriceBook prices: NVIDIA-H100", id="the book's"),
        pytest.param("2.76", GOOD, START, "2.76", "PriceDisagrees", "$2.76 per GPU hour of NVIDIA-H100", id="above"),
        pytest.param("2.24", GOOD, START, "2.24", "PriceDisagrees", "OpenCost $2.50: more than 10% apart", id="below"),
        pytest.param("9", GOOD, START + 3600, "9", "Priced", "NVIDIA-H100", id="not held against an old price"),
        pytest.param("2.6", APART, START, "2.6", "Priced", "NVIDIA-H100", id="nodes differ, and the book's is charged"),
        pytest.param("3", LACKING, START, "3", "Priced", "(not compared: OpenCost tells of", id="not compared"),
    ],
)  # fmt: skip
def test_the_condition_says_what_is_missing_stale_or_disagrees(
    own: str | None, found: Quote, at: float, dollars: str | None, reason: str, said: str
) -> None:
    workload = judged(RULE, own, found, at)
    assert workload.variants[0].price_per_gpu_hour == (None if dollars is None else Decimal(dollars))
    decision = decided(workload, replace(observation(), at=at))
    assert condition(decision, "PriceTrusted") == (reason == "Priced", reason)
    assert said in next(each.message for each in decision.conditions if each.type == "PriceTrusted")
    assert judged(RULE, own, found, at) == quoted(workload, {workload.variants[0].node_price: found}, at), "idempotent"  # type: ignore[dict-item]


def test_before_the_book_s_first_day_opencost_s_price_does_not_hold_either() -> None:
    workload = replace(booked(), prices=Prices("prices", effective_at=START + 1))
    early = in_force(quoted(workload, {RULE: APART}, START), START)
    assert (early.variants[0].price_per_gpu_hour, early.prices.doubtful) == (None, ())
