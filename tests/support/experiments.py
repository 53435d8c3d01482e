"""Experiments in a world: their objects, a route that they switch, and a ledger that says what each hour cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from support.fakes import FakeEvents
from support.world import World

from flyball.api.parse import unknown_fields
from flyball.api.v1alpha1 import ROIExperiment, ROIExperimentStatus
from flyball.core.evidence.experiment import Arm, block_at
from flyball.core.money.bill import Entry, PathUse
from flyball.core.money.meter import PERIOD_MS, milliseconds
from flyball.core.names import WorkloadKey
from flyball.core.observation import RouteState
from flyball.core.ports import Conflict, PortError
from flyball.core.spec import FallbackRoute
from flyball.core.value.outcomes import Outcome
from flyball.ledger.outcomes import record
from flyball.ledger.store import Ledger
from flyball.runtime.counts import HOUR_MS, Counts
from flyball.runtime.experiments import Experiments
from flyball.runtime.mirror import FINALIZER, Mirror
from flyball.runtime.tick import TickReport

KEY = WorkloadKey("team", "quantized")
ARMS = {"baseline": {"workloads": ["chat"]}, "treatment": {"workloads": ["chat-int4"]}}
ROUTE = {"httpRoute": "chat", "baseline": "chat", "treatment": "chat-int4"}
SPEC = {
    "hypothesis": {"metric": "CostPerRequest", "direction": "Decrease", "by": "18%"},
    **ARMS,
    "blockMinutes": 30,
    "minPairs": 6,
    "minDays": 0,
    "maxDays": 1,
}


@dataclass
class FakeExperimentCluster:
    """Implements the ExperimentCluster port over one route."""

    mirror: Mirror
    route: RouteState = field(
        default_factory=lambda: RouteState("chat", 1, 0, primary_ready_endpoints=2, fallback_ready_endpoints=2)
    )
    fail: dict[str, PortError] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)

    async def observe(self, key: WorkloadKey, route: FallbackRoute) -> RouteState:
        return self.route

    async def set_weights(
        self, key: WorkloadKey, route: FallbackRoute, observed: RouteState, baseline: int, treatment: int
    ) -> None:
        self._write("set_weights")
        assert FINALIZER in self._raw(key)["metadata"]["finalizers"], "weights moved without the finalizer"
        assert (baseline, treatment) != (self.route.primary_weight, self.route.fallback_weight)
        if observed != self.route:
            raise Conflict("the route moved")
        original = self.route.original_weights or (self.route.primary_weight, self.route.fallback_weight)
        self.route = replace(
            self.route, primary_weight=baseline, fallback_weight=treatment, original_weights=original,
            applied_weights=(baseline, treatment),
        )  # fmt: skip

    async def restore(self, key: WorkloadKey) -> None:
        self._write("restore")
        if self.route.original_weights is not None:
            primary, fallback = self.route.original_weights
            self.route = replace(
                self.route, primary_weight=primary, fallback_weight=fallback, original_weights=None,
                applied_weights=None,
            )  # fmt: skip

    async def hold_finalizer(self, key: WorkloadKey, hold: bool) -> None:
        raw = self._raw(key)
        if (FINALIZER in raw["metadata"].get("finalizers", ())) != hold:
            self._write("hold_finalizer")
            metadata = {**raw["metadata"], "finalizers": [FINALIZER] if hold else []}
            self.mirror.put_experiment({**raw, "metadata": metadata})

    async def write_status(self, key: WorkloadKey, status: Mapping[str, object]) -> None:
        self._write("write_status")
        ROIExperimentStatus.model_validate(status, by_alias=True, by_name=False)
        assert not unknown_fields(ROIExperiment, {"status": dict(status)})
        self.statuses.append(dict(status))
        self.mirror.put_experiment({**self._raw(key), "status": dict(status)})

    def _raw(self, key: WorkloadKey) -> dict[str, Any]:
        return dict(self.mirror.experiments.raw[key])

    def _write(self, what: str) -> None:
        self.writes.append(what)
        if what in self.fail:
            raise self.fail[what]


class ExperimentWorld:
    """Time that goes by a minute at a time, in which requests cost what `cost` says of the arm that gets them."""

    def __init__(self, url: str, cost: Callable[[Arm, int], float], report: TickReport, world: World) -> None:
        self.url, self.cost, self.world, self._report = url, cost, world, report
        self.at = report.at
        self.ledger = Ledger(url)
        self.cluster = FakeExperimentCluster(world.mirror)
        self.events = FakeEvents()
        self.restart()

    @classmethod
    async def of(cls, url: str, cost: Callable[[Arm, int], float], **spec: Any) -> "ExperimentWorld":
        """A world of `chat` and `chat-int4`; `spec` is that of `chat` beyond the usual."""
        world = World()
        for name in ("chat", "chat-int4"):
            world.apply(name, **(spec if name == "chat" else {}))
        return cls(url, cost, await world.tick(), world)

    def restart(self) -> None:
        """Another process."""
        self.counts = Counts()
        self.experiments = Experiments(self.world.mirror, self.cluster, self.events, self.counts, self.url)

    def apply(self, **changes: Any) -> None:
        """Create or edit the experiment; None leaves a field of SPEC out."""
        spec = {name: value for name, value in {**SPEC, **changes}.items() if value is not None}
        known = self.world.mirror.experiments.raw.get(KEY)
        metadata: dict[str, Any] = {"namespace": "team", "name": "quantized", "uid": "x-1", "generation": 1}
        if known is not None:
            metadata = {**known["metadata"], "generation": known["metadata"]["generation"] + 1}
        self.world.mirror.put_experiment({**(known or {}), "metadata": metadata, "spec": spec})

    def delete(self) -> None:
        """Ask for its deletion."""
        raw = self.world.mirror.experiments.raw[KEY]
        self.world.mirror.put_experiment(
            {**raw, "metadata": {**raw["metadata"], "deletionTimestamp": "2026-01-09T12:00:00Z"}}
        )

    async def look(self, hours: int, to: TickReport | None = None) -> None:
        """Let that many hours go by, each with one look: enough where neither costs nor objectives are judged."""
        self._report = to or self._report
        for _ in range(hours):
            self.at += 3600.0
            self.experiments.take(replace(self._report, at=self.at))
            await self.experiments.settled()

    def push(self, reported: Callable[[Arm, int], Mapping[str, tuple[int, int, float]]], hours: int) -> None:
        """Report outcomes, cases and minutes of KPIs of `chat`: for each hour from the first block on."""
        running = next(iter(self.experiments._running.values()))
        start = running.known.start
        found = [(at, block_at(running.plan, start, at)) for at in range(start, start + hours * HOUR_MS, HOUR_MS)]
        record(
            self.ledger,
            [
                self.outcome(kpi, at, *counts)
                for at, block in found
                if block is not None
                for kpi, counts in reported(block.arm, at).items()
            ],
        )

    async def run(self, minutes: int) -> None:
        """Let that much time go by."""
        for _ in range(minutes):
            if milliseconds(self.at) % PERIOD_MS < 60_000:
                self._account(milliseconds(self.at) // PERIOD_MS * PERIOD_MS)
            report = replace(self._report, at=self.at)
            self.counts.take(report, self.experiments.concerned())
            self.experiments.take(report)
            await self.experiments.settled()
            self.at += 60.0

    def pass_by(self, minutes: int) -> None:
        """Let that much time go by with nobody looking but the ledger."""
        for _ in range(minutes // 5):
            self._account(milliseconds(self.at) // PERIOD_MS * PERIOD_MS)
            self.at += 300.0

    async def run_to_the_end(self, most_minutes: int = 1500) -> None:
        """Let time go by until the experiment is decided, or that much has."""
        for _ in range(most_minutes // 10):
            await self.run(10)
            if self.status.get("phase") == "Decided":
                return

    @property
    def status(self) -> dict[str, Any]:
        """The status as written last."""
        return self.cluster.statuses[-1]

    def _account(self, end: int) -> None:
        """The ledger's rows of the five minutes that ended: both workloads serve what the route gives them."""
        start, uids = end - PERIOD_MS, {o.spec.key.name: o.spec.uid for o in self._report.outcomes}
        running = next(iter(self.experiments._running.values()), None)
        block = block_at(running.plan, running.known.start, start) if running else None
        total = self.cluster.route.primary_weight + self.cluster.route.fallback_weight
        share = self.cluster.route.fallback_weight / total
        if running is not None and running.plan.route is None and block is not None:
            share = float(block.arm is Arm.TREATMENT)
        entries = []
        for name, arm, part in (("chat", Arm.BASELINE, 1 - share), ("chat-int4", Arm.TREATMENT, share)):
            requests = Decimal(round(600 * part))
            dollars = (requests * Decimal(str(self.cost(arm, start)))).quantize(Decimal("1e-9"))
            use = PathUse(
                "gpu", serving_ms=300_000, serving=dollars, requests=requests, output_tokens=requests * 100,
                measured_ms=PERIOD_MS,
            )  # fmt: skip
            entries.append(Entry(WorkloadKey("team", name), uids[name], start, end, (use,)))
        self.ledger.append(entries)

    def outcome(self, kpi: str, at: int, outcomes: int, cases: int, minutes: float, key: str = "") -> Outcome:
        """What became of cases of `chat` that began then."""
        numbers = (Decimal(outcomes), Decimal(cases), Decimal(str(minutes)))
        return Outcome(WorkloadKey("team", "chat"), kpi, key or f"{kpi}-{at}", at, *numbers)
