"""`status.plan` and `status.promptTrend`: reads the past by the hour, makes both anew now and then, and tells a plan
where it changed.

History comes from Prometheus, which outlives the operator: a restarted one keeps to the plan in the status until it has
read four weeks again. One query at a time, and so many plans at a look that they take no more than a fraction of a
core, however many workloads there are.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from flyball.core.advice.outlook import HourOfLoad, Outlook, foresee, stale, still_unmeasured, worth_telling
from flyball.core.names import WorkloadKey
from flyball.core.ports import HourlyLoad, PortError
from flyball.core.service.tokens import PromptTrend, prompt_trend
from flyball.core.spec import WorkloadSpec
from flyball.core.traffic.trends import HOUR_SECONDS
from flyball.runtime.advice import Advice, Seen
from flyball.runtime.aside import Beside, in_thread_of_its_own
from flyball.runtime.efficiency_status import prompt_status
from flyball.runtime.hours import LoadByHour, Part
from flyball.runtime.news import Status
from flyball.runtime.plan_status import render

REPLAN_SECONDS = 6 * HOUR_SECONDS
"""A plan of months: it moves with days, and a quarter of one is soon enough."""
MOST_PLANS = 20
"""At one look. A plan takes some 50 ms: a second in fifteen."""
PLANNING_SECONDS = 60.0
READING_SECONDS = 10.0
"""Of one look, for as many parts of the history as come in that time, one after the other."""
RETRY_SECONDS = 300.0

log = structlog.get_logger("flyball.planner")


NOT_BY_THE_HOUR = (
    "the load is not read by the hour: with telemetry.engine Custom, or an override of Completions, "
    "there are no series of a profile to sum up"
)


@dataclass(frozen=True, slots=True)
class _Told:
    """The outlook told last, as the status has it, and how many were told before it."""

    outlook: Outlook
    status: Status
    revision: int


@dataclass(frozen=True, slots=True)
class _Made:
    """When a plan was last made, whether there was one, and from what beside the hours."""

    at: float
    known: bool
    inputs: tuple[object, ...]


class Planner(Beside):
    """Implements `flyball.runtime.advice.Adviser`."""

    def __init__(self, source: HourlyLoad) -> None:
        super().__init__("plan")
        self._source = source
        self._load = LoadByHour()
        self._seen: dict[WorkloadKey, Seen] = {}
        self._told: dict[WorkloadKey, _Told] = {}
        self._made: dict[WorkloadKey, _Made] = {}
        self._prompts: dict[WorkloadKey, PromptTrend] = {}
        self._guessed: dict[WorkloadKey, tuple[int, tuple[str, ...]]] = {}
        self._not_before = 0.0
        self._problem = ""

    def look(self, at: float, seen: Sequence[Seen]) -> None:
        """Take in a finished tick."""
        self._seen = {each.spec.key: each for each in seen}
        self._told = {key: told for key, told in self._told.items() if key in self._seen}
        self._made = {key: made for key, made in self._made.items() if key in self._seen}
        self._prompts = {key: prompts for key, prompts in self._prompts.items() if key in self._seen}
        self._aside.offer(lambda: self._work(at))

    def advice(self, spec: WorkloadSpec, before: Status) -> Advice:
        """What was told last; until there is something, what the predecessor told."""
        told, prompts = self._told.get(spec.key), self._prompts.get(spec.key)
        status = {name: before[name] for name in ("plan", "promptTrend") if before.get(name)}
        states = {}
        if told is not None:
            status["plan"] = told.status
            states["plan"] = f"{told.status['state']}, revision {told.revision}"
        if prompts is not None:
            status["promptTrend"] = prompt_status(prompts)
            states["prompts"] = prompts.state
        return Advice(status, states)

    async def _work(self, at: float) -> None:
        """Read what is lacking, part after part while the look lasts; plan once nothing is."""
        seen = dict(self._seen)
        self._load.keep(seen)
        self._guessed = {key: self._guess(each) for key, each in seen.items()}
        until = time.monotonic() + READING_SECONDS
        while part := self._load.next_part(at):
            if at < self._not_before or time.monotonic() > until:
                return
            await self._read(part, [seen[key].spec for key in part.keys], at)
        due = [each for each in seen.values() if self._due(each, at)][:MOST_PLANS]
        if due:
            hours = {each.spec.key: self._load.hours(each.spec.key, at) for each in due}
            guessed = {each.spec.key: self._guessed[each.spec.key][1] for each in due}
            found = await in_thread_of_its_own(
                lambda: [(_foreseen(each, hours, guessed), _prompts(hours[each.spec.key])) for each in due],
                PLANNING_SECONDS,
            )
            for each, (outlook, prompts) in zip(due, found, strict=True):
                if prompts is not None:
                    self._prompts[each.spec.key] = prompts
                known = outlook is not None and outlook.plan is not None
                self._made[each.spec.key] = _Made(at, known, self._inputs(each))
                if outlook is not None:
                    self._tell(each.spec, outlook)

    async def _read(self, part: Part, specs: Sequence[WorkloadSpec], at: float) -> None:
        begin, end = part.begin * HOUR_SECONDS, part.end * HOUR_SECONDS
        try:
            answers = await self._source.read_hours(specs, begin, end)
        except PortError as error:
            self._not_before = at + RETRY_SECONDS
            self._note(str(error))
            return
        self._note("")
        self._load.take(part, answers)

    def _guess(self, seen: Seen) -> tuple[int, tuple[str, ...]]:
        """The spec's generation, and its targets of which only the declared engine is known so far."""
        generation, before = self._guessed.get(seen.spec.key, (None, None))
        same = generation == seen.spec.generation
        return seen.spec.generation, still_unmeasured(seen.spec, seen.memory, before if same else None)

    def _due(self, seen: Seen, at: float) -> bool:
        made = self._made.get(seen.spec.key)
        if made is None or made.inputs != self._inputs(seen):
            return True
        return at - made.at >= (REPLAN_SECONDS if made.known else HOUR_SECONDS)

    def _inputs(self, seen: Seen) -> tuple[object, ...]:
        """What a plan is made from beside the hours, as far as a change of it makes another plan at once."""
        prices = tuple(variant.price_per_gpu_hour for variant in seen.spec.variants)
        expected, guessed = seen.observation.expected, self._guessed[seen.spec.key]
        return seen.spec.uid, prices, expected, seen.memory.shape is None, guessed

    def _tell(self, spec: WorkloadSpec, outlook: Outlook) -> None:
        told = self._told.get(spec.key)
        if told is None or worth_telling(told.outlook, outlook):
            self._told[spec.key] = _Told(outlook, render(spec, outlook), told.revision + 1 if told else 1)
        elif stale(told.outlook, outlook):
            self._told[spec.key] = _Told(outlook, render(spec, outlook), told.revision)

    def _note(self, problem: str) -> None:
        """Log a failure once when it begins or changes, and its end."""
        if problem != self._problem:
            if problem:
                log.warning("history not read by the hour", reason=problem)
            else:
                log.info("history is read by the hour again")
            self._problem = problem


def _foreseen(
    seen: Seen,
    hours: Mapping[WorkloadKey, Sequence[HourOfLoad] | None],
    guessed: Mapping[WorkloadKey, tuple[str, ...]],
) -> Outlook | None:
    found = hours[seen.spec.key]
    if found is None:
        return Outlook(seen.observation.at, 0, problem=NOT_BY_THE_HOUR)
    state, events = seen.observation.state, seen.observation.expected
    try:
        return foresee(seen.spec, state, seen.memory, found, events, guessed[seen.spec.key])
    except Exception:
        log.exception("a defect of Flyball, please report it", workload=str(seen.spec.key))
        return Outlook(seen.observation.at, 0, problem="the plan failed by a defect of Flyball: see the operator's log")


def _prompts(hours: Sequence[HourOfLoad] | None) -> PromptTrend | None:
    if hours is None:
        return None
    return prompt_trend([h.end for h in hours], [h.rate for h in hours], [h.prompt_tokens for h in hours])
