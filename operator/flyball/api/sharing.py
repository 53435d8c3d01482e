"""From the models of what workloads share to the core's view: GPUPools, Budgets and DemandEvents, units resolved."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from flyball.api.v1alpha1 import BudgetSpec, DemandEventSpec, GPUPoolSpec
from flyball.api.v1alpha1.gpupool import GpuStock, YieldRule
from flyball.core.money.shared_budget import SharedBudget
from flyball.core.names import WorkloadKey
from flyball.core.pools.gpu_pools import NodeGpus, Pool, Stock
from flyball.core.spec import Ceiling
from flyball.core.traffic.demand_events import DemandEvent, DemandWindow
from flyball.core.units import parse_duration_seconds, parse_money


def to_pool(name: str, spec: GPUPoolSpec, nodes: Iterable[NodeGpus] | None) -> Pool:
    """The core's view of a pool. `nodes` are those whose GPUs are counted where the spec does not say how many there
    are; None where they are not known.
    """
    rule = spec.yield_rule or YieldRule()
    known = None if nodes is None else [node for node in nodes if _carries(node.labels, spec.node_selector)]
    return Pool(
        name,
        tuple(_stock(stock, known) for stock in spec.inventory),
        frozenset(spec.namespaces or ()),
        rule.same_priority,
        rule.preemption,
    )


def discovers(spec: GPUPoolSpec) -> bool:
    """Whether nodes must be counted for it."""
    return any(stock.gpus is None for stock in spec.inventory)


def to_budget(namespace: str, name: str, spec: BudgetSpec, currency: str) -> SharedBudget:
    """The core's view of a budget, whose amounts are in that currency."""
    return SharedBudget(
        WorkloadKey(namespace, name),
        tuple(
            Ceiling(each.period, parse_money(each.amount), each.enforcement, currency=currency)
            for each in spec.ceilings
        ),
        tuple(sorted(spec.selector.match_labels.items())) if spec.selector else (),
    )


def to_demand_event(namespace: str, name: str, spec: DemandEventSpec) -> DemandEvent:
    """The core's view of an event."""
    start, end = (datetime.fromisoformat(text).timestamp() for text in (spec.start, spec.end))
    ramp = parse_duration_seconds(spec.ramp) if spec.ramp else 0.0
    return DemandEvent(
        namespace,
        name,
        DemandWindow(start, end, float(spec.multiple), ramp),
        frozenset(spec.workloads or ()),
        tuple(sorted(spec.selector.match_labels.items())) if spec.selector else (),
    )


def _stock(stock: GpuStock, nodes: list[NodeGpus] | None) -> Stock:
    gpus = stock.gpus
    if gpus is None and nodes is not None:
        gpus = sum(node.gpus for node in nodes if node.accelerator == stock.accelerator)
    quotas = tuple((quota.namespace, quota.gpus) for quota in stock.quotas)
    return Stock(stock.accelerator, gpus, stock.reserve or 0, quotas)


def _carries(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in wanted.items())
