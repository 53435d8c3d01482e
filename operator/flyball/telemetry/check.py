"""A profile held against a live Prometheus: which of its signals are there, how good they are, what each lack costs.

For people who set Flyball up: seldom asked, so that it may ask more than a tick does. What a workload declares itself
is held against it in `check_declared`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flyball.core.spec import WorkloadSpec
from flyball.core.units import format_duration
from flyball.telemetry.answers import Answer, Table
from flyball.telemetry.check_results import COSTS, COSTS_AT_GATEWAYS, ProfileCheck, SignalCheck, State
from flyball.telemetry.discovery import Engines, first_found, inventory_query
from flyball.telemetry.pods import GROUP_LABEL
from flyball.telemetry.profiles import EngineProfile, GatewayProfile, GpuProfile
from flyball.telemetry.profiles.listing import Source, engine_signals, gateway_signals, series_of
from flyball.telemetry.profiles.model import Counter, Gauge, Origin
from flyball.telemetry.promql import (
    SCRAPES,
    SERIES_LABEL,
    Scope,
    any_of,
    duration,
    either,
    grouped,
    quote,
    series,
    tagged,
)
from flyball.telemetry.queries import SAMPLED_AT, gpus_query, plan
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.transport import PrometheusClient

STALE_SECONDS = 3600.0
"""A series that ended within this is told as stale, rather than as missing."""


class CheckError(Exception):
    """Prometheus gave no answer; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Found:
    """Series by name: how many there are, how many ended lately, and how old the newest is (seconds)."""

    now: Mapping[str, int]
    lately: Mapping[str, int]
    ages: Mapping[str, float]


class Checker:
    """Asks one Prometheus what there was at a time of our clock (epoch seconds). All methods raise CheckError."""

    def __init__(self, settings: PrometheusSettings, at: float) -> None:
        self._client = PrometheusClient(settings)
        self._timeout = settings.timeout_seconds
        self._rate_window = settings.rate_window_seconds
        self._at = at

    def clock(self) -> str:
        """Go by Prometheus' clock from now on; a sentence where that is another than ours."""
        self._ask("vector(0)")
        ahead = self._client.ahead_seconds
        self._at += ahead
        if not ahead:
            return ""
        way = "ahead of" if ahead > 0 else "behind"
        apart = format_duration(round(abs(ahead)))
        return f"Prometheus' clock is {apart} {way} that of this machine: ages go by Prometheus'; set both by NTP"

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def engines(self, spec: WorkloadSpec) -> list[str]:
        """The engines of a workload's targets, recognized where it does not name one."""
        known = Engines()
        known.learn([spec], Table(self._ask(inventory_query(Scope((spec.key.namespace,))))))
        return list(known.parts(spec))

    def engine(self, profile: EngineProfile, spec: WorkloadSpec | None = None) -> ProfileCheck:
        """An engine's profile, on a workload's pods or on all there are, but for what the workload overrides."""
        overridden = {name for name, _ in spec.telemetry.overrides} if spec else set()
        listed = {name: sources for name, sources in engine_signals(profile).items() if name not in overridden}
        matcher = f"namespace={quote(spec.key.namespace)}" if spec else 'pod!=""'
        found = self._look(series_of(listed), matcher, spec)
        notes = self._doubled(profile.running, matcher)
        if spec is not None and not found.now:
            notes += self._elsewhere(series_of(listed), spec)
        return _checked(profile, "engine", listed, found, self._version(profile), notes)

    def gateway(self, profile: GatewayProfile, labels: Sequence[tuple[str, str]] = ()) -> ProfileCheck:
        """A gateway's profile, on the series with these labels."""
        listed = gateway_signals(profile)
        matcher = ",".join(f"{name}={quote(value)}" for name, value in labels)
        found = self._look(series_of(listed), matcher, None)
        notes = self._doubled(profile.requests, matcher)
        if labels and not found.now and (others := self._count(series_of(listed), "")):
            said = ", ".join(f"{name}={quote(value)}" for name, value in labels)
            notes += (f"{others} series of the gateway are there, none with {said}: correct telemetry.gatewaySelector",)
        return _checked(profile, "gateway", listed, found, self._version(profile), notes)

    def gpus(self, profile: GpuProfile, spec: WorkloadSpec) -> ProfileCheck:
        """What a GPU exporter tells of the workload's pods."""
        table = Table(self._ask(gpus_query(profile, plan([spec], self._rate_window))))
        pods = [row for variant in spec.variants for row in table.of_target(spec, variant, SAMPLED_AT)]
        names = tuple(selector.name for gauge in profile.utilization for selector in gauge.selectors)
        signal, costs = "GPUUtilization", COSTS["GPUUtilization"]
        if pods:
            age = max(0.0, self._at - max(row.value for row in pods))
            told = SignalCheck(signal, State.FOUND, f"{' or '.join(names)} of {counted(len(pods), 'pod')}", 0, age)
        else:
            told = SignalCheck(signal, State.MISSING, looked_for=names, costs=costs)
        origin = profile.origin
        return ProfileCheck(profile.name, "gpu", origin.evidence, origin.held_against, origin.versions, "", (told,), ())

    def answer(self, query: str) -> Answer:
        """What any query gives; a refusal is told in the answer."""
        return self._client.ask(query, self._at, self._timeout)

    def _look(self, names: Sequence[str], matcher: str, spec: WorkloadSpec | None) -> _Found:
        every = f"{{__name__=~{any_of(names)}{',' if matcher else ''}{matcher}}}"
        now = _by_name(self._ask(_by_name_query(every)), spec)
        lately = _by_name(self._ask(_by_name_query(f"last_over_time({every}[{duration(STALE_SECONDS)}])")), spec)
        times = [tagged(f"max by (namespace) (timestamp({name}{{{matcher}}}))", name) for name in sorted(now)]
        newest: dict[str, float] = {}
        for row in self._ask(either(times)).rows if times else ():
            name = row.labels.get(SERIES_LABEL, "")
            newest[name] = max(newest.get(name, 0.0), row.value)
        return _Found(now, lately, {name: max(0.0, self._at - at) for name, at in newest.items()})

    def _version(self, profile: EngineProfile | GatewayProfile) -> str:
        if profile.version is None:
            return ""
        label = profile.version.label
        found = either(f"count by ({label}) ({s.name})" for s in profile.version.selectors)
        texts = {row.labels.get(label, "") for row in self._ask(found).rows}
        return ", ".join(sorted(texts - {""}))

    def _doubled(self, given: Gauge | Counter, matcher: str) -> tuple[str, ...]:
        """Pods that more than one job, or one of several Prometheus servers, scrapes."""
        there = either(series(selector, *filter(None, (matcher,))) for selector in given.selectors)
        once = f"count by (namespace, pod, {', '.join(SCRAPES)}) ({there})"
        found = self._ask(f"count by (namespace, pod) ({once}) > 1")
        pods = sorted(row.labels.get("pod", "") for row in found.rows)
        if not pods:
            return ()
        which = f"pod {pods[0]} is" if len(pods) == 1 else f"{len(pods)} pods, {pods[0]} first, are"
        text = f"{which} scraped by more than one job or server: of each the highest value counts"
        return (f"{text}; remove one of the monitors, since it costs Prometheus twice",)

    def _elsewhere(self, names: Sequence[str], spec: WorkloadSpec) -> tuple[str, ...]:
        """Why none of the series may be the workload's, where there are any."""
        matcher = f"namespace={quote(spec.key.namespace)}"
        targets = ", ".join(f"{variant.target.kind} {variant.target.name}" for variant in spec.variants)
        cases = (
            (f'{matcher},pod=""', f"in namespace {spec.key.namespace} without a label `pod`: add it when scraping"),
            (matcher, f"of namespace {spec.key.namespace}, but of other pods than those of {targets}"),
            ("", f"in other namespaces only: is the label `namespace` that of the pod, and is it {matcher}?"),
        )
        for chosen, told in cases:
            if found := self._count(names, chosen):
                return (f"{counted(found, 'series', 'series')} of this engine are {told}",)
        return ()

    def _count(self, names: Sequence[str], matcher: str) -> int:
        found = self._ask(f"count({{__name__=~{any_of(names)}{',' if matcher else ''}{matcher}}})").rows
        return round(sum(row.value for row in found))

    def _ask(self, query: str) -> Answer:
        answer = self.answer(query)
        if answer.failure:
            raise CheckError(answer.failure)
        return answer


def counted(number: int, one: str, more: str = "") -> str:
    """`1 pod`, `2 pods`."""
    return f"{number} {one if number == 1 else more or one + 's'}"


def _by_name_query(selected: str) -> str:
    named = f'label_replace({selected}, "{SERIES_LABEL}", "$1", "__name__", "(.+)")'
    return f"count by (namespace, {GROUP_LABEL}, {SERIES_LABEL}) ({grouped(named)})"


def _by_name(answer: Answer, spec: WorkloadSpec | None) -> dict[str, int]:
    table, found = Table(answer), dict[str, int]()
    names = {row.labels.get(SERIES_LABEL, "") for row in answer.rows}
    for name in names:
        mine = answer.rows if spec is None else [r for v in spec.variants for r in table.of_target(spec, v, name)]
        if count := round(sum(row.value for row in mine if row.labels.get(SERIES_LABEL) == name)):
            found[name] = count
    return found


def _checked(
    profile: EngineProfile | GatewayProfile,
    kind: str,
    listed: Mapping[str, tuple[Source, ...]],
    found: _Found,
    version: str,
    notes: tuple[str, ...],
) -> ProfileCheck:
    costs = COSTS_AT_GATEWAYS if kind == "gateway" else COSTS
    signals = tuple(
        _signal(name, sources, found, profile.origin, costs.get(name, "")) for name, sources in listed.items()
    )
    origin = profile.origin
    return ProfileCheck(
        profile.name, kind, origin.evidence, origin.held_against, origin.versions, version, signals, notes
    )


def _signal(signal: str, sources: tuple[Source, ...], found: _Found, origin: Origin, costs: str) -> SignalCheck:
    lacks = origin.lacks.get(signal, "")
    names = tuple(dict.fromkeys(name for source in sources for name in source.shown))
    if taken := first_found(sources, frozenset(found.now)):
        source, shown = taken
        name = source.series[source.shown.index(shown)]
        state = State.ESTIMATED if source.estimated else State.FOUND
        documented = bool(origin.recorded) and name.startswith(origin.documented)
        return SignalCheck(signal, state, shown, found.now[name], found.ages.get(name), documented=documented)
    if lately := first_found(sources, frozenset(found.lately)):
        return SignalCheck(signal, State.STALE, lately[1], looked_for=names, costs=costs)
    return SignalCheck(signal, State.MISSING, lacks, looked_for=names, costs=costs)
