"""What workloads' pods export: which engine they run, and which of its names carry which signal. Pure.

One query for all workloads tells which names there are; Prometheus' own lookback of five minutes lets a name outlive a
missed scrape. A workload whose targets run different engines is read as several, one for each engine.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from flyball.core.names import WorkloadKey
from flyball.core.observation import SignalState, WorkloadSignals
from flyball.core.service.sources import SignalQuality, SignalSource
from flyball.core.spec import Variant, WorkloadSpec
from flyball.telemetry import named
from flyball.telemetry.answers import Table
from flyball.telemetry.named import Named
from flyball.telemetry.profiles import ENGINES, GPU, EngineProfile
from flyball.telemetry.profiles.listing import Source, engine_signals, series_of
from flyball.telemetry.promql import SERIES_LABEL, Scope, any_of, grouped

DEFAULT_ENGINE = "VLLM"
"""What is read until a workload's pods have shown what they are."""
RECOGNIZED_FIRST = ("Dynamo",)
"""Engines that pass on what others export, so that their own signs decide."""

_GPU_UTILIZATION = "GPUUtilization"
_NAMES = tuple(
    sorted({name for profile in ENGINES.values() for name in (*profile.signs, *series_of(engine_signals(profile)))})
)


def inventory_query(scope: Scope) -> str:
    """Which names of any engine's profile there are, by group of pods."""
    found = grouped(f"{{__name__=~{any_of(_NAMES)},{scope.matcher()}}}")
    named = f'label_replace({found}, "{SERIES_LABEL}", "$1", "__name__", "(.+)")'
    return f"count by (namespace, flyball_pods, {SERIES_LABEL}) ({named})"


def names_of(spec: WorkloadSpec, variant: Variant, inventory: Table) -> frozenset[str]:
    """The names that a target's pods export."""
    return frozenset(name for name in _NAMES if inventory.of_target(spec, variant, name))


def engine_of(names: frozenset[str]) -> str:
    """The engine that exports these names; empty where none does."""
    order = (*RECOGNIZED_FIRST, *(name for name in ENGINES if name not in RECOGNIZED_FIRST))
    return next((name for name in order if names.intersection(ENGINES[name].signs)), "")


class Engines:
    """Which engine each target of each workload runs: as declared, else as last seen, else the default."""

    def __init__(self) -> None:
        self._seen: dict[tuple[WorkloadKey, str], str] = {}

    def learn(self, workloads: Sequence[WorkloadSpec], inventory: Table) -> None:
        """Look at what those workloads export that do not say what they run; forget those that are gone."""
        asked = {
            (spec.key, v.name): (spec, v) for spec in workloads if not spec.telemetry.engine for v in spec.variants
        }
        self._seen = {place: name for place, name in self._seen.items() if place in asked}
        for place, (spec, variant) in asked.items():
            if found := engine_of(names_of(spec, variant, inventory)):
                self._seen[place] = found

    def of(self, spec: WorkloadSpec, variant: Variant) -> str:
        """The engine of one target."""
        others = (self._seen.get((spec.key, other.name)) for other in spec.variants)
        seen = self._seen.get((spec.key, variant.name)) or next((name for name in others if name), DEFAULT_ENGINE)
        return spec.telemetry.engine or seen

    def profiles(self, spec: WorkloadSpec) -> list[EngineProfile | None]:
        """What is known of the engine of each target; None where users describe it."""
        return [ENGINES.get(self.of(spec, variant)) for variant in spec.variants]

    def running(self, name: str, workloads: Iterable[WorkloadSpec]) -> list[WorkloadSpec]:
        """Those parts of the workloads that run that engine."""
        return [part for spec in workloads if (part := self.parts(spec).get(name)) is not None]

    def parts(self, spec: WorkloadSpec) -> Mapping[str, WorkloadSpec]:
        """The workload by engine, each part with the targets that run it. One part where all run the same."""
        by_engine: dict[str, list[Variant]] = {}
        for variant in spec.variants:
            by_engine.setdefault(self.of(spec, variant), []).append(variant)
        return {name: replace(spec, variants=tuple(variants)) for name, variants in by_engine.items()}


def sources(
    spec: WorkloadSpec, engines: Engines, inventory: Table, signals: WorkloadSignals, own: Named
) -> tuple[SignalSource, ...]:
    """For each signal where it comes from, how good that is, and how old; none while nothing is known of any pod."""
    known = {variant.name: names_of(spec, variant, inventory) for variant in spec.variants}
    if not any(known.values()) and not spec.telemetry.overrides:
        return ()
    found = {source.signal: source for source in _of_engines(spec, engines, known, signals)}
    found[_GPU_UTILIZATION] = _of_gpus(signals)
    found |= {source.signal: source for source in named.sources(spec, signals, own)}
    return tuple(found[name] for name in sorted(found))


def _of_engines(
    spec: WorkloadSpec, engines: Engines, known: Mapping[str, frozenset[str]], signals: WorkloadSignals
) -> Iterable[SignalSource]:
    profiles = {variant.name: ENGINES.get(engines.of(spec, variant)) for variant in spec.variants}
    listed = {profile.name: engine_signals(profile) for profile in profiles.values() if profile}
    age = max((signals.variant(name).running.age_seconds for name in profiles), default=0.0)
    silent = all(signals.variant(name).running.state is SignalState.STALE for name in profiles)
    for signal in next(iter(listed.values()), {}):
        taken = [
            (profile, found)
            for name, profile in profiles.items()
            if profile and (found := first_found(listed[profile.name][signal], known[name]))
        ]
        if not taken:
            lacks = (profile.origin.lacks.get(signal) for profile in profiles.values() if profile)
            yield SignalSource(signal, next(filter(None, lacks), "not exported"), SignalQuality.MISSING)
            continue
        texts = dict.fromkeys(f"{profile.name} {name}" for profile, (_, name) in taken)
        estimated = any(source.estimated for _, (source, _) in taken)
        quality = SignalQuality.ESTIMATED if estimated else SignalQuality.EXACT
        yield SignalSource(signal, "; ".join(texts), SignalQuality.STALE if silent else quality, age)


def first_found(sources: Iterable[Source], names: frozenset[str]) -> tuple[Source, str] | None:
    """The best of a signal's sources that is exported, and under which of its names."""
    for source in sources:
        for shown, series in zip(source.shown, source.series, strict=False):
            if series in names:
                return source, shown
    return None


def _of_gpus(signals: WorkloadSignals) -> SignalSource:
    readings = [variant.gpu_utilization for variant in signals.variants]
    there = [reading for reading in readings if reading.state is not SignalState.ABSENT]
    if not there:
        text = f"no {GPU.name} exporter tells of these pods"
        return SignalSource(_GPU_UTILIZATION, text, SignalQuality.MISSING)
    stale = all(reading.state is SignalState.STALE for reading in there)
    quality = SignalQuality.STALE if stale else SignalQuality.EXACT
    return SignalSource(_GPU_UTILIZATION, GPU.name, quality, max(reading.age_seconds for reading in there))
