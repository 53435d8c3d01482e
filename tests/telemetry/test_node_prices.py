"""OpenCost's node prices, read from a real Prometheus by its names and labels, and from what may go wrong there."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.opencost import add_node
from support.prometheus import Stub, vector
from support.real_prometheus import History, serve

from flyball.core.money.node_prices import PER_GPU, PER_NODE, NodePrice, NodePriceRule, quote
from flyball.telemetry.answers import Row
from flyball.telemetry.node_prices import GPUS, KEPT_SECONDS, SEEN, SPOT, NodePriceReader, read
from flyball.telemetry.settings import PrometheusSettings

NOW = 1_700_000_040.0
"""A whole minute."""
TIMES = [NOW - 7200 + 60 * step for step in range(121)]
GONE = NOW - 1800


def build() -> History:
    history = History()
    add_node(history, TIMES, "gpu-1")
    add_node(history, TIMES, "gpu-1", job="opencost-of-another-scrape")
    add_node(history, TIMES, "gpu-2", gpu=lambda at: 2.5 if at < NOW - 600 else 3.25)
    add_node(history, TIMES, "spot-1", gpu=1.1, spot=True)
    add_node(history, TIMES, "l4-1", instance_type="g6.xlarge", gpus=1, gpu=0.95)
    add_node(history, TIMES, "cpu-1", instance_type="m7.large", gpus=0, gpu=0.0)
    add_node(history, [at for at in TIMES if at <= GONE], "gone-1", gpu=2.25)
    add_node(history, [at for at in TIMES if at <= NOW - 5400], "long-gone-1")
    # A scrape that attaches the label `node` itself, without honor_labels: OpenCost's own is renamed.
    add_node(history, TIMES, "where-opencost-runs", gpu=9.0, exported_node="gpu-3")
    return history


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(build(), tmp_path_factory.mktemp("prometheus")) as address:
        yield address


async def prices(url: str, at: float = NOW) -> dict[str, NodePrice]:
    reader = NodePriceReader(PrometheusSettings(url, timeout_seconds=60))
    found = {node.node: node for node in await reader.read(at)}
    await reader.aclose()
    return found


def h100(name: str, per_gpu: str, total: str, **fields: object) -> NodePrice:
    given = {"spot": False, "seen_at": NOW, **fields}
    return NodePrice(name, "p5.48xlarge", Decimal("8.0"), Decimal(per_gpu), Decimal(total), **given)  # type: ignore[arg-type]


async def test_every_node_with_gpus_has_its_last_price_and_when_it_was_seen(url: str) -> None:
    assert await prices(url) == {
        "gpu-1": h100("gpu-1", "2.5", "24.0"),
        "gpu-2": h100("gpu-2", "3.25", "30.0"),
        "gpu-3": h100("gpu-3", "9.0", "76.0"),
        "spot-1": h100("spot-1", "1.1", "12.8", spot=True),
        "gone-1": h100("gone-1", "2.25", "22.0", seen_at=GONE),
        "l4-1": NodePrice("l4-1", "g6.xlarge", Decimal("1.0"), Decimal("0.95"), Decimal("4.95"), False, NOW),
    }


async def test_a_price_is_that_of_the_time_that_is_asked_for(url: str) -> None:
    assert (await prices(url, NOW - 660))["gpu-2"].per_gpu == Decimal("2.5")


async def test_one_query_a_minute_is_asked_whoever_reads_and_the_last_answer_stands_when_prometheus_is_gone() -> None:
    labels = {"node": "gpu-1", "instance_type": "p5.48xlarge"}
    figures = {"node_gpu_count": 8, "node_gpu_hourly_cost": 2.5, "seen": NOW}
    body = vector(*(({**labels, "flyball_series": name}, value) for name, value in figures.items()))
    stub = Stub(lambda _: (200, {}, body) if len(stub.requests) < 3 else (503, {}, b""))
    reader = NodePriceReader(PrometheusSettings(stub.url, timeout_seconds=60))
    for tick in range(12):
        [found] = await reader.read(NOW + 15 * tick)
        await asyncio.gather(*reader._windows._running.values())
    assert (found.per_gpu, len(stub.requests)) == (Decimal("2.5"), 3)
    for later in (7200.0, KEPT_SECONDS - 1):
        assert await reader.read(NOW + later) == (found,)
    assert await reader.read(NOW + KEPT_SECONDS) == ()
    await reader.aclose()
    stub.close()


@pytest.mark.parametrize(
    ("figures", "known"),
    [
        pytest.param({"node_gpu_hourly_cost": float("nan")}, ("0.0", None, None), id="no number"),
        pytest.param({"node_gpu_hourly_cost": float("inf")}, ("0.0", None, None), id="infinite"),
        pytest.param({"node_gpu_hourly_cost": -2.0}, ("0.0", None, None), id="below zero"),
        pytest.param({"node_gpu_hourly_cost": 2.0, "kubecost_node_is_spot": 1}, ("2.0", None, True), id="no total"),
    ],
)
def test_a_figure_that_cannot_be_is_not_there(figures: dict[str, float], known: tuple[object, ...]) -> None:
    given = {"node_gpu_count": 8.0, "seen": NOW, **figures}
    [node] = read([Row({"node": "gpu-1", "flyball_series": name}, value) for name, value in given.items()])
    assert (str(node.per_gpu), node.total, node.spot) == known


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from([GPUS, SEEN, PER_GPU, PER_NODE, SPOT]), st.floats()), max_size=8))
def test_whatever_the_gauges_say_a_price_is_above_zero_or_missing(figures: list[tuple[str, float]]) -> None:
    rows = [Row({"node": "gpu-1", "flyball_series": name}, value) for name, value in figures]
    for whole_node in (False, True):
        found = quote(NodePriceRule("prices", "any", "OnDemand", whole_node=whole_node), read(rows))
        assert (found.price is None) == bool(found.problem)
        assert found.price is None or found.price > 0
