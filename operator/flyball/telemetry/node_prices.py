"""OpenCost's node prices out of Prometheus: one query whatever the number of workloads, beside the ticks.

    node_gpu_hourly_cost     dollars per hour of each GPU of a node
    node_total_hourly_cost   dollars per hour of a node, GPUs included
    node_gpu_count           GPUs of a node
    kubecost_node_is_spot    1 where the node may be taken back

As of OpenCost 1.120 (pkg/costmodel/metrics.go), each with the labels instance, node, instance_type, region,
provider_id, arch and uid. A scrape without `honor_labels` may call the node's own label exported_node.
"""

import asyncio
from collections.abc import Iterable
from contextlib import closing
from decimal import Decimal

from flyball.core.money.node_prices import PER_GPU, PER_NODE, NodePrice
from flyball.core.observation import believable
from flyball.telemetry.answers import Answer, Row
from flyball.telemetry.promql import SERIES_LABEL, duration, either, tagged
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.slow import SlowWindows
from flyball.telemetry.transport import PrometheusClient

GPUS, SPOT, SEEN = "node_gpu_count", "kubecost_node_is_spot", "seen"
REFRESH_SECONDS = 60.0
LOOK_BACK_SECONDS = 3600.0
"""How far back a price is looked for whose node, or OpenCost itself, is gone: a new process finds it by that."""
KEPT_SECONDS = 86_400.0
"""How long a process remembers the price of a node that is gone."""
FEWEST_GPUS = 0.01
"""A node with less of a GPU than this has none."""
_BY = "node, exported_node, instance_type"


def query(look_back_seconds: float = LOOK_BACK_SECONDS) -> str:
    """All that is asked, in one query: each gauge's last value by node, and when it was last seen."""
    window = duration(look_back_seconds)
    gpus = f"max by ({_BY}) (last_over_time({GPUS}[{window}])) > 0"
    parts = [tagged(f"({gpus})", GPUS)]
    for name in (PER_GPU, PER_NODE, SPOT):
        last = f"max by ({_BY}) (last_over_time({name}[{window}])) and ({gpus})"
        parts.append(tagged(f"({last})", name))
    times = f"max by ({_BY}) (max_over_time(timestamp({PER_GPU})[{window}:60s])) and ({gpus})"
    return either([*parts, tagged(f"({times})", SEEN)])


def read(rows: Iterable[Row]) -> tuple[NodePrice, ...]:
    """The prices of the nodes with GPUs that these rows tell of. A figure that cannot be is one that is not there."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        name = row.labels.get("exported_node") or row.labels.get("node", "")
        if name and believable(row.value):
            node = (name, row.labels.get("instance_type", ""))
            found.setdefault(node, {})[row.labels.get(SERIES_LABEL, "")] = row.value
    return tuple(_node(*node, figures) for node, figures in sorted(found.items()) if _whole(figures))


def _whole(figures: dict[str, float]) -> bool:
    return SEEN in figures and figures.get(GPUS, 0.0) >= FEWEST_GPUS


def _node(name: str, instance_type: str, figures: dict[str, float]) -> NodePrice:
    spot, total = figures.get(SPOT), figures.get(PER_NODE)
    return NodePrice(
        name,
        instance_type,
        gpus=_exact(figures[GPUS]),
        per_gpu=_exact(figures.get(PER_GPU, 0.0)),
        total=None if total is None else _exact(total),
        spot=None if spot is None else spot > 0,
        seen_at=figures[SEEN],
    )


def _exact(value: float) -> Decimal:
    return Decimal(repr(value))


def ask(settings: PrometheusSettings, at: float) -> tuple[tuple[NodePrice, ...], str]:
    """What Prometheus has of them at that time (epoch seconds), and a sentence where it did not answer."""
    with closing(PrometheusClient(settings)) as client:
        answer = client.ask(query(), at, settings.timeout_seconds)
    return read(answer.rows), answer.failure


class NodePriceReader:
    """Asks and remembers. Its `read` is what a tick reads node prices with."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self._client = PrometheusClient(settings)
        self._patience_seconds = settings.timeout_seconds / 4
        self._timeout_seconds = settings.slow_timeout_seconds
        self._windows = SlowWindows(REFRESH_SECONDS, lambda answer: read(answer.rows))
        self._known: dict[str, NodePrice] = {}

    async def read(self, at: float) -> tuple[NodePrice, ...]:
        """The prices known at that time (epoch seconds). Never raises, and waits for the first answer alone."""
        at += self._client.ahead_seconds

        async def ask_beside(text: str) -> Answer:
            return await asyncio.to_thread(self._client.ask, text, at, self._timeout_seconds)

        found = await self._windows.read("prices", {0.0: query()}, at, ask_beside, self._patience_seconds)
        self._known |= {node.node: node for node in found.get(0.0, ())}
        self._known = {name: node for name, node in self._known.items() if at - node.seen_at < KEPT_SECONDS}
        return tuple(self._known.values())

    async def aclose(self) -> None:
        """Stop what runs in the background and close the connections."""
        await self._windows.aclose()
        self._client.close()
