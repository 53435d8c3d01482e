"""GPUPools in a tick: count their GPUs, hold decisions within what they grant, and say who is short."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from flyball.api.sharing import discovers, to_pool
from flyball.core.decision import Decision
from flyball.core.names import WorkloadKey
from flyball.core.observation import Observation
from flyball.core.pools.arbitrate import arbitrate
from flyball.core.pools.gpu_pools import Ask, Grant, NodeGpus, Pool
from flyball.core.pools.rationing import asks_of, held, rationed
from flyball.core.ports import Cluster, PortError, Rejected
from flyball.core.spec import WorkloadSpec
from flyball.runtime import pool_status
from flyball.runtime.mirror import Declared, Mirror
from flyball.runtime.own_status import OwnStatuses

log = structlog.get_logger("flyball.tick")

# Nodes come and go in minutes; asking for them with every tick would load the API server for nothing.
COUNT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was decided for one workload, before the pools have had their say."""

    entry: Declared
    spec: WorkloadSpec
    observation: Observation
    decision: Decision


class Pools:
    """What ticks need of GPUPools. Without any pool nothing here asks for, changes or writes anything."""

    def __init__(self, mirror: Mirror, cluster: Cluster) -> None:
        self._mirror = mirror
        self._cluster = cluster
        self._statuses = OwnStatuses(cluster.write_pool_status)
        self._nodes: Sequence[NodeGpus] | None = None
        self._counted_at: float | None = None
        self._uncounted = ""
        self._asks: dict[WorkloadKey, tuple[str, tuple[Ask, ...]]] = {}
        self._pools: tuple[Pool, ...] = ()
        self._grants: tuple[Grant, ...] = ()
        self._by_workload: dict[WorkloadKey, tuple[Grant, ...]] = {}

    def grants(self, key: WorkloadKey) -> tuple[Grant, ...]:
        """What the pools granted the workload's targets when it was last decided."""
        return self._by_workload.get(key, ())

    async def look(self, at: float) -> None:
        """Count the nodes' GPUs where a pool's inventory is to be discovered. A count that fails leaves the last."""
        if not any(discovers(pool.spec) for pool in self._mirror.pools.valid.values()):
            self._nodes = self._counted_at = None
            return
        if self._counted_at is not None and 0 <= at - self._counted_at < COUNT_SECONDS:
            return
        self._counted_at = at
        try:
            self._nodes, self._uncounted = await self._cluster.list_gpus(), ""
        except PortError as error:
            fix = (
                "; set gpuPools.discovery in the chart, or write inventory[].gpus"
                if isinstance(error, Rejected)
                else ""
            )
            self._uncounted = f"the nodes cannot be counted: {error}{fix}"
            log.warning("counting GPUs failed", error=str(error))

    def ration(self, declared: Sequence[Declared], wanted: Sequence[Wanted]) -> dict[WorkloadKey, Decision]:
        """The decisions within what the pools grant, by workload.

        Who was not decided or not seen has what it had: `declared` are all that exist.
        """
        self._pools = tuple(
            to_pool(name, pool.spec, self._nodes) for name, pool in sorted(self._mirror.pools.valid.items())
        )
        if not self._pools:
            self._asks, self._grants, self._by_workload = {}, (), {}
            return {each.spec.key: each.decision for each in wanted}
        fresh = {each.spec.key: _asks(each) for each in wanted if not each.observation.state.problem}
        before = self._asks
        self._asks = {}
        for entry in declared:
            uid, last = before.get(entry.key, (entry.uid, ()))
            asks = fresh.get(entry.key)
            if asks is None:
                asks = held(last) if uid == entry.uid else ()
            self._asks[entry.key] = (entry.uid, asks)
        self._grants = arbitrate(self._pools, [ask for _, asks in self._asks.values() for ask in asks])
        self._by_workload = {}
        for grant in self._grants:
            self._by_workload[grant.ask.key] = (*self.grants(grant.ask.key), grant)
        return {each.spec.key: rationed(each.decision, self.grants(each.spec.key)) for each in wanted}

    async def tell(self, at: float) -> None:
        """Write the pools' statuses where they say something new."""
        shelf = self._mirror.pools
        by_pool: dict[str, list[Grant]] = {}
        for grant in self._grants:
            by_pool.setdefault(grant.pool, []).append(grant)
        for pool in self._pools:
            raw, grants = shelf.raw.get(pool.name), by_pool.get(pool.name, [])
            if raw is not None:
                conditions = pool_status.conditions(pool, self._pools, grants, self._uncounted)
                await self._statuses.write(pool.name, raw, pool_status.parts(pool, grants), conditions, at)
        for name, errors in list(shelf.invalid.items()):
            await self._statuses.write(name, shelf.raw[name], {}, pool_status.invalid(errors), at)
        self._statuses.forget_all_but(shelf.raw)


def _asks(each: Wanted) -> tuple[Ask, ...]:
    return asks_of(each.spec, each.observation, each.decision, each.entry.accelerators)
