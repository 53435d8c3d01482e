"""What a profile is: for each signal the series that carry it, as data."""

from collections.abc import Mapping
from dataclasses import dataclass

from flyball.core.names import Indicator


@dataclass(frozen=True, slots=True)
class Selector:
    """Series of one name. `matchers` are (label, operator, value), the operator in PromQL's spelling."""

    name: str
    matchers: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Gauge:
    """A value now, per pod. The first selector that a pod exports counts, newest name first.

    `scale` turns the exporter's unit into requests or a share from 0 to 1.
    """

    selectors: tuple[Selector, ...]
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Counter:
    """A count since the start of a process. The first name that a pod exports counts, newest first."""

    selectors: tuple[Selector, ...]


@dataclass(frozen=True, slots=True)
class Histogram:
    """A classic histogram: `_bucket`, `_sum` and `_count` of the first name that a pod exports, newest name first.

    `edges` are the finite bucket edges of current versions, in the exporter's unit; `scale` turns that unit into
    seconds or tokens. `estimated` marks a distribution that is near the one meant, but not it.
    """

    names: tuple[str, ...]
    edges: tuple[float, ...] = ()
    scale: float = 1.0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Ratio:
    """One counter as a share of another."""

    part: Counter
    whole: Counter


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """An inference engine's metrics. Where several are given, the first that a workload exports is taken.

    `decode_seconds` is the time of whole requests from their first token to their last: with their tokens it gives the
    mean time per token, and their mean number in decode, without the bias that a mean over requests has.
    """

    name: str
    running: Gauge
    waiting: Gauge
    kv_cache_usage: Gauge
    completions: Counter
    prompt_tokens: Counter
    output_tokens: Counter
    prompt_tokens_per_request: Histogram
    output_tokens_per_request: Histogram
    decode_seconds: Histogram | None
    seconds_per_output_token: tuple[Histogram, ...]
    cached_prompt_share: tuple[Ratio, ...]
    latencies: Mapping[Indicator, tuple[Histogram, ...]]


@dataclass(frozen=True, slots=True)
class GpuProfile:
    """A GPU exporter's metrics: utilization from 0 to 1, the first gauge that a GPU has."""

    name: str
    utilization: tuple[Gauge, ...]
