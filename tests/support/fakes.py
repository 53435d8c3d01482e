"""Strict fakes of the Cluster and Events ports over a small cluster in memory, with every write on record."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flyball.api.parse import unknown_fields
from flyball.api.v1alpha1 import (
    Budget,
    BudgetStatus,
    DemandEvent,
    DemandEventStatus,
    GPUPool,
    GPUPoolStatus,
    WorkloadSLO,
    WorkloadSLOStatus,
)
from flyball.core.decision import Event
from flyball.core.names import WorkloadKey
from flyball.core.observation import RouteState, VariantState, WorkloadState
from flyball.core.pools.gpu_pools import NodeGpus
from flyball.core.ports import Conflict, Missing, PortError
from flyball.core.spec import FallbackRoute, TargetRef, WorkloadSpec
from flyball.runtime.mirror import FINALIZER, Mirror


@dataclass
class Deployment:
    """A target; its pods are ready as soon as they are asked for, up to `most_ready`."""

    replicas: int = 2
    annotations: dict[str, str] = field(default_factory=dict)
    contender: str | None = None
    accelerator: str | None = None
    most_ready: int = 99


@dataclass
class FakeCluster:
    """Implements the Cluster port. `fail` maps a method, or a method and a name, to the error that it raises."""

    mirror: Mirror
    deployments: dict[tuple[str, str], Deployment] = field(default_factory=dict)
    routes: dict[tuple[str, str], RouteState] = field(default_factory=dict)
    workloads: dict[WorkloadKey, dict[str, Any]] = field(default_factory=dict)
    fail: dict[str, PortError] = field(default_factory=dict)
    problem: str = ""
    nodes: list[NodeGpus] = field(default_factory=list)
    statuses: dict[str | WorkloadKey, dict[str, Any]] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)

    async def observe(self, workloads: Sequence[WorkloadSpec]) -> Mapping[WorkloadKey, WorkloadState]:
        return {spec.key: self._state(spec) for spec in workloads}

    async def scale(self, namespace: str, target: TargetRef, expected: int, replicas: int) -> None:
        self._write("scale", target.name)
        found = self._deployment(namespace, target)
        if found.replicas != expected:
            raise Conflict(f"{target} has {found.replicas} replicas, not {expected}")
        assert 0 <= replicas != expected
        found.replicas = replicas

    async def annotate(self, namespace: str, target: TargetRef, annotations: Mapping[str, str | None]) -> None:
        self._write("annotate", target.name)
        found = self._deployment(namespace, target)
        merged = {**found.annotations, **annotations}
        found.annotations = {name: value for name, value in merged.items() if value is not None}

    async def set_weights(
        self, key: WorkloadKey, route: FallbackRoute, observed: RouteState, primary: int, fallback: int
    ) -> None:
        self._write("set_weights", route.route)
        found = self.routes[key.namespace, route.route]
        assert FINALIZER in self.workloads[key]["metadata"]["finalizers"], "weights moved without the finalizer"
        assert (primary, fallback) != (found.primary_weight, found.fallback_weight)
        if observed != found:
            raise Conflict(f"HTTPRoute {route.route} moved")
        original = found.original_weights or (found.primary_weight, found.fallback_weight)
        self.routes[key.namespace, route.route] = replace(
            found, primary_weight=primary, fallback_weight=fallback, original_weights=original,
            applied_weights=(primary, fallback),
        )  # fmt: skip

    async def restore_weights(self, key: WorkloadKey, route: FallbackRoute) -> None:
        self._write("restore_weights", route.route)
        self._restore(key.namespace, route.route)

    async def restore_all(self, key: WorkloadKey) -> None:
        self._write("restore_all", key.name)
        for namespace, name in self.routes:
            if namespace == key.namespace:
                self._restore(namespace, name)

    async def hold_finalizer(self, key: WorkloadKey, hold: bool) -> None:
        self._write("hold_finalizer" if hold else "drop_finalizer", key.name)
        raw = self.workloads.get(key)
        if raw is None:
            if hold:
                raise Missing(f"WorkloadSLO {key} is gone")
            return
        if not hold:
            assert not any(r.applied_weights for (n, _), r in self.routes.items() if n == key.namespace)
        finalizers = [f for f in raw["metadata"].get("finalizers", ()) if f != FINALIZER]
        finalizers += [FINALIZER] if hold else []
        self.workloads[key] = {**raw, "metadata": {**raw["metadata"], "finalizers": finalizers}}
        if raw["metadata"].get("deletionTimestamp") and not finalizers:
            self.mirror.remove(self.workloads.pop(key))
        else:
            self.mirror.put(self.workloads[key])

    async def write_status(self, key: WorkloadKey, status: Mapping[str, object]) -> None:
        self._write("write_status", key.name)
        if key not in self.workloads:
            raise Missing(f"WorkloadSLO {key} is gone")
        WorkloadSLOStatus.model_validate(status, by_alias=True, by_name=False)
        assert not unknown_fields(WorkloadSLO, {"status": dict(status)})
        self.workloads[key] = {**self.workloads[key], "status": dict(status)}
        self.mirror.put(self.workloads[key])

    async def list_gpus(self) -> Sequence[NodeGpus]:
        self.reads.append("list_gpus")
        error = self.fail.get("list_gpus")
        if error is not None:
            raise error
        return self.nodes

    async def write_pool_status(self, name: str, status: Mapping[str, object]) -> None:
        self._write("write_pool_status", name)
        GPUPoolStatus.model_validate(status, by_alias=True, by_name=False)
        assert not unknown_fields(GPUPool, {"status": dict(status)})
        self.statuses[name] = dict(status)
        self.mirror.put_pool({**self.mirror.pools.raw[name], "status": dict(status)})

    async def write_budget_status(self, key: WorkloadKey, status: Mapping[str, object]) -> None:
        self._write("write_budget_status", key.name)
        BudgetStatus.model_validate(status, by_alias=True, by_name=False)
        assert not unknown_fields(Budget, {"status": dict(status)})
        self.statuses[key] = dict(status)
        self.mirror.put_budget({**self.mirror.budgets.raw[key], "status": dict(status)})

    async def write_demand_event_status(self, key: WorkloadKey, status: Mapping[str, object]) -> None:
        self._write("write_demand_event_status", key.name)
        DemandEventStatus.model_validate(status, by_alias=True, by_name=False)
        assert not unknown_fields(DemandEvent, {"status": dict(status)})
        self.statuses[key] = dict(status)
        self.mirror.put_demand_event({**self.mirror.demand_events.raw[key], "status": dict(status)})

    def counted(self) -> Counter[str]:
        """How often each kind of write was sent, those that failed among them."""
        return Counter(write.split()[0] for write in self.writes)

    def _write(self, what: str, name: str) -> None:
        self.writes.append(f"{what} {name}")
        error = self.fail.get(what) or self.fail.get(f"{what} {name}")
        if error is not None:
            raise error

    def _deployment(self, namespace: str, target: TargetRef) -> Deployment:
        if (namespace, target.name) not in self.deployments:
            raise Missing(f"{target} is gone")
        return self.deployments[namespace, target.name]

    def _restore(self, namespace: str, name: str) -> None:
        found = self.routes[namespace, name]
        if found.applied_weights is None or found.original_weights is None:
            return
        theirs = (found.primary_weight, found.fallback_weight)
        foreign = theirs != found.applied_weights
        primary, fallback = theirs if foreign else found.original_weights
        self.routes[namespace, name] = replace(
            found, primary_weight=primary, fallback_weight=fallback, original_weights=None, applied_weights=None
        )
        if foreign:
            raise Conflict(f"HTTPRoute {name} has other weights")

    def _state(self, spec: WorkloadSpec) -> WorkloadState:
        variants = tuple(
            self._variant(v.name, self.deployments.get((spec.key.namespace, v.target.name))) for v in spec.variants
        )
        names = [route.route for route in spec.fallback.routes] if spec.fallback else []
        unread = [RouteState(name, problem=self.problem) for name in names]
        routes = unread if self.problem else [self.routes[spec.key.namespace, name] for name in names]
        return WorkloadState(variants, tuple(routes), self.problem)

    def _variant(self, name: str, found: Deployment | None) -> VariantState:
        if found is None or self.problem:
            return VariantState(name, exists=False, scalable=False)
        ready = min(found.replicas, found.most_ready)
        return VariantState(
            name, replicas=found.replicas, ready=ready, starting=found.replicas - ready, gpus_per_replica=1,
            accelerator=found.accelerator, contender=found.contender, startup_seconds=(60.0,),
        )  # fmt: skip


@dataclass
class FakeEvents:
    """Implements the Events port."""

    told: list[tuple[WorkloadKey, Event, float]] = field(default_factory=list)
    fail: PortError | None = None

    async def publish(self, key: WorkloadKey, uid: str, event: Event, at: float) -> None:
        assert all((uid, event.message, event.action))
        if self.fail is not None:
            raise self.fail
        self.told.append((key, event, at))

    def reasons(self, name: str = "chat") -> list[str]:
        """The reasons of the Events about a workload, oldest first."""
        return [str(event.reason) for key, event, _ in self.told if key.name == name]
