"""What a profile is: for each signal the series that carry it, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from flyball.core.names import Indicator
from flyball.core.service.reliability import RequestEvent


class Unit(StrEnum):
    """What an exporter counts in."""

    EACH = "1"
    TOKENS = "tokens"
    SHARE = "0 to 1"
    PERCENT = "%"
    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "µs"
    DOLLARS = "USD"

    @property
    def scale(self) -> float:
        """What a value is multiplied by to be in ours: requests, tokens, seconds, or a share from 0 to 1."""
        return {Unit.PERCENT: 1e-2, Unit.MILLISECONDS: 1e-3, Unit.MICROSECONDS: 1e-6}.get(self, 1.0)


class Evidence(StrEnum):
    """What a profile's names were held against."""

    RECORDED = "Recorded"
    DOCUMENTED = "DocumentationOnly"


@dataclass(frozen=True, slots=True)
class Selector:
    """Series of one name. `matchers` are (label, operator, value), the operator in PromQL's spelling."""

    name: str
    matchers: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Gauge:
    """A value now, per pod. The first selector that a pod exports counts, newest name first.

    `plus` are added to it where the pod exports them. `estimated` marks a value that is near the one meant, but not it.
    """

    selectors: tuple[Selector, ...]
    unit: Unit = Unit.EACH
    plus: tuple[Selector, ...] = ()
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Counter:
    """A count since the start of a process. The first name that a pod exports counts, newest first."""

    selectors: tuple[Selector, ...]
    unit: Unit = Unit.EACH
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Histogram:
    """A classic histogram: `_bucket`, `_sum` and `_count` of the first name that a pod exports, newest name first.

    `edges` are the finite bucket edges of current versions, in the exporter's unit. `estimated` marks a distribution
    that is near the one meant, but not it. `matchers` narrow its series, as a selector's do.
    """

    names: tuple[str, ...]
    edges: tuple[float, ...] = ()
    unit: Unit = Unit.SECONDS
    estimated: bool = False
    matchers: tuple[tuple[str, str, str], ...] = ()

    @property
    def scale(self) -> float:
        """From the exporter's unit to seconds or tokens."""
        return self.unit.scale

    def suffixed(self, suffix: str) -> Counter:
        """Its series with that suffix."""
        selectors = tuple(Selector(f"{name}{suffix}", self.matchers) for name in self.names)
        return Counter(selectors, self.unit if suffix == "_sum" else Unit.EACH, self.estimated)


@dataclass(frozen=True, slots=True)
class Ratio:
    """One counter as a share of another."""

    part: Counter
    whole: Counter


@dataclass(frozen=True, slots=True)
class Endings:
    """A counter of finished requests, told apart by a label.

    `events` says what its values tell; None where they are HTTP statuses. Unless it counts failures `alone`, whatever
    it counts is a request.
    """

    counter: Counter
    label: str
    events: Mapping[str, tuple[RequestEvent, ...]] | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Version:
    """Where an exporter says its version: series whose value is 1, newest first, and the label."""

    selectors: tuple[Selector, ...]
    label: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a profile's names come from: which versions of the software, which file or page, and what held them to it.

    `recorded` is the software, with its version, whose own code printed what tests read with the profile; empty where
    none could be run. Names that begin with one of `documented` were not among what it printed. `lacks` says for
    signals that the software cannot give why, in a sentence for people.
    """

    versions: str
    source: str
    recorded: str = ""
    documented: tuple[str, ...] = ()
    lacks: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def evidence(self) -> Evidence:
        """What held the names to the software."""
        return Evidence.RECORDED if self.recorded else Evidence.DOCUMENTED

    @property
    def held_against(self) -> str:
        """The same for people."""
        if not self.recorded:
            return "documentation only: taken from sources and manuals, not from a running one"
        besides = (
            f"; documentation only: {', '.join(f'{name}…' for name in self.documented)}" if self.documented else ""
        )
        return f"from its own code, {self.recorded}{besides}"


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """An inference engine's metrics. Where several are given, the first that a workload exports is taken.

    `decode_seconds` is the time of whole requests from their first token to their last: with their tokens it gives the
    mean time per token, and their mean number in decode, without the bias that a mean over requests has.

    `prefill_seconds` is the time from when a request was scheduled to its first token.

    `signs` are names that only this engine's pods export, by which it is recognized. `repeated` are labels by which one
    pod exports the same value again and again, as for every rank of a tensor parallel group: the highest counts.
    """

    name: str
    origin: Origin
    signs: tuple[str, ...]
    running: Gauge
    waiting: Gauge
    completions: Counter
    kv_cache_usage: Gauge | None = None
    prompt_tokens: Counter | None = None
    output_tokens: Counter | None = None
    prompt_tokens_per_request: Histogram | None = None
    output_tokens_per_request: Histogram | None = None
    prefill_seconds: Histogram | None = None
    decode_seconds: Histogram | None = None
    seconds_per_output_token: tuple[Histogram, ...] = ()
    cached_prompt_share: tuple[Ratio, ...] = ()
    latencies: Mapping[Indicator, tuple[Histogram, ...]] = field(default_factory=lambda: MappingProxyType({}))
    repeated: tuple[str, ...] = ()
    version: Version | None = None
    endings: tuple[Endings, ...] = ()


@dataclass(frozen=True, slots=True)
class GatewayProfile:
    """A gateway's metrics: what callers see of the workloads behind it, told apart by labels.

    `segments` says which labels tell what apart, by the words of `telemetry.segmentBy`.
    """

    name: str
    origin: Origin
    signs: tuple[str, ...]
    requests: Counter
    latencies: Mapping[Indicator, tuple[Histogram, ...]]
    prompt_tokens: Counter | None = None
    output_tokens: Counter | None = None
    segments: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    version: Version | None = None


@dataclass(frozen=True, slots=True)
class GpuProfile:
    """A GPU exporter's metrics: utilization from 0 to 1, the first gauge that a GPU has."""

    name: str
    origin: Origin
    utilization: tuple[Gauge, ...]


def counter(*names: str, unit: Unit = Unit.EACH, estimated: bool = False) -> Counter:
    """A counter by its names alone, newest first."""
    return Counter(tuple(Selector(name) for name in names), unit, estimated)


def gauge(*names: str, unit: Unit = Unit.EACH, estimated: bool = False) -> Gauge:
    """A gauge by its names alone, newest first."""
    return Gauge(tuple(Selector(name) for name in names), unit, estimated=estimated)
