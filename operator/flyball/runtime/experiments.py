"""ROIExperiments beside the loop: registered, switched block by block, measured, judged, and told.

Ticks hand their reports over and go on. What an experiment may do to the cluster is: move the weights of the one rule
that it names, hold its own finalizer while it does, and write its own status. All that a verdict needs is in the
ledger, what ticks counted within a minute, so that a restart costs nothing but the blocks in which traffic could not be
seen to.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

import structlog

from flyball.api.experiments import fingerprint, registered, to_plan
from flyball.api.v1alpha1 import ROIExperiment
from flyball.core.decision import Condition, Event
from flyball.core.evidence.experiment import Design, Measured, Plan, begin_of, block_at, end_of
from flyball.core.evidence.experiment_sources import Unfit, changed, kpi_plan
from flyball.core.evidence.experiment_verdict import Judgement, Reason, Verdict, claim_of, judge
from flyball.core.money.meter import milliseconds
from flyball.core.names import EventReason, WorkloadKey
from flyball.core.ports import Events, ExperimentCluster, PortError
from flyball.ledger import experiments as records
from flyball.ledger.errors import LedgerError
from flyball.ledger.experiments import Decided, Registered
from flyball.ledger.objective_slots import add_slots
from flyball.ledger.store import Ledger
from flyball.runtime import experiment_status as shown
from flyball.runtime import pool_status
from flyball.runtime.aside import in_thread_of_its_own
from flyball.runtime.beside_ledger import BesideLedger
from flyball.runtime.counts import Counts
from flyball.runtime.experiment_blocks import due, measure, outstanding
from flyball.runtime.experiment_fleet import Fleet, check
from flyball.runtime.experiment_switch import Switch, switch
from flyball.runtime.mirror import FINALIZER, Mirror
from flyball.runtime.own_status import OwnStatuses
from flyball.runtime.tick import TickReport

LEDGER_SECONDS = 60.0
JUDGED_EVERY_MS = 300_000
WRITTEN_EVERY_MS = 60_000
"""How often what ticks counted goes into the ledger: so much a process that ends takes with it."""

log = structlog.get_logger("flyball.experiments")
Result = TypeVar("Result")
Shown = tuple[dict[str, Any], list[Condition]]


@dataclass(slots=True)
class _Running:
    """One experiment as this process knows it."""

    plan: Plan
    known: Registered
    decided: Decided | None
    blocks: list[Measured]
    judgement: Judgement | None = None
    judged_at: int = 0
    switch: Switch = field(default_factory=Switch)


class Experiments(BesideLedger):
    """Runs what the mirror holds. `url` is the ledger's, without which nothing can be registered.

    Whoever stops leaves what was switched: the next process goes on with it.
    """

    def __init__(
        self, mirror: Mirror, cluster: ExperimentCluster, events: Events, counts: Counts, url: str, zone: str = ""
    ) -> None:
        super().__init__("experiments", url, zone)
        self._mirror = mirror
        self._cluster = cluster
        self._events = events
        self._counts = counts
        self._running: dict[str, _Running] = {}
        self._statuses = OwnStatuses(cluster.write_status)
        self._written_at = 0
        self._problem = ""

    def concerned(self) -> set[WorkloadKey]:
        """The workloads whose objectives are counted by the block."""
        running = [each for each in self._running.values() if each.decided is None]
        namespaces = {each.plan.key.namespace for each in running}
        return {entry.key for entry in self._mirror.declared() if entry.key.namespace in namespaces}

    def take(self, report: TickReport) -> None:
        """Take in a finished tick. Never waits."""
        if self._mirror.experiments.raw or self._running:
            self._aside.offer(lambda: self._work(report))

    async def _work(self, report: TickReport) -> None:
        declared = {entry.key: entry.labels for entry in self._mirror.declared()}
        fleet = Fleet({outcome.spec.key: outcome.spec for outcome in report.outcomes}, declared)
        shelf = self._mirror.experiments
        await self._keep_counts(milliseconds(report.at))
        for key, model in list(shelf.valid.items()):
            try:
                found = await self._one(key, model, fleet, report.at)
            except (LedgerError, PortError, TimeoutError) as error:
                self._note(f"{key}: {str(error) or type(error).__name__}")
                continue
            if found is not None and key in shelf.raw:
                await self._statuses.write(key, shelf.raw[key], *found, report.at)
        for key, errors in list(shelf.invalid.items()):
            await self._statuses.write(key, shelf.raw[key], {}, pool_status.invalid(errors), report.at)
        self._statuses.forget_all_but(shelf.raw)
        uids = {str(raw["metadata"].get("uid", "")) for raw in shelf.raw.values()}
        self._running = {uid: each for uid, each in self._running.items() if uid in uids}

    async def _one(self, key: WorkloadKey, model: ROIExperiment, fleet: Fleet, at: float) -> Shown | None:
        """Move one experiment on; what its status says, None where it is going."""
        raw, now = self._mirror.experiments.raw[key], milliseconds(at)
        uid = str(raw["metadata"].get("uid", ""))
        if raw["metadata"].get("deletionTimestamp"):
            await self._give_back(key, raw)
            return None
        if not self._url:
            return shown.pending("NoLedger", "an experiment is kept in the ledger; set ledger.enabled of the chart")
        plan = to_plan(key, uid, model.spec)
        running = self._running.get(uid) or await self._read(plan)
        if running is None:
            begun = await self._begin(plan, model, fleet, now)
            if not isinstance(begun, _Running):
                return begun
            running = begun
        self._running[uid] = running
        if running.decided is None and (text := _other_than_registered(running, model, fleet)):
            ended = replace(
                self._judged(running, fleet, now),
                verdict=Verdict.INCONCLUSIVE, reason=Reason.CHANGED, text=text,
            )  # fmt: skip
            await self._decide(running, ended, fleet, at)
        if running.decided is not None:
            await self._give_back(key, raw)
            return shown.decided(running.known, running.decided)
        return await self._go_on(running, raw, fleet, at)

    async def _go_on(self, running: _Running, raw: Mapping[str, Any], fleet: Fleet, at: float) -> Shown:
        plan, now = running.plan, milliseconds(at)
        block = block_at(plan, running.known.start, now)
        problem = ""
        if plan.route is not None and block is not None:
            problem = await switch(self._cluster, running.switch, plan, plan.route, block, now)
        elif plan.route is not None and now >= running.known.start:
            await self._give_back(plan.key, raw)
        new = await self._measured(running, fleet, now)
        if new or running.judgement is None or now - running.judged_at >= JUDGED_EVERY_MS:
            running.judgement, running.judged_at = self._judged(running, fleet, now), now
        if running.judgement.verdict is not Verdict.RUNNING:
            await self._decide(running, running.judgement, fleet, at)
            if running.decided is not None:
                await self._give_back(plan.key, raw)
                return shown.decided(running.known, running.decided)
        return shown.running(running.known, block, asdict(running.judgement), problem)

    def _judged(self, running: _Running, fleet: Fleet, now: int) -> Judgement:
        """What is known now. Time is not over before the last block is measured, which waits for the ledger."""
        plan, begin = running.plan, running.known.start
        if outstanding(plan, begin, running.blocks, now):
            now = min(now, end_of(plan, begin) - 1)
        return judge(plan, fleet.guards(plan), running.blocks, begin, now, running.known.kpis.known)

    async def _measured(self, running: _Running, fleet: Fleet, now: int) -> bool:
        """Measure the blocks that ended; whether there were any."""
        plan, members, begin = running.plan, fleet.members(running.plan), running.known.start

        def work(ledger: Ledger) -> list[Measured]:
            known = ledger.through()
            through = min((known.get(uid, 0) for uid in members.uids), default=0)
            found = [
                running.switch.checked(plan, measure(ledger, plan, block, members, running.known.kpis, now))
                for block in due(plan, begin, running.blocks, through, now)
            ]
            records.add_blocks(ledger, plan.uid, found)
            return records.blocks(ledger, plan.uid) if found else []

        if not due(plan, begin, running.blocks, now, now):
            return False
        found = await self._in_ledger(work)
        running.blocks = found or running.blocks
        return bool(found)

    async def _read(self, plan: Plan) -> _Running | None:
        """What the ledger has of an experiment; None where it was never registered."""

        def work(ledger: Ledger) -> _Running | None:
            known = records.find(ledger, plan.uid)
            if known is None:
                return None
            return _Running(plan, known, records.decision(ledger, plan.uid), records.blocks(ledger, plan.uid))

        return await self._in_ledger(work)

    async def _begin(self, plan: Plan, model: ROIExperiment, fleet: Fleet, now: int) -> _Running | Shown:
        """Register an experiment that can start, or say what it waits for."""
        try:
            check(plan, fleet)
            await self._check_route(plan)
            kpis = kpi_plan(plan, fleet.specs_by_arm(plan))
        except Unfit as unfit:
            return shown.pending(unfit.reason, str(unfit))
        if plan.start is not None and now < plan.start:
            return shown.waiting(plan, "it starts when spec.start says")
        if plan.design is Design.BEFORE_AFTER and now < plan.after[1]:
            return shown.waiting(plan, "it is judged when the treatment's stretch of time is over")
        new = Registered(
            plan.uid, plan.key, now, begin_of(plan, now), fingerprint(model.spec), registered(model.spec), kpis
        )  # fmt: skip
        known = await self._in_ledger(lambda ledger: records.register(ledger, new))
        metric = f"{plan.metric} {plan.kpi}" if plan.kpi else str(plan.metric)
        text = f"experiment {plan.key.name} is registered, {plan.design}, {metric} {plan.direction} by {claim_of(plan)}"
        await self._tell(plan, fleet, Event(EventReason.EXPERIMENT_STARTED, text, "Experiment"), now / 1000)
        return _Running(plan, known, None, [])

    async def _check_route(self, plan: Plan) -> None:
        """Raise Unfit where the route cannot be switched."""
        if plan.route is not None:
            seen = await self._cluster.observe(plan.key, plan.route)
            if seen.problem:
                raise Unfit("RouteUnusable", seen.problem)

    async def _decide(self, running: _Running, judgement: Judgement, fleet: Fleet, at: float) -> None:
        plan, now = running.plan, milliseconds(at)
        running.decided = await self._in_ledger(lambda ledger: records.decide(ledger, plan.uid, now, judgement))
        text = f"experiment {plan.key.name}: {judgement.verdict} ({judgement.evidence}): {judgement.text}"
        log.info("an experiment is decided", experiment=str(plan.key), verdict=str(judgement.verdict))
        warning = judgement.verdict is not Verdict.SUPPORTED
        await self._tell(plan, fleet, Event(EventReason.EXPERIMENT_DECIDED, text, "Experiment", warning=warning), at)

    async def _tell(self, plan: Plan, fleet: Fleet, event: Event, at: float) -> None:
        """Write an Event about the first workload of the treatment; one that is lost stands in the status, too."""
        for key, uid in fleet.members(plan).treatment[:1]:
            try:
                await self._events.publish(key, uid, event, at)
            except PortError as error:
                log.warning("an Event is lost", experiment=str(plan.key), error=str(error))

    async def _give_back(self, key: WorkloadKey, raw: Mapping[str, Any]) -> None:
        """Give the route back and let the object go. Raises PortError where that has to be tried again."""
        if FINALIZER not in (raw["metadata"].get("finalizers") or ()):
            return
        await self._cluster.restore(key)
        await self._cluster.hold_finalizer(key, False)

    async def _keep_counts(self, now: int) -> None:
        """Write what ticks counted for blocks, so that another process can measure them."""
        if not self._url or now - self._written_at < WRITTEN_EVERY_MS:
            return
        self._written_at, slots = now, self._counts.slots()
        if not slots:
            return
        sums = {each: (count.good, count.total, count.measured_ms) for each, count in slots.items()}
        try:
            await self._in_ledger(lambda ledger: add_slots(ledger, sums, now))
        except LedgerError as error:
            self._counts.put_slots_back(slots)
            self._note(str(error))
        except TimeoutError:
            self._note("the ledger takes too long")  # whoever writes late still writes: counted twice would be worse

    async def _in_ledger(self, work: Callable[[Ledger], Result]) -> Result:
        began = time.monotonic()
        result = await in_thread_of_its_own(lambda: work(self.opened()), LEDGER_SECONDS)
        self._note("")
        log.debug("the ledger was asked", seconds=round(time.monotonic() - began, 3))
        return result

    def _note(self, problem: str) -> None:
        """Log a failure once when it begins or changes."""
        if problem and problem != self._problem:
            log.warning("an experiment cannot go on", reason=problem)
        self._problem = problem


def _other_than_registered(running: _Running, model: ROIExperiment, fleet: Fleet) -> str:
    """What is no longer what was registered; empty where all is."""
    if running.known.spec_hash != fingerprint(model.spec):
        return "the spec is no longer the one that was registered"
    return changed(running.known.kpis, fleet.specs_by_arm(running.plan))
