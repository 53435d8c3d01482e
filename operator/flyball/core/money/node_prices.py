"""What a GPU hour costs by the prices that OpenCost exports for each node; none where it says nothing to be trusted.

As of OpenCost 1.120 (pkg/costmodel/metrics.go): node_gpu_hourly_cost is per GPU and hour, node_total_hourly_cost per
node and hour, GPUs included, and a GPU whose price OpenCost does not know has 0 there, or a built-in default. Neither
is a price of anybody's. The gauges carry no currency: the PriceBook says which OpenCost reckons in.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from flyball.core.money.currency import DEFAULT_CURRENCY, labelled
from flyball.core.values import dataclass

BUILT_IN_DEFAULT = Decimal("0.95")
"""What a GPU hour costs in the configurations that OpenCost 1.120 is shipped with, whatever the GPU."""
TOGETHER_SECONDS = 300.0
"""Nodes seen this long before the newest of their kind are gone: only those that are there count."""
MICRO, CENT = Decimal("0.000001"), Decimal("0.01")
PER_GPU, PER_NODE = "node_gpu_hourly_cost", "node_total_hourly_cost"


@dataclass(frozen=True, slots=True)
class NodePrice:
    """What OpenCost said of one node with GPUs, last at `seen_at` (seconds since the epoch): dollars per hour of each
    GPU and of the whole node. `spot` is None where it does not say; `total` where it left the node's price out.
    """

    node: str
    instance_type: str
    gpus: Decimal
    per_gpu: Decimal
    total: Decimal | None
    spot: bool | None
    seen_at: float


@dataclass(frozen=True, slots=True)
class NodePriceRule:
    """Which nodes a GPU's price comes from: of these instance types, and with names that begin so; empty for any.

    `own` is the book's price beside it, which is charged, and OpenCost's only compared with it. `factor` is what a GPU
    hour of OpenCost's is multiplied with (a fraction's share, the node's overhead). Prices that differ by more than the
    share `band`, and those seen longer ago than `stale_after_seconds`, are not trusted.
    """

    book: str
    accelerator: str
    capacity: str
    instance_types: tuple[str, ...] = ()
    node_prefixes: tuple[str, ...] = ()
    spot: bool = False
    whole_node: bool = False
    factor: Decimal = Decimal(1)
    own: Decimal | None = None
    band: Decimal = Decimal("0.1")
    stale_after_seconds: float = 3600.0
    currency: str = DEFAULT_CURRENCY

    @property
    def metric(self) -> str:
        """The gauge that the price comes from."""
        return PER_NODE if self.whole_node else PER_GPU

    @property
    def nodes(self) -> str:
        """The nodes in words."""
        types = f"of {' or '.join(self.instance_types)}" if self.instance_types else ""
        names = f"named {' or '.join(f'{prefix}…' for prefix in self.node_prefixes)}" if self.node_prefixes else ""
        return f"nodes {' '.join(filter(None, (types, names)))}"

    def source(self, found: "Quote") -> str:
        """Where the price comes from, or why there is none, in words."""
        if self.own is None:
            by = f"OpenCost by PriceBook {self.book}: {self.metric} of {self.nodes}, {self.capacity}"
            return found.problem or by
        own = f"PriceBook {self.book}: {self.accelerator}, {self.capacity}"
        return f"{own} (not compared: {found.problem})" if found.problem else own


@dataclass(frozen=True, slots=True)
class Quote:
    """The price by a rule: dollars per GPU hour, the lowest and highest of its nodes, and when it was last seen.

    `problem` says why there is none, and then nothing else is set.
    """

    price: Decimal | None = None
    lowest: Decimal = Decimal(0)
    highest: Decimal = Decimal(0)
    seen_at: float = 0.0
    nodes: int = 0
    problem: str = ""


def quote(rule: NodePriceRule, known: Iterable[NodePrice]) -> Quote:
    """The mean over the rule's nodes by their GPUs, or what OpenCost lacks."""
    there = [node for node in known if _named(rule, node)]
    if not there:
        fix = "is it scraped, and are openCost.instanceTypes and nodePrefixes of PriceBook"
        return Quote(problem=f"OpenCost tells of no {rule.nodes} with GPUs: {fix} {rule.book} right?")
    kind = [node for node in there if node.spot is rule.spot]
    if not kind:
        return Quote(problem=f"OpenCost tells of no {rule.nodes} that are {rule.capacity} (kubecost_node_is_spot)")
    priced = [(node, price) for node in kind if (price := _per_gpu(rule, node)) is not None]
    if not priced:
        return Quote(problem=_unpriced(rule, kind))
    newest = max(node.seen_at for node, _ in priced)
    present = [(node, price) for node, price in priced if node.seen_at >= newest - TOGETHER_SECONDS]
    gpus = sum((node.gpus for node, _ in present), Decimal(0))
    mean = sum((price * node.gpus for node, price in present), Decimal(0)) / gpus
    prices = [price * rule.factor for _, price in present]
    return Quote(_tidy((mean * rule.factor).quantize(MICRO)), min(prices), max(prices), newest, len(present))


def stale(rule: NodePriceRule, found: Quote, at: float) -> str:
    """A sentence about a price that is charged and was last seen too long ago; empty where it was not."""
    if rule.own is not None or not _is_old(rule, found, at):
        return ""
    seen = datetime.fromtimestamp(found.seen_at, UTC).strftime("%Y-%m-%d %H:%M")
    return f"{rule.metric} of {rule.nodes} was last seen at {seen} UTC: is OpenCost running, and scraped?"


def disagreement(rule: NodePriceRule, found: Quote, at: float) -> str:
    """A sentence about prices that are further apart than the band; empty where they are not.

    A book's own price is not held against one that was last seen too long ago.
    """
    if found.price is None or (rule.own is not None and _is_old(rule, found, at)):
        return ""
    band = f"more than {float(rule.band) * 100:.4g}%"
    if rule.own is not None and abs(rule.own - found.price) > rule.band * found.price:
        return (
            f"PriceBook {rule.book} says {_shown(rule, rule.own)} per GPU hour of {rule.accelerator}, {rule.capacity}, "
            f"and OpenCost {_shown(rule, found.price)}: {band} apart"
        )
    if rule.own is None and found.highest > found.lowest * (1 + rule.band):
        apart = f"from {_shown(rule, found.lowest)} to {_shown(rule, found.highest)} per GPU hour"
        return f"OpenCost's prices of {rule.nodes} go {apart}, {band} apart: their mean is charged"
    return ""


def _is_old(rule: NodePriceRule, found: Quote, at: float) -> bool:
    return found.price is not None and at - found.seen_at >= rule.stale_after_seconds


def _named(rule: NodePriceRule, node: NodePrice) -> bool:
    right_type = not rule.instance_types or node.instance_type in rule.instance_types
    return right_type and (not rule.node_prefixes or node.node.startswith(rule.node_prefixes))


def _per_gpu(rule: NodePriceRule, node: NodePrice) -> Decimal | None:
    """Dollars per GPU hour; None where the GPU's own price is not known: without it the whole node's is not either."""
    if node.per_gpu in (0, BUILT_IN_DEFAULT):
        return None
    price = (node.total or Decimal(0)) / node.gpus if rule.whole_node else node.per_gpu
    return price if price * rule.factor >= MICRO else None


def _unpriced(rule: NodePriceRule, nodes: Sequence[NodePrice]) -> str:
    if any(node.per_gpu == BUILT_IN_DEFAULT for node in nodes):
        fix = "set GPU in OpenCost's custom pricing, or write the price into the book"
        price = labelled(str(BUILT_IN_DEFAULT), rule.currency)
        return f"OpenCost's {price} for {rule.nodes} is its built-in default, no price of yours: {fix}"
    return f"OpenCost has no {rule.metric} for {rule.nodes}: set GPU in its custom pricing"


def _tidy(price: Decimal) -> Decimal:
    """The same with two digits after the point, or with more where it has them."""
    cents = price.quantize(CENT)
    return cents if cents == price else price.normalize()


def _shown(rule: NodePriceRule, price: Decimal) -> str:
    return labelled(f"{_tidy(price):f}", rule.currency)
