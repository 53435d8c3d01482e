"""What a tick needs of the outside: the ports, and the only errors that may come through them.

    PortError
    ├── Unavailable   down, slow, throttled or refusing credentials; the next tick tries again
    ├── Conflict      somebody wrote first; look again before writing
    ├── Missing       the object is gone
    └── Rejected      the request can never succeed as it is (forbidden, invalid); its text says what to change

The tick is driven over these by the operator, by the lab and by tests; it knows no client library.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from flyball.core.advice.outlook import HourOfLoad
from flyball.core.advice.shadow import ReplicaSample, RivalReply, Sight
from flyball.core.decision import Event
from flyball.core.money.segment_bill import LabelTraffic
from flyball.core.names import WorkloadKey
from flyball.core.observation import RouteState, WorkloadSignals, WorkloadState
from flyball.core.pools.gpu_pools import NodeGpus
from flyball.core.spec import FallbackRoute, TargetRef, WorkloadSpec


class PortError(Exception):
    """Something outside did not do what was asked."""


class Unavailable(PortError):
    """Down, slow, throttled or refusing credentials."""


class Conflict(PortError):
    """The object changed since it was observed."""


class Missing(PortError):
    """The object is gone."""


class Rejected(PortError):
    """The request can never succeed as it is."""


class Metrics(Protocol):
    """A source of telemetry."""

    async def read(self, workloads: Sequence[WorkloadSpec], at: float) -> Mapping[WorkloadKey, WorkloadSignals]:
        """Signals of all workloads at that time (epoch seconds), in a number of queries independent of theirs.

        Never raises: a source that fails gives signals whose `problem` says so.
        """
        ...


class Cluster(Protocol):
    """The objects that workloads consist of."""

    async def observe(self, workloads: Sequence[WorkloadSpec]) -> Mapping[WorkloadKey, WorkloadState]:
        """The state of all workloads. Never raises: what cannot be read has a `problem`."""
        ...

    async def scale(self, namespace: str, target: TargetRef, expected: int, replicas: int) -> None:
        """Set a target's replicas through its scale subresource, if they still are `expected`; else Conflict."""
        ...

    async def annotate(self, namespace: str, target: TargetRef, annotations: Mapping[str, str | None]) -> None:
        """Set (or with None remove) annotations on a target itself, never on its pod template."""
        ...

    async def set_weights(
        self, key: WorkloadKey, route: FallbackRoute, observed: RouteState, primary: int, fallback: int
    ) -> None:
        """Set the two backends' weights, remembering the user's own before the first write; Conflict if they moved."""
        ...

    async def restore_weights(self, key: WorkloadKey, route: FallbackRoute) -> None:
        """Give a route the weights back that its user had, and forget them. Does nothing where nothing was changed."""
        ...

    async def restore_all(self, key: WorkloadKey) -> None:
        """Restore every rule that this workload moved, also those that its spec no longer names.

        Conflict, once, where somebody else changed weights meanwhile: theirs stay.
        """
        ...

    async def hold_finalizer(self, key: WorkloadKey, hold: bool) -> None:
        """Add or remove Flyball's finalizer, which exists only while a route must be restored."""
        ...

    async def write_status(self, key: WorkloadKey, status: Mapping[str, object]) -> None:
        """Server-side apply the whole status."""
        ...

    async def list_gpus(self) -> Sequence[NodeGpus]:
        """The GPUs of every node that has some. Asked only where a GPUPool's inventory is to be counted."""
        ...

    async def write_pool_status(self, name: str, status: Mapping[str, object]) -> None:
        """Server-side apply the whole status of a GPUPool."""
        ...

    async def write_demand_event_status(self, key: WorkloadKey, status: Mapping[str, object]) -> None:
        """Server-side apply the whole status of a DemandEvent."""
        ...

    async def write_budget_status(self, key: WorkloadKey, status: Mapping[str, object]) -> None:
        """Server-side apply the whole status of a Budget."""
        ...


def owner_of(experiment: WorkloadKey) -> WorkloadKey:
    """Whom a route remembers as the one that moves it, where that is an experiment: no WorkloadSLO has such a name."""
    return WorkloadKey(experiment.namespace, f"roiexperiment/{experiment.name}")


class ExperimentCluster(Protocol):
    """The objects that experiments consist of; keys are those of ROIExperiments."""

    async def observe(self, key: WorkloadKey, route: FallbackRoute) -> RouteState:
        """The state of an experiment's route. Never raises: what cannot be read has a `problem`."""
        ...

    async def set_weights(
        self, key: WorkloadKey, route: FallbackRoute, observed: RouteState, baseline: int, treatment: int
    ) -> None:
        """Set both weights, remembering the user's own before the first write; Conflict if they moved."""
        ...

    async def restore(self, key: WorkloadKey) -> None:
        """Give every rule that this experiment moved its user's weights back; Conflict, once, where somebody else
        changed them meanwhile.
        """
        ...

    async def hold_finalizer(self, key: WorkloadKey, hold: bool) -> None:
        """Add or remove Flyball's finalizer, which exists only while a route must be restored."""
        ...

    async def write_status(self, key: WorkloadKey, status: Mapping[str, object]) -> None:
        """Server-side apply the whole status."""
        ...


class Events(Protocol):
    """A recorder of Kubernetes Events."""

    async def publish(self, key: WorkloadKey, uid: str, event: Event, at: float) -> None:
        """Write one Event about a WorkloadSLO; repeats of the same reason become a series, and floods are dropped."""
        ...


class HourlyLoad(Protocol):
    """A source of what came in the past, by the hour."""

    async def read_hours(
        self, workloads: Sequence[WorkloadSpec], begin: float, end: float
    ) -> Mapping[WorkloadKey, Sequence[HourOfLoad]]:
        """Each whole hour from `begin` to `end` (multiples of an hour since the epoch), in a number of queries
        independent of that of the workloads. Those that cannot be asked for are left out. Raises PortError.
        """
        ...


class Reporters(Protocol):
    """Who may report business outcomes of which workload."""

    async def user(self, token: str) -> dict[str, Any] | None:
        """Who holds a bearer token; None where it is not valid. Raises PortError."""
        ...

    async def may_report(self, user: dict[str, Any], workload: WorkloadKey) -> bool:
        """Whether that user may report outcomes of a workload. Raises PortError."""
        ...


class OutcomeSource(Protocol):
    """A source of business outcomes by users' own queries."""

    async def count(self, query: str, begin: float, end: float) -> Mapping[float, float]:
        """What outcomes per second come to in each hour from `begin` to `end` (multiples of an hour since the epoch).
        Hours that nothing was measured in are left out. Raises PortError.
        """
        ...

    async def share(self, query: str, begin: float, end: float) -> float | None:
        """The mean share that a query gave from `begin` to `end`; None where it gave none in half of that time. Raises
        PortError.
        """
        ...


class SegmentSource(Protocol):
    """A source of what came from which segment of the traffic."""

    async def read_hour(
        self, workloads: Sequence[WorkloadSpec], end: float
    ) -> Mapping[WorkloadKey, Sequence[LabelTraffic]]:
        """The traffic of the hour that ends then by each label that it is split by; labels that nothing was counted by
        are left out. The number of queries depends on the metrics and labels in use. Raises PortError.
        """
        ...


class ReplicaTelemetry(Protocol):
    """A source of what each replica exports."""

    async def read_replicas(
        self, workloads: Sequence[WorkloadSpec], at: float
    ) -> Mapping[WorkloadKey, Sequence[ReplicaSample]]:
        """The newest samples at that time (epoch seconds), in a number of queries independent of that of the
        workloads. Those that cannot be asked for are left out. Raises PortError.
        """
        ...


class RivalsOfOne(Protocol):
    """Rival policies beside one workload. They may raise anything, and take any time: whoever asks must bear it."""

    def see(self, sight: Sight) -> None:
        """Take in what is there now."""
        ...

    def ask(self, rival: str) -> RivalReply:
        """What that rival asks for after what was seen last. It remembers for itself, from its first question on."""
        ...


class Rivals(Protocol):
    """Rival policies that may be asked what they would do."""

    def beside(self, spec: WorkloadSpec) -> RivalsOfOne:
        """Fresh rivals for one workload."""
        ...
