"""The ExperimentCluster port over a real API server: routes that experiments switch, their finalizers and statuses.

Routes are moved as fallbacks move them, with the same annotations and the same refusals; the owner that they remember
is the experiment (`core.ports.owner_of`). So an experiment and a fallback never move the same rule.
"""

from collections.abc import Mapping

from flyball.cluster import own
from flyball.cluster.adapter import KubernetesCluster
from flyball.cluster.client import ApiServer
from flyball.cluster.namespaces import NamespacedLists
from flyball.cluster.resources import HTTP_ROUTES, ROI_EXPERIMENTS, Object
from flyball.cluster.route_reader import Asked, RouteReader
from flyball.core.names import WorkloadKey
from flyball.core.observation import RouteState
from flyball.core.ports import Missing, PortError, owner_of
from flyball.core.spec import FallbackRoute


class KubernetesExperiments:
    """Experiments' objects in one cluster. Without `routes` no HTTPRoute may be read, and every route has a problem."""

    def __init__(self, api_server: ApiServer, cluster: KubernetesCluster, *, routes: bool = True) -> None:
        self._api_server = api_server
        self._cluster = cluster
        self._reader = RouteReader(NamespacedLists(api_server))
        self._routes = routes

    async def observe(self, key: WorkloadKey, route: FallbackRoute) -> RouteState:
        """The state of an experiment's route. Never raises: what cannot be read has a `problem`."""
        if not self._routes:
            return RouteState(route.route, problem="HTTPRoutes may not be moved; set fallback.enabled of the chart")
        try:
            try:
                found: Object | None = await self._api_server.get(HTTP_ROUTES, route.route, key.namespace)
            except Missing:
                found = None
        except PortError as error:
            return RouteState(route.route, problem=str(error))
        (state,) = await self._reader.states([Asked(owner_of(key), route, found)])
        return state

    async def set_weights(
        self, key: WorkloadKey, route: FallbackRoute, observed: RouteState, baseline: int, treatment: int
    ) -> None:
        """Set both weights, remembering the user's own before the first write; Conflict if they moved."""
        await self._cluster.set_weights(owner_of(key), route, observed, baseline, treatment)

    async def restore(self, key: WorkloadKey) -> None:
        """Give every rule that this experiment moved its user's weights back. Conflict, once, where somebody else
        changed them meanwhile.
        """
        await self._cluster.restore_all(owner_of(key))

    async def hold_finalizer(self, key: WorkloadKey, hold: bool) -> None:
        """Add or remove Flyball's finalizer. Missing where the object is gone and should be held."""
        lost = f"ROIExperiment {key} changes faster than its finalizer can be written; it is tried again"
        await own.hold_finalizer(self._api_server, ROI_EXPERIMENTS, key, hold, lost)

    async def write_status(self, key: WorkloadKey, status: Mapping[str, object]) -> None:
        """Server-side apply the whole status."""
        await own.write_status(self._api_server, ROI_EXPERIMENTS, "ROIExperiment", key.name, key.namespace, status)
