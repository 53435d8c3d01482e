"""A profile held against a live Prometheus: which of its signals are there, how good they are, what each lack costs.

For people who set Flyball up: seldom asked, so that it may ask more than a tick does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from flyball.core.spec import WorkloadSpec
from flyball.telemetry.answers import Answer, Table
from flyball.telemetry.discovery import Engines, first_found, inventory_query
from flyball.telemetry.pods import GROUP_LABEL
from flyball.telemetry.profiles import EngineProfile, GatewayProfile
from flyball.telemetry.profiles.listing import Source, engine_signals, gateway_signals, series_of
from flyball.telemetry.profiles.model import Evidence
from flyball.telemetry.promql import SERIES_LABEL, Scope, any_of, duration, either, grouped, quote, series, tagged
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.transport import PrometheusClient

STALE_SECONDS = 3600.0
"""A series that ended within this is told as stale, rather than as missing."""
REQUIRED = frozenset({"Running", "Waiting", "Completions", "Requests"})
"""Signals without which the profile is of no use."""

COSTS: Mapping[str, str] = {
    "Running": "nothing is decided: neither demand nor batches are known",
    "Waiting": "nothing is decided: a queue would not be seen",
    "Completions": "nothing is decided: arrivals are not known",
    "PromptTokens": "costs per million tokens are not known",
    "OutputTokens": "costs per million tokens are not known",
    "KVCacheUsage": "pressure on GPU memory is not seen, and the verdict on GPUs rests on the queue and utilization",
    "PromptTokensPerRequest": "what a replica carries does not follow the length of prompts",
    "OutputTokensPerRequest": "what a replica carries does not follow the length of answers",
    "SecondsPerOutputToken": "what a replica carries is not measured: sizes rest on the prior for its GPU",
    "CachedPromptShare": "prompts are sized as if nothing of them were cached",
    "TimeToFirstToken": "objectives on it are not judged",
    "InterTokenLatency": "objectives on it are not judged",
    "EndToEnd": "objectives on it are not judged",
    "QueueTime": "objectives on it are not judged",
    "Requests": "nothing of the gateway can be counted",
}
"""What is worse without a signal."""


class State(StrEnum):
    """What was found of a signal."""

    FOUND = "Found"
    ESTIMATED = "Estimated"
    STALE = "Stale"
    MISSING = "Missing"


@dataclass(frozen=True, slots=True)
class SignalCheck:
    """One signal. `source` is the name that it was found under, and of one that software never exports why that is.

    `series` are how many there are, `age_seconds` is that of the newest. `costs` is what its lack costs.
    """

    signal: str
    state: State
    source: str = ""
    series: int = 0
    age_seconds: float | None = None
    looked_for: tuple[str, ...] = ()
    costs: str = ""


@dataclass(frozen=True, slots=True)
class ProfileCheck:
    """One profile. `evidence` is what held its names to the software, `held_against` says it in a sentence. `versions`
    are those that it is made for, `seen_version` is what an exporter says of itself, and `notes` are sentences on what
    is odd.
    """

    profile: str
    kind: str
    evidence: Evidence
    held_against: str
    versions: str
    seen_version: str
    signals: tuple[SignalCheck, ...]
    notes: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether everything that is required is there."""
        lacking = {check.signal for check in self.signals if check.state in (State.MISSING, State.STALE)}
        return not lacking & REQUIRED


class CheckError(Exception):
    """Prometheus gave no answer; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Found:
    """Series by name: how many there are, how many ended lately, and how old the newest is (seconds)."""

    now: Mapping[str, int]
    lately: Mapping[str, int]
    ages: Mapping[str, float]


class Checker:
    """Asks one Prometheus what there was at a time (epoch seconds). All methods raise CheckError."""

    def __init__(self, settings: PrometheusSettings, at: float) -> None:
        self._client = PrometheusClient(settings)
        self._timeout = settings.timeout_seconds
        self._at = at

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def engines(self, spec: WorkloadSpec) -> list[str]:
        """The engines of a workload's targets, recognized where it does not name one."""
        known = Engines()
        known.learn([spec], Table(self._ask(inventory_query(Scope((spec.key.namespace,))))))
        return list(known.parts(spec))

    def engine(self, profile: EngineProfile, spec: WorkloadSpec | None = None) -> ProfileCheck:
        """An engine's profile, on a workload's pods or on all there are."""
        listed = engine_signals(profile)
        matcher = f"namespace={quote(spec.key.namespace)}" if spec else 'pod!=""'
        found = self._look(series_of(listed), matcher, spec)
        return _checked(profile, "engine", listed, found, self._version(profile), self._doubled(profile, matcher))

    def gateway(self, profile: GatewayProfile, labels: Sequence[tuple[str, str]] = ()) -> ProfileCheck:
        """A gateway's profile, on the series with these labels."""
        listed = gateway_signals(profile)
        found = self._look(series_of(listed), ",".join(f"{name}={quote(value)}" for name, value in labels), None)
        return _checked(profile, "gateway", listed, found, self._version(profile), ())

    def _look(self, names: Sequence[str], matcher: str, spec: WorkloadSpec | None) -> _Found:
        every = f"{{__name__=~{any_of(names)}{',' if matcher else ''}{matcher}}}"
        now = _by_name(self._ask(_counted(every)), spec)
        lately = _by_name(self._ask(_counted(f"last_over_time({every}[{duration(STALE_SECONDS)}])")), spec)
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

    def _doubled(self, profile: EngineProfile, matcher: str) -> tuple[str, ...]:
        """Pods that more than one job scrapes."""
        selector = profile.running.selectors[0]
        found = f"count by (namespace, pod) (count by (namespace, pod, job) ({series(selector, matcher)})) > 1"
        pods = sorted(row.labels.get("pod", "") for row in self._ask(found).rows)
        if not pods:
            return ()
        text = f"{len(pods)} pods, {pods[0]} first, are scraped by more than one job: of each the highest value counts"
        return (f"{text}; remove one of the monitors, since the others cost Prometheus twice",)

    def _ask(self, query: str) -> Answer:
        answer = self._client.ask(query, self._at, self._timeout)
        if answer.failure:
            raise CheckError(answer.failure)
        return answer


def _counted(selected: str) -> str:
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
    signals = tuple(
        _signal(name, sources, found, profile.origin.lacks.get(name, "")) for name, sources in listed.items()
    )
    origin = profile.origin
    return ProfileCheck(
        profile.name, kind, origin.evidence, origin.held_against, origin.versions, version, signals, notes
    )


def _signal(signal: str, sources: tuple[Source, ...], found: _Found, lacks: str) -> SignalCheck:
    names = tuple(dict.fromkeys(name for source in sources for name in source.shown))
    if taken := first_found(sources, frozenset(found.now)):
        source, shown = taken
        name = source.series[source.shown.index(shown)]
        state = State.ESTIMATED if source.estimated else State.FOUND
        return SignalCheck(signal, state, shown, found.now[name], found.ages.get(name))
    costs = COSTS.get(signal, "")
    if lately := first_found(sources, frozenset(found.lately)):
        return SignalCheck(signal, State.STALE, lately[1], looked_for=names, costs=costs)
    return SignalCheck(signal, State.MISSING, lacks, looked_for=names, costs=costs)
