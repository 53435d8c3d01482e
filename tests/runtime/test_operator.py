"""The operator's parts put together: what kopf is told, and what it tells us."""

from typing import Any

import kopf
import pytest
from support.objects import workload_slo

from flyball.core.ports import Missing, PortError, Rejected, Unavailable
from flyball.runtime.mirror import Mirror
from flyball.runtime.operator import _list, build_registry


def raw(**metadata: Any) -> dict[str, Any]:
    found = workload_slo()
    found["metadata"] |= {"namespace": "team", "uid": "u", "generation": 1, **metadata}
    return found


class Wired:
    """A registry over a mirror, with the handlers by resource and the number of pokes."""

    def __init__(self) -> None:
        self.mirror = Mirror()
        self.pokes = 0
        self.registry = build_registry(self.mirror, self._poke)
        handlers = self.registry._watching.get_all_handlers()
        self._handlers = {str(handler.selector.any_name): handler.fn for handler in handlers}

    def _poke(self) -> None:
        self.pokes += 1

    async def see(self, plural: str, kind: str | None, body: dict[str, Any]) -> None:
        """What kopf does with an event of its watch."""
        await self._handlers[plural](type=kind, body=kopf.Body(body))


async def test_what_the_watch_says_reaches_the_mirror() -> None:
    wired = Wired()
    await wired.see("workloadslos", None, raw())
    await wired.see("workloadslos", "MODIFIED", raw() | {"status": {"mode": "Auto"}})
    assert (len(wired.mirror.declared()), wired.pokes) == (1, 1), "our own status is no news"
    await wired.see("workloadslos", "MODIFIED", raw(generation=2))
    assert wired.pokes == 2
    await wired.see("workloadslos", "DELETED", raw(generation=2))
    assert (wired.mirror.declared(), wired.pokes) == ((), 3)


@pytest.mark.parametrize("plural", ["pricebooks", "gpupools", "demandevents", "roiexperiments"])
async def test_what_workloads_share_reaches_the_mirror_and_only_changes_are_news(plural: str) -> None:
    wired = Wired()
    shelf = {
        "pricebooks": wired.mirror.books,
        "gpupools": wired.mirror.pools,
        "demandevents": wired.mirror.demand_events,
        "roiexperiments": wired.mirror.experiments,
    }[plural]
    shared = {"metadata": {"name": "gpus", "namespace": "team", "uid": "b", "generation": 1}, "spec": {}}
    for kind, known in ((None, 1), ("MODIFIED", 1), ("DELETED", 0)):
        await wired.see(plural, kind, shared)
        assert len(shelf.raw) == known
    assert wired.pokes == 2


@pytest.mark.parametrize("error", [Missing("not served"), Rejected("forbidden")], ids=lambda e: type(e).__name__)
async def test_workloads_are_governed_where_pools_and_events_are_not_served_or_granted(error: PortError) -> None:
    class Lists:
        """A cluster that answers for WorkloadSLOs and PriceBooks only."""

        refused: PortError | None = None

        async def list_workloads(self) -> list[dict[str, Any]]:
            return [raw()]

        async def list_price_books(self) -> list[dict[str, Any]]:
            return []

        async def list_gpu_pools(self) -> list[dict[str, Any]]:
            if self.refused is not None:
                raise self.refused
            return [{"metadata": {"name": "shared"}, "spec": {}}]

        async def list_demand_events(self) -> list[dict[str, Any]]:
            return []

        async def list_roi_experiments(self) -> list[dict[str, Any]]:
            return []

        async def list_budgets(self) -> list[dict[str, Any]]:
            return []

    mirror, cluster = Mirror(), Lists()
    assert await _list(cluster, mirror)  # type: ignore[arg-type]
    cluster.refused = error
    assert await _list(cluster, mirror)  # type: ignore[arg-type]
    assert (len(mirror.declared()), list(mirror.pools.raw)) == (1, ["shared"]), "what is known stays"
    cluster.refused = Unavailable("timed out")
    assert not await _list(cluster, mirror)  # type: ignore[arg-type]


def test_kopf_keeps_no_state_in_objects() -> None:
    registry = Wired().registry
    assert not registry._spawning.get_all_handlers(), "timers and daemons put a finalizer on every object"
    assert not registry._changing.get_all_handlers(), "change handlers annotate every object"
    assert not registry._indexing.get_all_handlers()
    assert not registry._webhooks.get_all_handlers()
