"""The GPUPool: GPUs that workloads share, and who yields to whom when there are fewer than all want."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from flyball.api.model import ApiModel, ListMap, ListSet, rule
from flyball.api.resource import PrinterColumn, Resource, ResourceNames
from flyball.api.scalars import Accelerator, Gpus, ItemName, LabelValue, Prose
from flyball.api.v1alpha1.status import StatusCondition
from flyball.core.pools.gpu_pools import Peers, Preemption


class NamespaceQuota(ApiModel):
    """The most GPUs of one accelerator that a namespace may hold."""

    namespace: ItemName
    """The namespace, or one that is yet to come."""
    gpus: Gpus
    """Most GPUs that its workloads hold together."""


class GpuStock(ApiModel):
    """GPUs of one accelerator."""

    accelerator: Accelerator
    """The accelerator, as the node label `nvidia.com/gpu.product` or a target's `accelerator` names it."""
    gpus: Gpus | None = None
    """How many there are. Left out: as many as the nodes with that label have allocatable, which takes the right to
    list nodes (gpuPools.discovery in the chart)."""
    reserve: Gpus | None = None
    """How many of them are never handed out: for what Flyball does not scale. Defaults to 0."""
    quotas: Annotated[tuple[NamespaceQuota, ...], Field(max_length=256), ListMap("namespace")] = ()
    """Most GPUs by namespace. A namespace that is not listed may hold any number."""

    @rule(
        cel="!has(self.gpus) || !has(self.reserve) || self.reserve <= self.gpus",
        field=".reserve",
        problem="reserve is greater than gpus",
        fix="lower reserve or raise gpus",
    )
    def _reserve_within_gpus(self) -> bool:
        return self.gpus is None or self.reserve is None or self.reserve <= self.gpus


class YieldRule(ApiModel):
    """Who yields to whom when GPUs run short.

    Minimums come first (minReplicas, and at least one replica for each workload that wants any), then the higher
    spec.priority.
    """

    same_priority: Peers = Peers.MARGINAL_VALUE
    """Where a free GPU goes among workloads of one priority. MarginalValue: where the next replica serves most
    requests, weighed by value.perRequest if all of them state it. EqualShare: to whom the smallest share of what it
    asks for is granted. What runs stays, either way."""
    preemption: Preemption = Preemption.HIGHER_PRIORITY
    """Whether GPUs that run for one workload may be given to another. HigherPriority: to one of a higher priority.
    Never: only for minimums."""


class GPUPoolSpec(ApiModel):
    """GPUs, who may hold them, and who yields."""

    description: Prose | None = None
    """What the pool is, for people."""
    inventory: Annotated[tuple[GpuStock, ...], Field(min_length=1, max_length=32), ListMap("accelerator")]
    """The GPUs by accelerator."""
    node_selector: Annotated[dict[str, LabelValue], Field(max_length=16)] = Field(default_factory=dict)
    """Labels of the nodes whose GPUs are counted where inventory leaves gpus out. Defaults to all nodes."""
    namespaces: Annotated[tuple[ItemName, ...], Field(min_length=1, max_length=256), ListSet()] | None = None
    """The namespaces whose workloads draw on this pool. Defaults to all that no other pool names for the same
    accelerator."""
    yield_rule: YieldRule | None = None
    """Who yields to whom when GPUs run short. Defaults to samePriority MarginalValue and preemption HigherPriority."""


class PoolSummary(ApiModel):
    """The columns of `kubectl get`."""

    granted: str | None = None
    """GPUs granted, of how many that may be handed out: `14 of 16`."""
    asked: str | None = None
    """GPUs that all workloads ask for together: `18`."""
    short: str | None = None
    """Who is short and why, or `nobody`."""


class StockStatus(ApiModel):
    """The GPUs of one accelerator."""

    accelerator: str
    """The accelerator."""
    capacity: int | None = None
    """GPUs that there are; absent where they could not be counted."""
    reserve: int
    """GPUs that are never handed out."""
    granted: int
    """GPUs that workloads may have."""
    asked: int
    """GPUs that workloads ask for."""


class PoolWorkloadStatus(ApiModel):
    """What one target of a workload asks for and is granted."""

    namespace: str
    """Namespace of the WorkloadSLO."""
    name: str
    """Name of the WorkloadSLO."""
    target: str
    """Name of the target."""
    accelerator: str
    """Accelerator of its replicas."""
    priority: int
    """The workload's spec.priority."""
    granted: int
    """GPUs that it may have."""
    asked: int
    """GPUs that it asks for."""
    reason: str | None = None
    """Why it is granted fewer than it asks for."""


class GPUPoolStatus(ApiModel):
    """Who has how many GPUs, and who is short."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    summary: PoolSummary | None = None
    """The columns of `kubectl get`."""
    accelerators: Annotated[tuple[StockStatus, ...], ListMap("accelerator")] = ()
    """The GPUs by accelerator."""
    workloads: tuple[PoolWorkloadStatus, ...] = ()
    """Targets that draw on the pool: those that are short first, a hundred at most."""
    workloads_not_shown: int | None = None
    """How many more there are."""
    conditions: Annotated[tuple[StatusCondition, ...], ListMap("type")] = ()
    """Ready, and CapacityAvailable: whether everybody is granted what it asks for."""


class GPUPool(Resource):
    """GPUs that workloads share: inventory, quotas, and who yields to whom when GPUs run short."""

    names: ClassVar[ResourceNames] = ResourceNames(
        kind="GPUPool", plural="gpupools", singular="gpupool", short_names=("gpupool",), scope="Cluster"
    )
    columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Granted", ".status.summary.granted", "GPUs granted, of how many that may be handed out"),
        PrinterColumn("Asked", ".status.summary.asked", "GPUs that workloads ask for"),
        PrinterColumn("Short", ".status.summary.short", "Who is short and why"),
        PrinterColumn("Age", ".metadata.creationTimestamp", "Time since creation", kind="date"),
        PrinterColumn(
            "Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether the pool is in use", priority=1
        ),
        PrinterColumn(
            "Preemption", ".spec.yieldRule.preemption", "Whether running GPUs may be given to another", priority=1
        ),
    )

    api_version: Literal["flyball.dev/v1alpha1"] = "flyball.dev/v1alpha1"
    kind: Literal["GPUPool"] = "GPUPool"
    spec: GPUPoolSpec
    """GPUs, who may hold them, and who yields."""
    status: GPUPoolStatus | None = None
    """Who has how many GPUs, and who is short. Written by Flyball."""
