"""Reading the workloads of one engine's profile: its batch of queries, and what only some of them need besides."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from flyball.core.names import WorkloadKey
from flyball.core.observation import WorkloadSignals
from flyball.core.spec import WorkloadSpec
from flyball.telemetry import engine_stages, overrides, queries, sessions, stages, wakeup
from flyball.telemetry.answers import Answer, Table
from flyball.telemetry.evenness import EvenEdges, reporting
from flyball.telemetry.objectives import EngineLatencies, lacking, needed_edges
from flyball.telemetry.profiles import ENGINES, GPU, EngineProfile
from flyball.telemetry.queries import Plan
from flyball.telemetry.rates import lacking_rates
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.signals import Answers, read_workload
from flyball.telemetry.slow import Ask, SlowWindows
from flyball.telemetry.stages import Outside
from flyball.telemetry.windows import FAST_SECONDS

OwnAnswers = Mapping[WorkloadKey, Mapping[str, Answer]]
AskSlowly = Callable[[str, float], Awaitable[Answer]]
"""Asks a query at a time (epoch seconds), one after the other beside the ticks."""

_REQUIRED_QUERIES = (queries.GAUGES, queries.RATES)
"""Without their answers nothing can be decided; without another's, only its own signals are Absent."""
_EDGES = "edges"


class EngineReader:
    """Reads, and remembers long windows and which edges are even. `batch` asks queries by name within a deadline."""

    def __init__(self, batch: engine_stages.Batch, ask_slowly: AskSlowly, settings: PrometheusSettings) -> None:
        self._batch = batch
        self._ask_slowly = ask_slowly
        self._settings = settings
        self._slow = SlowWindows(settings.slow_refresh_seconds, Table)
        self._even: dict[str, EvenEdges] = {}
        self._stages = engine_stages.EngineStagesReader(batch, settings.slow_refresh_seconds)

    async def aclose(self) -> None:
        """Stop what runs in the background."""
        await self._slow.aclose()
        await self._stages.aclose()

    async def read(
        self,
        name: str,
        specs: Sequence[WorkloadSpec],
        at: float,
        deadline: float,
        besides: tuple[Awaitable[OwnAnswers], Awaitable[Outside]],
    ) -> dict[WorkloadKey, WorkloadSignals]:
        """The signals of workloads, or parts of some, that run the engine of that name; without a profile their GPUs'.

        `besides` are the answers to their own queries, and what is measured outside of engines.
        """
        profile = ENGINES.get(name)
        plan = queries.plan(specs, self._settings.rate_window_seconds)
        own, first = await asyncio.gather(
            besides[0],
            self._batch(queries.first_queries(profile, GPU, plan), at, deadline),
        )
        failed = next((first[name].failure for name in _REQUIRED_QUERIES if name in first and first[name].failure), "")
        if failed:
            return {spec.key: unread(failed, plan.rate_window_seconds) for spec in specs}
        if profile:
            first |= await self._for_some(profile, plan, specs, first, at, deadline)
        latencies = [EngineLatencies(spec, profile, first) for spec in specs]
        further = await self._further(profile, plan, latencies, at, deadline) if profile else {}
        answers, around = Answers(at, first, further), await besides[1]
        found = {
            each.spec.key: _workload(each, profile, plan, answers, around, own.get(each.spec.key, {}))
            for each in latencies
        }
        if profile is None:
            return found
        burning = engine_stages.burning(specs, found)
        table = await self._stages.read(profile, plan.scope, at, deadline, self._slowly(at), now=burning)
        return {spec.key: engine_stages.apply(spec, found[spec.key], profile, table) for spec in specs}

    def _slowly(self, at: float) -> Ask:
        return lambda query: self._ask_slowly(query, at)

    async def _for_some(
        self,
        profile: EngineProfile,
        plan: Plan,
        specs: Sequence[WorkloadSpec],
        first: Mapping[str, Table],
        at: float,
        deadline: float,
    ) -> dict[str, Table]:
        """What only some workloads need over the rate window: later histograms, and what uneven edges are shares of."""
        even = self._even.setdefault(profile.name, EvenEdges())
        pods = reporting(first[queries.GAUGES], at, plan.rate_window_seconds)
        texts = queries.later_queries(profile, plan, lacking(specs, profile, first))
        if lacking_rates(specs, profile, first):
            texts[queries.LATER_RATES] = queries.later_rates(profile, plan)
        edges = "" if even.known(pods, at) else queries.edges_query(profile, plan)
        found = await self._batch(texts | ({_EDGES: edges} if edges else {}), at, deadline)
        if edges:
            even.learn(pods, at, found.pop(_EDGES), queries.all_buckets(profile, plan))
        return found | await self._batch(queries.covered_queries(profile, plan, even.uneven), at, deadline)

    async def _further(
        self,
        profile: EngineProfile,
        plan: Plan,
        latencies: Sequence[EngineLatencies],
        at: float,
        deadline: float,
    ) -> dict[float, Table]:
        """Answers over the windows beside the rate window: the short ones now, the long ones as remembered.

        Even edges are made use of in the short ones alone: long ones are asked seldom, and a query that changes is
        asked anew.
        """
        edges, even = needed_edges(latencies), self._even[profile.name]
        texts = {
            window: queries.window_query(
                profile, plan, window, edges, even.over(window, edges) if window <= FAST_SECONDS else frozenset()
            )
            for window in plan.further_windows()
        }
        asked = {window: text for window, text in texts.items() if text}

        fast, slow = await asyncio.gather(
            self._batch({f"{w:g} s": text for w, text in asked.items() if w <= FAST_SECONDS}, at, deadline),
            self._slow.read(
                profile.name,
                {window: text for window, text in asked.items() if window > FAST_SECONDS},
                at,
                self._slowly(at),
                deadline - time.monotonic(),
            ),
        )
        found = {window: fast[f"{window:g} s"] for window in asked if window <= FAST_SECONDS}
        for window, table in found.items():
            even.learn_window(window, table, edges)
        return found | slow


def _workload(
    latencies: EngineLatencies,
    profile: EngineProfile | None,
    plan: Plan,
    answers: Answers,
    outside: Outside,
    own: Mapping[str, Answer],
) -> WorkloadSignals:
    spec = latencies.spec
    problem, wanted = overrides.problem(spec, own), wakeup.read_wanted(spec, answers, own)
    if problem:
        return replace(unread(problem, plan.rate_window_seconds), wanted=wanted)
    signals = replace(read_workload(latencies, profile, plan, answers), wanted=wanted)
    signals = overrides.apply(spec, signals, own, plan.rate_window_seconds)
    signals = stages.apply(spec, signals, plan, outside, own, latencies.buckets())
    return sessions.apply(spec, signals, own)


def unread(text: str, window_seconds: float) -> WorkloadSignals:
    """The signals of a workload of which nothing was read; the text says why."""
    return WorkloadSignals(problem=text, window_seconds=window_seconds)
