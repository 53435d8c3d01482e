"""Parts of queries about the buckets of an engine's latencies.

Pods of several versions may have several sets of edges: an edge then counts as a share of the events of those series
that have it, which is dear to ask for. So it is asked now and then whether there are such edges at all. Pure.
"""

from collections.abc import Iterable, Iterator, Sequence

from flyball.core.names import Indicator
from flyball.telemetry.profiles import EngineProfile
from flyball.telemetry.profiles.model import Selector
from flyball.telemetry.promql import Scope, any_of, duration, either, folded, grouped, series, tagged

_INFINITE, _FINITE = 'le="+Inf"', 'le!="+Inf"'


def buckets(indicator: Indicator, rank: int) -> str:
    """The part, and the query over the rate window, with the `rank`th histogram of a latency."""
    return f"{indicator}_{rank}"


def covered(part: str) -> str:
    """The part beside buckets that says by edge how many events all those series hold that have the edge."""
    return f"{part}_covered"


def counts(profile: EngineProfile, scope: Scope, indicator: Indicator, rank: int, window: float) -> str:
    """Events by all upper edges. A later histogram only for those pods that do not export an earlier one."""
    texts = (f"increase({series(s, scope.matcher())}[{duration(window)}])" for s in _series(profile, indicator, rank))
    return tagged(_by_edge(profile, scope, indicator, rank, window, texts), buckets(indicator, rank))


def having(profile: EngineProfile, scope: Scope, indicator: Indicator, rank: int) -> str:
    """How many series have which edge now, by namespace."""
    found = either(series(s, scope.matcher()) for s in _series(profile, indicator, rank))
    return tagged(f"count by (namespace, le) ({found})", buckets(indicator, rank))


def of_pods(profile: EngineProfile, scope: Scope, indicator: Indicator, rank: int) -> str:
    """How many series have which edge now, by group of pods."""
    found = either(series(s, scope.matcher()) for s in _series(profile, indicator, rank))
    return f"count by ({scope.by('le')}) ({grouped(scope.narrowed(found))})"


def differing(profile: EngineProfile, scope: Scope, indicator: Indicator, rank: int, window: float) -> str:
    """By finite edge, how many events those series hold that have it, where that is not all of them."""
    whole = _by_edge(profile, scope, indicator, rank, window, _those_with(profile, scope, indicator, rank, window))
    all_of_them = _by_edge(profile, scope, indicator, rank, window, _all(profile, scope, indicator, rank, window))
    found = f"({whole}) != on ({scope.by()}) group_left () ({all_of_them})"
    return tagged(found, covered(buckets(indicator, rank)))


def at_edges(
    profile: EngineProfile,
    scope: Scope,
    indicator: Indicator,
    rank: int,
    window: float,
    edges: Sequence[str],
    *,
    even: bool,
) -> Iterator[str]:
    """Events by those upper edges; unless all series have the same, also how many those with each finite one hold."""
    part, matchers = buckets(indicator, rank), (scope.matcher(), f"le=~{any_of(edges)}")
    texts = (f"increase({series(s, *matchers)}[{duration(window)}])" for s in _series(profile, indicator, rank))
    yield tagged(_by_edge(profile, scope, indicator, rank, window, texts), part)
    if not even:
        finite = f"le=~{any_of(edge for edge in edges if edge != '+Inf')}"
        whole = _those_with(profile, scope, indicator, rank, window, finite)
        yield tagged(_by_edge(profile, scope, indicator, rank, window, whole), covered(part))


def _series(profile: EngineProfile, indicator: Indicator, rank: int) -> tuple[Selector, ...]:
    return profile.latencies[indicator][rank].suffixed("_bucket").selectors


def _all(profile: EngineProfile, scope: Scope, indicator: Indicator, rank: int, window: float) -> list[str]:
    """All events, by name of the histogram."""
    span = f"[{duration(window)}]"
    return [f"increase({series(s, scope.matcher(), _INFINITE)}{span})" for s in _series(profile, indicator, rank)]


def _those_with(
    profile: EngineProfile, scope: Scope, indicator: Indicator, rank: int, window: float, finite: str = _FINITE
) -> Iterator[str]:
    """By finite edge all events of those series that have it, by name of the histogram."""
    every = _all(profile, scope, indicator, rank, window)
    for selector, each in zip(_series(profile, indicator, rank), every, strict=True):
        there = f"last_over_time({series(selector, scope.matcher(), finite)}[{duration(window)}])"
        yield f"({there} * 0 + ignoring (le) group_left () {each})"


def _by_edge(
    profile: EngineProfile, scope: Scope, indicator: Indicator, rank: int, window: float, texts: Iterable[str]
) -> str:
    """Those series by edge and group of pods, but for pods that export a better histogram."""
    found = either(texts)
    better = [s for h in profile.latencies[indicator][:rank] for s in h.suffixed("_count").selectors]
    had = either(f"last_over_time({series(s, scope.matcher())}[{duration(window)}])" for s in better)
    kept = f"({found}) unless on (namespace, pod) ({had})" if had else found
    return f"sum by ({scope.by('le')}) ({folded(kept, scope, profile.repeated, 'le')})"
