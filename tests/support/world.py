"""A world for ticks: WorkloadSLOs as their users write them, their load, and a clock that only ticks move."""

import copy
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from support.fakes import Deployment, FakeCluster, FakeEvents
from support.objects import workload_slo

from flyball.core.names import WorkloadKey
from flyball.core.observation import (
    ABSENT,
    ObjectiveReading,
    Percentiles,
    Reading,
    RouteState,
    SignalState,
    VariantSignals,
    WindowShare,
    WorkloadSignals,
    ok,
)
from flyball.core.service.own_counts import OwnReadings
from flyball.core.service.sources import SignalSource
from flyball.core.spec import WorkloadSpec
from flyball.runtime.advice import Advisers
from flyball.runtime.mirror import Mirror
from flyball.runtime.status import rfc3339
from flyball.runtime.tick import Ticker, TickReport

START = 1_767_960_000.0  # 2026-01-09T12:00:00Z
OBJECTIVES = [{"name": "first-token", "indicator": "TimeToFirstToken", "threshold": "1s", "target": "95%"}]
PRICED = {
    "minReplicas": 2,
    "accelerator": "NVIDIA-L4",
    "gpusPerReplica": 1,
    "pricePerGpuHour": "0.80",
    "startupTime": "60s",
}
OVERFLOW = {
    "routes": [{"httpRoute": "chat", "primary": "chat", "fallback": "hosted"}],
    "triggers": ["ObjectivesBurning"],
    "triggerFor": "30s",
    "minHold": "60s",
    "returnHold": "30s",
    "pricePerRequest": "0.0001",
}


class World:
    """Everything around a Ticker. Workloads live in namespace `team`."""

    def __init__(self) -> None:
        self.at = START
        self.mirror = Mirror()
        self.cluster = FakeCluster(self.mirror)
        self.events = FakeEvents()
        self.metrics = FakeMetrics(self.cluster)
        self._born = 0
        self.advisers = Advisers()
        self.restart()

    def restart(self) -> None:
        """A new operator process: all that it knows is what the API server holds."""
        for raw in self.cluster.workloads.values():
            self.mirror.put(copy.deepcopy(raw))
        self.ticker = Ticker(self.mirror, self.metrics, self.cluster, self.events, advisers=self.advisers)

    def apply(self, name: str = "chat", target: str | None = None, **spec: Any) -> WorkloadKey:
        """Create or edit a WorkloadSLO, with a priced target; creates the target when it is named first."""
        key = WorkloadKey("team", name)
        old = self.cluster.workloads.get(key)
        raw = workload_slo(name)
        part = {**raw["spec"]["targets"][0], **PRICED, "targetRef": {"name": target or name}}
        raw["spec"] = {**raw["spec"], "mode": "Auto", "objectives": OBJECTIVES, "targets": [part], **spec}
        self._born += old is None
        raw["metadata"] |= {
            "namespace": "team",
            "uid": old["metadata"]["uid"] if old else f"uid-{self._born}",
            "generation": old["metadata"]["generation"] + 1 if old else 1,
            "creationTimestamp": old["metadata"]["creationTimestamp"] if old else f"2026-01-01T00:00:{self._born:02}Z",
            "finalizers": old["metadata"].get("finalizers", []) if old else [],
        }
        raw |= {"status": old["status"]} if old and "status" in old else {}
        self.cluster.workloads[key] = raw
        self.cluster.deployments.setdefault(("team", target or name), Deployment())
        self.mirror.put(raw)
        return key

    def with_route(self, name: str = "chat") -> None:
        """An HTTPRoute with all weight on its primary, and endpoints behind both backends."""
        self.cluster.routes["team", name] = RouteState(
            name, 1, 0, primary_ready_endpoints=2, fallback_ready_endpoints=1
        )

    def delete(self, name: str = "chat") -> None:
        """Ask for a deletion: the object goes at once, or with its last finalizer."""
        key = WorkloadKey("team", name)
        raw = self.cluster.workloads[key]
        if raw["metadata"].get("finalizers"):
            raw = {**raw, "metadata": {**raw["metadata"], "deletionTimestamp": "2026-01-09T12:00:00Z"}}
            self.cluster.workloads[key] = raw
            self.mirror.put(raw)
        else:
            del self.cluster.workloads[key]
            self.mirror.remove(raw)

    def pool(self, gpus: int | None, name: str = "shared", **spec: Any) -> None:
        """Create or edit a GPUPool of NVIDIA-L4; without a number they are counted from the nodes."""
        stock = {"accelerator": "NVIDIA-L4"} | ({} if gpus is None else {"gpus": gpus})
        known = self.mirror.pools.raw.get(name)
        generation = known["metadata"]["generation"] + 1 if known else 1
        metadata = {"name": name, "uid": f"pool-{name}", "generation": generation}
        raw = {"kind": "GPUPool", "metadata": metadata, "spec": {"inventory": [stock], **spec}}
        self.mirror.put_pool({**(known or {}), **raw})

    def pool_condition(self, kind: str, name: str = "shared") -> dict[str, Any]:
        """A condition of a GPUPool's status as written."""
        return next(c for c in self.cluster.statuses[name]["conditions"] if c["type"] == kind)

    def announce(self, start: float, end: float, name: str = "launch", **spec: Any) -> WorkloadKey:
        """Create or edit a DemandEvent that begins and ends so many seconds from now."""
        times = {key: rfc3339(self.at + seconds) for key, seconds in (("start", start), ("end", end))}
        key = WorkloadKey("team", name)
        known = self.mirror.demand_events.raw.get(key)
        generation = known["metadata"]["generation"] + 1 if known else 1
        metadata = {"namespace": "team", "name": name, "uid": f"event-{name}", "generation": generation}
        raw = {"kind": "DemandEvent", "metadata": metadata, "spec": {**times, "multiple": "3", **spec}}
        self.mirror.put_demand_event({**(known or {}), **raw})
        return key

    async def tick(self, times: int = 1) -> TickReport:
        """Tick every 15 seconds; the last report."""
        for _ in range(times):
            report = await self.ticker.tick(self.at)
            await self.advisers.settled()
            self.at += 15.0
        return report

    async def surge(self, ticks: int = 6) -> None:
        """More load than any targets here can carry, for that many ticks."""
        self.metrics.rate, self.metrics.busy, self.metrics.waiting, self.metrics.good = 60.0, 1.0, 60.0, 0.5
        await self.tick(ticks)

    def status(self, name: str = "chat") -> dict[str, Any]:
        """The status as written."""
        found: dict[str, Any] = self.cluster.workloads[WorkloadKey("team", name)].get("status", {})
        return found

    def condition(self, kind: str, name: str = "chat") -> dict[str, Any]:
        """A condition of the status as written; empty where there is none."""
        return next((c for c in self.status(name).get("conditions", ()) if c["type"] == kind), {})

    def deployment(self, name: str = "chat") -> Deployment:
        """A target."""
        return self.cluster.deployments["team", name]

    def weights(self, name: str = "chat") -> tuple[int, int]:
        """A route's weights."""
        route = self.cluster.routes["team", name]
        return route.primary_weight, route.fallback_weight

    def set_weights(self, primary: int, fallback: int, name: str = "chat") -> None:
        """Somebody else's write."""
        found = self.cluster.routes["team", name]
        self.cluster.routes["team", name] = replace(found, primary_weight=primary, fallback_weight=fallback)

    def finalizers(self, name: str = "chat") -> list[str]:
        """The finalizers of a WorkloadSLO."""
        found: list[str] = self.cluster.workloads[WorkloadKey("team", name)]["metadata"].get("finalizers", [])
        return found


@dataclass
class FakeMetrics:
    """Implements the Metrics port: a load of `rate` requests/s on each workload, spread over its ready replicas.

    `good` is the share of requests within every objective, `noise` how far figures waver around their mean, and
    `wanted` what asks for a workload, seen without its pods, `own` what users count, and
    `sources` where signals come from.
    """

    cluster: FakeCluster
    rate: float = 2.0
    good: float = 0.999
    busy: float = 0.6
    waiting: float = 0.0
    noise: float = 0.0
    wanted: Reading = ABSENT
    own: OwnReadings = field(default_factory=OwnReadings)
    sources: tuple[SignalSource, ...] = ()
    problem: str = ""
    dice: random.Random = field(default_factory=lambda: random.Random(7))

    async def read(self, workloads: Sequence[WorkloadSpec], at: float) -> Mapping[WorkloadKey, WorkloadSignals]:
        return {spec.key: self._signals(spec) for spec in workloads}

    def _signals(self, spec: WorkloadSpec) -> WorkloadSignals:
        if self.problem:
            return WorkloadSignals(problem=self.problem)
        windows = (60.0, 300.0, 3600.0, 86400.0)
        counts = [(w, self.rate * w) for w in windows]
        readings = tuple(
            ObjectiveReading(
                o.name, SignalState.OK, tuple(WindowShare(w, n * self.good, n) for w, n in counts),
                Percentiles(*(self._near(x) for x in (0.2, 0.4, 0.5))),
            )
            for o in spec.objectives
        )  # fmt: skip
        variants = tuple(self._variant(spec, v.name, v.target.name) for v in spec.variants)
        longest = [(t.window_seconds, self.rate * t.window_seconds) for t in spec.roi_targets]
        every = (*counts, *longest)
        return WorkloadSignals(
            readings,
            variants,
            every,
            tuple((w, 500 * n) for w, n in every),
            self.wanted,
            own=self.own,
            sources=self.sources,
        )

    def _variant(self, spec: WorkloadSpec, name: str, target: str) -> VariantSignals:
        found = self.cluster.deployments.get((spec.key.namespace, target))
        ready = min(found.replicas, found.most_ready) if found else 0
        if not ready:
            return VariantSignals(name)
        rate = self._near(self.rate)
        return VariantSignals(
            name, running=ok(self._near(rate * 4)), waiting=ok(self.waiting), completions_per_second=ok(rate),
            prompt_tokens_per_second=ok(rate * 300), output_tokens_per_second=ok(rate * 200),
            prompt_tokens_per_request=ok(300.0), output_tokens_per_request=ok(200.0),
            seconds_per_output_token=ok(self._near(0.02)), kv_cache_usage=ok(self._near(0.3)),
            gpu_utilization=ok(min(1.0, self._near(self.busy))), cached_prompt_share=ok(0.0),
            reporting_replicas=ok(float(ready)),
        )  # fmt: skip

    def _near(self, value: float) -> float:
        return value * self.dice.uniform(1 - self.noise, 1 + self.noise)
