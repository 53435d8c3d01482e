"""The PriceBook: dollars per GPU hour, and the rest of a request's cost."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from flyball.api.model import ApiModel, ListMap, rule
from flyball.api.resource import PrinterColumn, Resource, ResourceNames
from flyball.api.scalars import (
    Accelerator,
    Currency,
    Date,
    Duration,
    InstanceType,
    ItemName,
    Money,
    NodePrefix,
    Number,
    ObjectName,
    Percent,
    Prose,
    RoleName,
    cel_is_positive,
    is_positive,
)
from flyball.api.v1alpha1.status import StatusCondition
from flyball.api.v1alpha1.words import CapacityType, ComponentKind, NodePriceBasis
from flyball.core.money.currency import DEFAULT_CURRENCY

_CAPACITY_FIELDS = ("onDemand", "spot", "reserved")
_UNIT_FIELDS = ("perRequest", "perMillionTokens", "perHour", "perGibibyte")
_AMOUNT_FIELDS = ("gibibytesStored", "gibibytesPerRequest")


def _count_of_set(fields: tuple[str, ...]) -> str:
    """CEL for how many of these fields are set."""
    return "[" + ", ".join(f"has(self.{field})" for field in fields) + "].filter(x, x).size()"


class OpenCostPrice(ApiModel):
    """The nodes whose prices are read from OpenCost's metrics in Prometheus: their mean, by their GPUs.

    A node whose GPUs OpenCost has no price for, or only its built-in default of 0.95, counts as one without a price.
    """

    instance_types: Annotated[tuple[InstanceType, ...], Field(max_length=32)] = ()
    """Only nodes of these instance types."""
    node_prefixes: Annotated[tuple[NodePrefix, ...], Field(max_length=32)] = ()
    """Only nodes whose names begin with one of these, such as those of a node pool."""
    currency: Currency | None = None
    """The currency that OpenCost reckons in, as its pricing configuration says (currencyCode); its metrics do not. It
    must be the book's. Defaults to USD, as OpenCost does."""
    basis: NodePriceBasis | None = None
    """GPU is the price of the GPU (node_gpu_hourly_cost), to which nodeOverhead is added. Node is that of the whole
    node (node_total_hourly_cost) over its GPUs, without nodeOverhead. Defaults to GPU."""
    band: Percent | None = None
    """How far the book's own price may be from OpenCost's, and its nodes' prices from each other, before PriceTrusted
    is False. Defaults to 10%."""
    stale_after: Duration | None = None
    """How long after it was last seen a price is trusted. It is used for a day. Defaults to 1h."""

    @rule(
        cel="[has(self.instanceTypes) && self.instanceTypes.size() > 0, "
        "has(self.nodePrefixes) && self.nodePrefixes.size() > 0].exists(x, x)",
        problem="openCost names no nodes",
        fix="write instanceTypes, nodePrefixes, or both",
        reason="FieldValueRequired",
    )
    def _names_nodes(self) -> bool:
        return bool(self.instance_types or self.node_prefixes)


class GpuPrice(ApiModel):
    """Dollars per GPU and hour of one accelerator."""

    accelerator: Accelerator
    """The accelerator, as the node label `nvidia.com/gpu.product` or a target's `accelerator` names it."""
    on_demand: Money | None = None
    """Dollars per GPU hour on demand."""
    spot: Money | None = None
    """Dollars per GPU hour on spot capacity."""
    reserved: Money | None = None
    """Dollars per GPU hour on reserved or committed capacity."""
    open_cost: OpenCostPrice | None = None
    """Where OpenCost runs: the price on demand and on spot that it knows, for capacity that has no price above; beside
    one, OpenCost's is compared with it. OpenCost's metrics say nothing of reserved capacity."""

    def price(self, capacity: CapacityType) -> str | None:
        """The price for that capacity type, as written; None where there is none."""
        match capacity:
            case CapacityType.ON_DEMAND:
                return self.on_demand
            case CapacityType.SPOT:
                return self.spot
            case CapacityType.RESERVED:
                return self.reserved

    @rule(
        cel=" || ".join(f"has(self.{field})" for field in (*_CAPACITY_FIELDS, "openCost")),
        problem="a GPU entry holds no price",
        fix="write at least one of onDemand, spot, reserved and openCost",
        reason="FieldValueRequired",
    )
    def _some_price(self) -> bool:
        return any(each is not None for each in (self.on_demand, self.spot, self.reserved, self.open_cost))

    @rule(
        cel=" && ".join(f"(!has(self.{f}) || {cel_is_positive(f'self.{f}')})" for f in _CAPACITY_FIELDS),
        problem="a GPU hour's price is zero",
        fix="write what it costs, or leave the price out",
    )
    def _prices_are_positive(self) -> bool:
        return all(is_positive(price) for price in (self.on_demand, self.spot, self.reserved) if price is not None)


class GpuFraction(ApiModel):
    """A share of a GPU that a node offers as a GPU of its own: a MIG slice, or a GPU shared by turns."""

    accelerator: Accelerator
    """The fraction, as the node label `nvidia.com/gpu.product` names it, such as NVIDIA-A100-SXM4-80GB-MIG-1g.10gb or
    NVIDIA-L4-SHARED."""
    of: Accelerator
    """The whole GPU, an accelerator of gpus."""
    share: Percent
    """The share of the whole GPU's price that one fraction costs."""

    @rule(
        cel=cel_is_positive("self.share"),
        field=".share",
        problem="share is 0%, which would make the fraction free",
        fix="write the share of the GPU, such as 14.2857% for one of seven slices",
    )
    def _share_is_positive(self) -> bool:
        return is_positive(self.share)


class CostComponent(ApiModel):
    """A part of a request's cost beside the GPUs, in exactly one unit."""

    name: ItemName
    """Name of the component in reports."""
    kind: ComponentKind
    """What it pays for."""
    per_request: Money | None = None
    """Dollars per request."""
    per_million_tokens: Money | None = None
    """Dollars per million tokens, in and out."""
    per_hour: Money | None = None
    """Dollars per hour, whatever the traffic, for each workload that names this book."""
    per_gibibyte: Money | None = None
    """Dollars per gibibyte moved, or stored for a month of 730 hours."""
    gibibytes_stored: Number | None = None
    """Gibibytes that each workload keeps stored, for perGibibyte."""
    gibibytes_per_request: Number | None = None
    """Gibibytes that a request moves, for perGibibyte."""

    @rule(
        cel=f"{_count_of_set(_UNIT_FIELDS)} == 1",
        problem="a component needs exactly one price",
        fix="write one of perRequest, perMillionTokens, perHour and perGibibyte",
    )
    def _one_unit(self) -> bool:
        prices = (self.per_request, self.per_million_tokens, self.per_hour, self.per_gibibyte)
        return sum(price is not None for price in prices) == 1

    @rule(
        cel=(
            f"[{', '.join(f'has(self.{field})' for field in _AMOUNT_FIELDS)}].filter(x, x).size()"
            " == (has(self.perGibibyte) ? 1 : 0)"
        ),
        field=".perGibibyte",
        problem="a price per gibibyte needs exactly one amount, and no other price takes one",
        fix="write gibibytesStored or gibibytesPerRequest beside perGibibyte",
    )
    def _gibibytes_are_counted(self) -> bool:
        amounts = (self.gibibytes_stored, self.gibibytes_per_request)
        return sum(amount is not None for amount in amounts) == (self.per_gibibyte is not None)


class HostedModel(ApiModel):
    """What a hosted model costs, as a path that requests may take."""

    name: ObjectName
    """Name of the model or path, as the gateway reports it."""
    per_million_input_tokens: Money
    """Dollars per million prompt tokens."""
    per_million_output_tokens: Money
    """Dollars per million generated tokens."""


class LaborRate(ApiModel):
    """What an hour of someone's work costs."""

    role: RoleName
    """Whose work, such as SupportAgent."""
    per_hour: Money
    """Dollars per hour, all included."""


class PriceBookSpec(ApiModel):
    """Prices, their currency, and where they come from."""

    currency: Currency | None = None
    """The currency of every price in this book, wherever fields say dollars. It must be the one that Flyball reckons
    in: nothing is converted. Defaults to USD."""
    source: Prose | None = None
    """Where the prices come from: a contract, a bill, a price list."""
    effective_from: Date | None = None
    """First day on which the prices hold (UTC)."""
    stale_after: Duration | None = None
    """Time after effectiveFrom past which the prices are no longer trusted. Needs effectiveFrom."""
    gpus: Annotated[tuple[GpuPrice, ...], Field(min_length=1, max_length=64), ListMap("accelerator")]
    """Dollars per GPU hour, by accelerator."""
    fractions: Annotated[tuple[GpuFraction, ...], Field(max_length=64), ListMap("accelerator")] = ()
    """Shares of these GPUs that nodes offer as GPUs of their own, priced by the whole."""
    node_overhead: Percent | None = None
    """What a GPU hour costs beside the GPU (CPU, memory, disk, network of its node), as a share of the GPU's price.
    Added to the prices of gpus; defaults to 0%."""
    components: Annotated[tuple[CostComponent, ...], Field(max_length=32), ListMap("name")] = ()
    """The rest of a request's cost."""
    hosted_models: Annotated[tuple[HostedModel, ...], Field(max_length=64), ListMap("name")] = ()
    """What hosted models cost."""
    labor_rates: Annotated[tuple[LaborRate, ...], Field(max_length=32), ListMap("role")] = ()
    """What people's work costs, by role."""

    @rule(
        cel="!has(self.staleAfter) || has(self.effectiveFrom)",
        field=".staleAfter",
        problem="staleAfter is counted from effectiveFrom, which is not set",
        fix="set effectiveFrom to the first day on which the prices hold",
    )
    def _stale_after_a_date(self) -> bool:
        return self.stale_after is None or self.effective_from is not None

    @rule(
        cel="!has(self.fractions) || self.fractions.all(f, self.gpus.exists(g, g.accelerator == f.of))",
        field=".fractions",
        problem="a fraction is of an accelerator that gpus does not price",
        fix="add the whole GPU to gpus, or correct the fraction's `of`",
    )
    def _fractions_have_a_whole(self) -> bool:
        priced = {gpu.accelerator for gpu in self.gpus}
        return all(fraction.of in priced for fraction in self.fractions)

    @rule(
        cel=(
            "self.gpus.all(g, !has(g.openCost) || (has(g.openCost.currency) ? g.openCost.currency : 'USD') "
            "== (has(self.currency) ? self.currency : 'USD'))"
        ),
        field=".gpus",
        problem="openCost.currency is not the book's currency (both are USD where they are not set)",
        fix="set openCost.currency to what OpenCost reckons in, and write another book for another currency",
    )
    def _open_cost_is_in_its_currency(self) -> bool:
        asked = (gpu.open_cost for gpu in self.gpus if gpu.open_cost is not None)
        return all((each.currency or DEFAULT_CURRENCY) == self.priced_in for each in asked)

    @property
    def priced_in(self) -> str:
        """The currency of its prices."""
        return self.currency or DEFAULT_CURRENCY


class PriceBookStatus(ApiModel):
    """What became of the prices."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    summary: str | None = None
    """How many accelerators are priced, and how old the prices are."""
    conditions: Annotated[tuple[StatusCondition, ...], ListMap("type")] = ()
    """Ready."""


class PriceBook(Resource):
    """Dollars per GPU hour by accelerator and capacity type, and the rest of a request's cost."""

    names: ClassVar[ResourceNames] = ResourceNames(
        kind="PriceBook", plural="pricebooks", singular="pricebook", short_names=("pb",), scope="Cluster"
    )
    columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Source", ".spec.source", "Where the prices come from"),
        PrinterColumn("Currency", ".spec.currency", "The currency of the prices; USD where it is not set"),
        PrinterColumn("Overhead", ".spec.nodeOverhead", "Share added for the nodes around the GPUs"),
        PrinterColumn("Effective", ".spec.effectiveFrom", "First day on which the prices hold"),
        PrinterColumn("Age", ".metadata.creationTimestamp", "Time since creation", kind="date"),
        PrinterColumn(
            "Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether the prices are in use", priority=1
        ),
        PrinterColumn("Prices", ".status.summary", "How many accelerators are priced", priority=1),
    )

    api_version: Literal["flyball.dev/v1alpha1"] = "flyball.dev/v1alpha1"
    kind: Literal["PriceBook"] = "PriceBook"
    spec: PriceBookSpec
    """Prices in dollars, and where they come from."""
    status: PriceBookStatus | None = None
    """What became of the prices. Written by Flyball."""
