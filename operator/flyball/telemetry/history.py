"""A workload's past as the operator would have read it: the same queries over a range, the same reading of each step.

Rates and shares of a step are those of the step itself, so that nothing is counted twice; what came between the last
sample of one and the first of the next is extrapolated, as `rate` does. Gauges are those at its end. Prometheus refuses
more than 11,000 points of a series in one answer, so a range is asked for in parts.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from flyball.core.observation import WorkloadSignals
from flyball.core.service.latency import ACTIVE_SESSIONS
from flyball.core.spec import WorkloadSpec
from flyball.core.units import format_duration
from flyball.telemetry import overrides, queries
from flyball.telemetry.answers import Answer, RangeAnswer, Table
from flyball.telemetry.discovery import Engines, inventory_query
from flyball.telemetry.objectives import EngineLatencies
from flyball.telemetry.profiles import ENGINES, GPU, EngineProfile
from flyball.telemetry.promql import duration, either, grouped, series
from flyball.telemetry.queries import Plan
from flyball.telemetry.refusal import refusal
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.signals import Answers, read_workload
from flyball.telemetry.transport import PrometheusClient

MOST_POINTS = 11_000
"""Points of one series that Prometheus gives in one answer (web/api/v1, "exceeded maximum resolution")."""
PART_POINTS = 1_000
"""Points that are asked for at a time: small enough that answers stay small and progress shows."""
MOST_STEPS = 100_000
INVENTORIES = 24
"""At so many times of a range it is looked what a workload's pods export."""
RESETS = "resets"


class HistoryError(Exception):
    """A past that cannot be read; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Step:
    """The signals of one step that ends at `at` (epoch seconds)."""

    at: float
    signals: WorkloadSignals


@dataclass(frozen=True, slots=True)
class WorkloadHistory:
    """What was measured of one workload: a step each `step_seconds`, oldest first, without holes between them.

    A step in which nothing was measured has signals that are Absent or Stale. `counter_resets` counts restarts of
    counters, which Prometheus' own functions reckon with.
    """

    spec: WorkloadSpec
    step_seconds: float
    steps: tuple[Step, ...]
    counter_resets: float

    @property
    def start(self) -> float:
        """Where the first step begins."""
        return self.steps[0].at - self.step_seconds

    @property
    def end(self) -> float:
        """Where the last step ends."""
        return self.steps[-1].at


@dataclass(frozen=True, slots=True)
class Range:
    """Steps of a range: those that end after `start` and no later than `end`, on multiples of the step since the epoch.

    Raises HistoryError for a range without a step, or with too many.
    """

    start: float
    end: float
    step_seconds: float
    ends: tuple[float, ...] = field(init=False)

    def __post_init__(self) -> None:
        if self.step_seconds < 1 or self.step_seconds != round(self.step_seconds):
            raise HistoryError(f"a step of {self.step_seconds:g} s is not possible; give whole seconds, 1s or more")
        first = math.floor(self.start / self.step_seconds) + 1
        last = math.floor(self.end / self.step_seconds)
        if last < first:
            step = format_duration(self.step_seconds)
            raise HistoryError(f"the range holds no whole step of {step}; give a longer range, or a shorter step")
        if last - first >= MOST_STEPS:
            raise HistoryError(f"the range holds {last - first + 1} steps, more than {MOST_STEPS}; give a longer step")
        object.__setattr__(self, "ends", tuple(index * self.step_seconds for index in range(first, last + 1)))

    def parts(self) -> Iterator[tuple[float, ...]]:
        """The ends in parts that one query each may ask for."""
        for index in range(0, len(self.ends), PART_POINTS):
            yield self.ends[index : index + PART_POINTS]


def read_history(
    settings: PrometheusSettings,
    spec: WorkloadSpec,
    span: Range,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> WorkloadHistory:
    """The workload's past over a range. `progress` is told how many of all queries are done. Raises HistoryError."""
    if refused := refusal(spec):
        raise HistoryError(refused)
    plan = queries.plan([spec], span.step_seconds)
    own = {name: query for name, query in spec.telemetry.overrides if name != ACTIVE_SESSIONS}
    client = PrometheusClient(settings)
    profile = ENGINES.get(_engine(client, settings, spec, plan, span))
    texts = queries.first_queries(profile, GPU, plan)
    if profile is not None:
        texts[RESETS] = _resets(profile, plan)
        texts |= queries.later_queries(profile, plan, plan.latencies)
        texts |= {queries.LATER_RATES: rates} if (rates := queries.later_rates(profile, plan)) else {}
        texts |= queries.covered_queries(profile, plan, texts)
    parts = list(span.parts())
    total, done = len(parts) * (len(texts) + len(own)), 0
    steps: list[Step] = []
    resets = 0.0
    try:
        for ends in parts:
            answers: dict[str, RangeAnswer] = {}
            for name, text in (*texts.items(), *((f"override {name}", text) for name, text in own.items())):
                answers[name] = client.ask_range(text, ends[0], ends[-1], span.step_seconds, settings.timeout_seconds)
                if answers[name].failure:
                    raise HistoryError(answers[name].failure)
                done += 1
                progress(done, total)
            steps += (Step(at, _signals(spec, profile, plan, at, answers, texts, own)) for at in ends)
            resets += sum(_resets_of(spec, answers[RESETS], at) for at in ends) if RESETS in answers else 0.0
    finally:
        client.close()
    return WorkloadHistory(spec, span.step_seconds, tuple(steps), resets)


def _engine(client: PrometheusClient, settings: PrometheusSettings, spec: WorkloadSpec, plan: Plan, span: Range) -> str:
    """The engine that the workload ran, by what its pods exported here and there in the range."""
    engines = Engines()
    if not spec.telemetry.engine:
        step = max(1.0, math.ceil((span.ends[-1] - span.ends[0]) / INVENTORIES))
        answer = client.ask_range(
            inventory_query(plan.scope), span.ends[0], span.ends[-1], step, settings.timeout_seconds
        )
        if answer.failure:
            client.close()
            raise HistoryError(answer.failure)
        engines.learn([spec], Table(Answer(tuple(row for rows in answer.rows.values() for row in rows))))
    found = sorted(engines.parts(spec))
    if len(found) > 1:
        client.close()
        raise HistoryError(f"its targets run {' and '.join(found)}: the past of one engine at a time is read")
    return found[0]


def _signals(
    spec: WorkloadSpec,
    profile: EngineProfile | None,
    plan: Plan,
    at: float,
    answers: Mapping[str, RangeAnswer],
    texts: Mapping[str, str],
    own: Mapping[str, str],
) -> WorkloadSignals:
    tables = {name: Table(Answer(answers[name].rows.get(at, ()))) for name in texts}
    signals = read_workload(EngineLatencies(spec, profile, tables), profile, plan, Answers(at, tables, {}))
    overridden = {name: Answer(answers[f"override {name}"].rows.get(at, ())) for name in own}
    return overrides.apply(spec, signals, overridden, plan.rate_window_seconds) if own else signals


def _resets(profile: EngineProfile, plan: Plan) -> str:
    """How often a pod's completion counter began anew within a step."""
    window = duration(plan.rate_window_seconds)
    found = either(
        f"resets({series(selector, plan.scope.matcher())}[{window}])" for selector in profile.completions.selectors
    )
    return f"max by ({plan.scope.by('pod')}) ({grouped(plan.scope.narrowed(found))})"


def _resets_of(spec: WorkloadSpec, answer: RangeAnswer, at: float) -> float:
    table = Table(Answer(answer.rows.get(at, ())))
    return sum(row.value for variant in spec.variants for row in table.of_variant(spec, variant, ""))
