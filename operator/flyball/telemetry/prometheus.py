"""The Metrics port over Prometheus: a bounded batch of queries for all workloads, within one deadline."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import structlog

from flyball.core.names import WorkloadKey
from flyball.core.observation import WorkloadSignals
from flyball.core.service.latency import ACTIVE_SESSIONS
from flyball.core.spec import WorkloadSpec
from flyball.telemetry import mixed, outside, own_counts, queries, reliability, sessions, stages, wakeup
from flyball.telemetry.answers import Answer, Table
from flyball.telemetry.discovery import Engines, inventory_query, sources
from flyball.telemetry.engine_reader import EngineReader, unread
from flyball.telemetry.gateways import with_gateway
from flyball.telemetry.named import SEGMENTS, Named, Told
from flyball.telemetry.outside import OutsideReader
from flyball.telemetry.own_counts import OwnCountsReader
from flyball.telemetry.refusal import refusal
from flyball.telemetry.sampled import told_apart, with_time
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.slow import SlowWindows
from flyball.telemetry.stages import Outside
from flyball.telemetry.transport import PrometheusClient

log = structlog.get_logger("flyball.telemetry")

INVENTORY_SECONDS = 60.0
"""How old it may be what is known of the names that pods export: an engine is recognized within that of its first
scrape."""


class PrometheusMetrics:
    """Reads all workloads' signals; implements `flyball.core.ports.Metrics`."""

    def __init__(self, settings: PrometheusSettings, engines: Engines | None = None) -> None:
        self._settings = settings
        self._engines = engines or Engines()
        self._inventories = SlowWindows(min(INVENTORY_SECONDS, settings.slow_refresh_seconds), Table)
        self._client = PrometheusClient(settings)
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._slow_slot = asyncio.Semaphore(1)
        self._engine = EngineReader(self._batch, self._ask_slowly, settings)
        self._failures: dict[str, str] = {}
        self._ahead_seconds = 0.0
        self._outside = OutsideReader(self._ask, self._note, settings.slow_refresh_seconds)
        self._own_counts = OwnCountsReader(settings.slow_refresh_seconds)

    async def read(self, workloads: Sequence[WorkloadSpec], at: float) -> Mapping[WorkloadKey, WorkloadSignals]:
        """Signals of all workloads at that time (epoch seconds). Never raises.

        The number of queries depends on the profiles, indicators and windows in use, on how many histograms are lacked
        or have edges that some pods lack, and on the overrides.
        """
        deadline = time.monotonic() + self._settings.timeout_seconds
        at += self._ahead()
        refused = {spec.key: text for spec in workloads if (text := refusal(spec))}
        signals = {key: unread(text, self._settings.rate_window_seconds) for key, text in refused.items()}
        asked = [spec for spec in workloads if spec.key not in refused]
        inventory = await self._inventory(asked, at, deadline)
        asked = [with_gateway(spec, self._engines.profiles(spec)) for spec in asked]
        by_engine: dict[str, list[WorkloadSpec]] = {}
        for spec in asked:
            for name, part in self._engines.parts(spec).items():
                by_engine.setdefault(name, []).append(part)
        around = asyncio.create_task(self._read_outside(asked, at, deadline))
        told: dict[WorkloadKey, dict[str, Told]] = {}
        found = await asyncio.gather(
            *(
                self._engine.read(name, specs, at, deadline, (self._overrides(specs, at, deadline, told), around))
                for name, specs in sorted(by_engine.items())
            )
        )
        first = (await around).first
        for spec in asked:
            whole = mixed.together(spec, [part[spec.key] for part in found if spec.key in part])
            own = Named(at, self._why_nothing(spec), told.get(spec.key, {}), first)
            signals[spec.key] = replace(whole, sources=sources(spec, self._engines, inventory, whole, own))
        return signals | await self._counted({spec.key: spec for spec in asked}, signals, at)

    def _why_nothing(self, spec: WorkloadSpec) -> dict[str, str]:
        """Which of the workload's own signals a failed query left without an answer, and why."""
        places = {name: _override(spec.key, name) for name, _ in spec.telemetry.overrides}
        places |= {str(indicator): outside.STAGES for indicator, _ in spec.telemetry.latencies}
        for stage in spec.telemetry.stages:
            query = _override(spec.key, stages.query_name(stage.name))
            places[stages.query_name(stage.name)] = query if stage.source.query else outside.STAGES
        places |= {SEGMENTS: outside.SEGMENTS} if spec.telemetry.split else {}
        return {name: self._failures[place] for name, place in places.items() if place in self._failures}

    def _ahead(self) -> float:
        """What turns our time into Prometheus', whose samples have its own: else their ages would be wrong by it."""
        ahead = self._client.ahead_seconds
        if ahead != self._ahead_seconds:
            self._ahead_seconds = ahead
            log.warning("clocks differ: ages go by Prometheus', set both by NTP", prometheus_ahead_seconds=round(ahead))
        return ahead

    async def _inventory(self, specs: Sequence[WorkloadSpec], at: float, deadline: float) -> Table:
        """What the pods export, asked once a minute and beside the ticks but for the first time."""
        if not specs:
            return Table(Answer())
        text = inventory_query(queries.plan(specs, self._settings.rate_window_seconds).scope)
        patience = min(self._settings.timeout_seconds / 4, deadline - time.monotonic())
        found = await self._inventories.read("inventory", {0.0: text}, at, partial(self._ask_slowly, at=at), patience)
        inventory = found.get(0.0, Table(Answer()))
        self._engines.learn(specs, inventory)
        return inventory

    async def aclose(self) -> None:
        """Stop what runs in the background and close the connections."""
        await self._engine.aclose()
        await self._inventories.aclose()
        await self._outside.aclose()
        await self._own_counts.aclose()
        self._client.close()

    async def _read_outside(self, specs: Sequence[WorkloadSpec], at: float, deadline: float) -> Outside:
        plan = queries.plan(specs, self._settings.rate_window_seconds)
        return await self._outside.read(specs, plan, at, deadline, partial(self._ask_slowly, at=at))

    async def _counted(
        self, specs: Mapping[WorkloadKey, WorkloadSpec], signals: Mapping[WorkloadKey, WorkloadSignals], at: float
    ) -> dict[WorkloadKey, WorkloadSignals]:
        """The signals with what users count, and with the objectives about how requests end."""
        shortest = self._settings.rate_window_seconds
        asked = queries.plan(list(specs.values()), shortest).windows
        counts = await self._own_counts.read(specs.values(), asked, at, partial(self._ask_slowly, at=at))
        whole = {key: own_counts.apply(spec, signals[key], counts[key]) for key, spec in specs.items()}
        return {key: reliability.judge(spec, whole[key], asked, shortest) for key, spec in specs.items()}

    async def _overrides(
        self,
        specs: Sequence[WorkloadSpec],
        at: float,
        deadline: float,
        told: dict[WorkloadKey, dict[str, Told]],
    ) -> dict[WorkloadKey, dict[str, Answer]]:
        """The answers to the workloads' own queries; `told` is filled with what is to be said of them."""
        to_zero = [(spec.key, spec.scaling.to_zero) for spec in specs]
        wanted = [(key, wakeup.QUERY, declared.query) for key, declared in to_zero if declared and declared.query]
        wanted += [
            (spec.key, name, with_time(query, sessions.capped(query) if name == ACTIVE_SESSIONS else query))
            for spec in specs
            for name, query in spec.telemetry.overrides
        ]
        wanted += [
            (spec.key, stages.query_name(stage.name), with_time(stage.source.query))
            for spec in specs
            for stage in spec.telemetry.stages
            if stage.source.query
        ]
        limit = self._settings.override_limit
        answers = await asyncio.gather(*(self._ask(query, at, deadline) for _, _, query in wanted[:limit]))
        too_many = Answer(failure=f"{len(wanted)} overrides are more than the {limit} that are asked for: use profiles")
        found: dict[WorkloadKey, dict[str, Answer]] = {}
        for index, (key, name, _) in enumerate(wanted):
            answer, sampled_at = told_apart(answers[index] if index < limit else too_many)
            told.setdefault(key, {})[name] = Told(bool(answer.rows), sampled_at)
            self._note(_override(key, name), answer.failure)
            found.setdefault(key, {})[name] = answer
        return found

    async def _batch(self, texts: Mapping[str, str], at: float, deadline: float) -> dict[str, Table]:
        answers = await asyncio.gather(*(self._ask(text, at, deadline) for text in texts.values()))
        for name, answer in zip(texts, answers, strict=True):
            self._note(name, answer.failure)
        return {name: Table(answer) for name, answer in zip(texts, answers, strict=True)}

    async def _ask(self, query: str, at: float, deadline: float) -> Answer:
        """One answer, or a failure at the deadline; the thread that waits then ends by its own timeout."""
        try:
            async with asyncio.timeout(deadline - time.monotonic()), self._slots:
                return await self._to_thread(query, at, deadline)
        except TimeoutError:
            return Answer(failure=self._client.late)

    async def _ask_slowly(self, query: str, at: float) -> Answer:
        async with self._slow_slot:
            return await self._to_thread(query, at, time.monotonic() + self._settings.slow_timeout_seconds)

    async def _to_thread(self, query: str, at: float, deadline: float) -> Answer:
        return await asyncio.to_thread(self._client.ask, query, at, max(0.001, deadline - time.monotonic()))

    def _note(self, what: str, failure: str) -> None:
        """Log a query's failure once when it begins or changes, and its end."""
        if failure != self._failures.get(what, ""):
            if failure:
                log.warning("query failed", query=what, reason=failure)
                self._failures[what] = failure
            else:
                log.info("query works again", query=what)
                del self._failures[what]


def _override(key: WorkloadKey, name: str) -> str:
    return f"{key} override {name}"
