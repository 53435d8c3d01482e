"""From a PriceBook that names OpenCost to the closing bill, over a real Prometheus whose prices change meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.fakes import Deployment, FakeCluster
from support.opencost import add_node
from support.real_prometheus import History, serve
from support.world import START, World

from flyball.cli.main import main
from flyball.core.observation import PodSpan, VariantState
from flyball.runtime.bookkeeper import Bookkeeper
from flyball.runtime.tick import Ticker
from flyball.telemetry.node_prices import NodePriceReader
from flyball.telemetry.settings import PrometheusSettings

CHANGE, END = START + 900, START + 1800
PRICES = ((START, CHANGE, Decimal("2.5")), (CHANGE, END, Decimal("3.25")))
"""Dollars of one GPU hour by OpenCost, from when to when."""
OVERHEAD = Decimal("1.1")
GPUS = 8
PODS = {"early": (START, END), "late": (START + 300, START + 1200)}
"""Each pod of eight GPUs, from when it holds them to when it is gone."""
BOOK = {
    "kind": "PriceBook",
    "metadata": {"name": "prices", "uid": "book", "generation": 1},
    "spec": {
        "nodeOverhead": "10%",
        "gpus": [{"accelerator": "NVIDIA-H100", "openCost": {"instanceTypes": ["p5.48xlarge"], "staleAfter": "15m"}}],
    },
}


def build() -> History:
    """OpenCost runs until the end of the half hour, and not again."""
    history, times = History(), [START - 600 + 60 * step for step in range(41)]
    add_node(history, times, "gpu-1", gpu=lambda at: 2.5 if at < CHANGE else 3.25)
    add_node(history, times, "gpu-2", gpu=lambda at: 2.5 if at < CHANGE else 3.25)
    add_node(history, times, "spot-1", gpu=1.1, spot=True)
    add_node(history, times, "l4-1", instance_type="g6.xlarge", gpu=0.8)
    return history


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(build(), tmp_path_factory.mktemp("prometheus")) as address:
        yield address


@dataclass
class WithPods(FakeCluster):
    """A cluster in which these pods hold GPUs, each until its time."""

    now: list[float] = field(default_factory=lambda: [START])

    def _variant(self, name: str, found: Deployment | None) -> VariantState:
        at = self.now[0]
        here = [PodSpan(uid, since, since + 60) for uid, (since, until) in PODS.items() if since <= at < until]
        state = super()._variant(name, found)
        return replace(state, accelerator="NVIDIA-H100", gpus_per_replica=GPUS, pods=tuple(here))


class Priced(World):
    """A world whose operator reads OpenCost's prices, and whose accelerator the cluster alone tells."""

    def __init__(self, url: str) -> None:
        self.settings = PrometheusSettings(url, timeout_seconds=60)
        super().__init__()
        self.cluster = WithPods(self.mirror)
        self.metrics.cluster = self.cluster
        self.restart()
        self.mirror.put_book(BOOK)
        target = {"targetRef": {"name": "chat"}, "minReplicas": 2, "maxReplicas": 4, "startupTime": "60s"}
        self.apply(targets=[target], mode="Recommend", cost={"priceBookRef": {"name": "prices"}})

    def restart(self) -> None:
        super().restart()
        self.reader = NodePriceReader(self.settings)
        self.ticker = Ticker(self.mirror, self.metrics, self.cluster, self.events, node_prices=self.reader.read)

    async def step(self, keeper: Bookkeeper | None = None) -> None:
        """One tick; what it asks Prometheus beside it is answered before the next."""
        self.cluster.now[0] = self.at  # type: ignore[attr-defined]
        report = await self.tick()
        if keeper is not None:
            keeper._account(report)
        await asyncio.gather(*self.reader._windows._running.values())


@pytest.fixture
async def priced(url: str) -> AsyncIterator[Priced]:
    world = Priced(url)
    yield world
    await world.reader.aclose()


def bill_by_hand() -> Decimal:
    """What the pods cost from their own times and OpenCost's prices, without anything of the ledger's."""
    total = Decimal(0)
    for since, until in PODS.values():
        for start, end, dollars in PRICES:
            held = max(0.0, min(until, end) - max(since, start))
            total += Decimal(str(held)) / 3600 * GPUS * dollars * OVERHEAD
    return total


async def test_the_bill_closes_with_prices_that_opencost_changes(priced: Priced, tmp_path: Path) -> None:
    ledger = str(tmp_path / "ledger.db")
    keeper = Bookkeeper(f"sqlite:///{ledger}")
    while priced.at <= END:
        await priced.step(keeper)
    keeper._pending += keeper._closed(list(keeper._accounts))
    assert keeper._write(keeper._opened())  # type: ignore[arg-type]
    when = ("--from", "2026-01-09T12:00", "--to", "2026-01-09T12:30")
    done = CliRunner().invoke(main, ["cost", "show", "--ledger", ledger, *when, "-o", "json"])
    assert done.exit_code == 0, done.output
    [made] = json.loads(done.output)["workloads"]
    assert Decimal(made["dollars"]) == pytest.approx(bill_by_hand(), abs=Decimal("0.000001"))
    assert made["priceMissing"] == []
    [target] = priced.status()["targets"]
    source = "OpenCost by PriceBook prices: node_gpu_hourly_cost of nodes of p5.48xlarge, OnDemand"
    assert (Decimal(target["pricePerGpuHour"]), target["priceSource"]) == (Decimal("3.575"), source)
    assert priced.condition("PriceTrusted")["message"] == f"prices from {source}"


async def test_a_price_that_is_no_longer_seen_is_charged_and_said_to_be_old_also_by_a_new_process(
    priced: Priced,
) -> None:
    priced.at = END + 840
    await priced.step()
    assert priced.condition("PriceTrusted")["status"] == "True"
    priced.restart()
    priced.at = END + 900
    await priced.step()
    told = priced.condition("PriceTrusted")
    assert (told["status"], told["reason"]) == ("False", "PriceStale")
    assert "last seen at 2026-01-09 12:30 UTC" in told["message"]
    assert Decimal(priced.status()["targets"][0]["pricePerGpuHour"]) == Decimal("3.575")


async def test_what_opencost_does_not_know_is_named_and_costs_nothing_that_anybody_made_up(priced: Priced) -> None:
    gpus = [{"accelerator": "NVIDIA-H100", "openCost": {"instanceTypes": ["p5e.48xlarge"]}}]
    metadata: dict[str, Any] = {**BOOK["metadata"], "generation": 2}  # type: ignore[dict-item]
    priced.mirror.put_book({**BOOK, "metadata": metadata, "spec": {"gpus": gpus}})
    await priced.step()
    told = priced.condition("PriceTrusted")
    assert (told["status"], told["reason"]) == ("False", "PriceMissing")
    assert "target chat has no price: OpenCost tells of no nodes of p5e.48xlarge" in told["message"]
    assert "pricePerGpuHour" not in priced.status()["targets"][0]


async def test_steady_prices_write_nothing(priced: Priced) -> None:
    for _ in range(8):
        await priced.step()
    priced.cluster.writes.clear()
    for _ in range(12):
        await priced.step()
    assert priced.cluster.writes == []
