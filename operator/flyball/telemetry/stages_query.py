"""The queries for latencies that are measured outside of engines: stages, whole requests, and segments of either.

All workloads' histograms of one metric that are chosen by the same labels are asked for together, so that the number of
queries is that of windows, and their length that of metrics in use. Pure.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from flyball.core.service.latency import LatencySource
from flyball.core.spec import Objective, WorkloadSpec
from flyball.telemetry import windows
from flyball.telemetry.promql import any_of, duration, either, summed, tagged
from flyball.telemetry.queries import Plan

MOST_FAMILIES = 32
"""So many metrics (by name and the labels that choose their series) are asked for; of more, the first by name."""
MOST_VALUES = 200
"""Up to so many values of a label are named in a query; beyond, all are asked for and sorted out on our side."""


COVERED = "covered "
"""Begins the tag of what goes with a family's buckets where its series have different edges."""
SAMPLED = "sampled "
"""Begins the tag of the times of a family's samples."""


@dataclass(frozen=True, slots=True, order=True)
class Family:
    """The series of one metric that are chosen by the same labels."""

    metric: str
    labels: tuple[str, ...]
    namespaced: bool

    @property
    def by(self) -> tuple[str, ...]:
        """The labels that tell its histograms apart."""
        return (*self.labels, "namespace") if self.namespaced else self.labels


@dataclass(frozen=True, slots=True, order=True)
class Wanted:
    """One histogram of a workload: its source, and the namespace where that matters."""

    source: LatencySource
    namespace: str

    def families(self) -> tuple[Family, ...]:
        """The families that it may be in, in the order of its metrics' names."""
        labels = tuple(name for name, _ in self.source.labels)
        return tuple(Family(metric, labels, self.source.namespaced) for metric, _ in self.source.metrics)

    def values(self) -> tuple[str, ...]:
        """What its series have for the labels of its family."""
        own = tuple(value for _, value in self.source.labels)
        return (*own, self.namespace) if self.source.namespaced else own


def wanted(spec: WorkloadSpec, source: LatencySource) -> Wanted:
    """The histogram as this workload wants it."""
    return Wanted(source, spec.key.namespace if source.namespaced else "")


def over_rate_window(workloads: Iterable[WorkloadSpec]) -> frozenset[Wanted]:
    """All histograms that are wanted over the rate window: every stage, what objectives are counted from, and what the
    engine has in them.
    """
    found = set()
    for spec in workloads:
        engine = [stage.source for stage in spec.telemetry.stages if stage.engine]
        found |= {wanted(spec, stage.source) for stage in spec.telemetry.stages}
        for objective, source in counted(spec):
            found |= {wanted(spec, source), *(wanted(spec, each.narrowed(objective.segment)) for each in engine)}
    return frozenset(each for each in found if each.source.metrics)


def over_further_windows(workloads: Iterable[WorkloadSpec], plan: Plan) -> Mapping[float, frozenset[Wanted]]:
    """What objectives are counted from, by each window (seconds) beside the rate window."""
    found: dict[float, set[Wanted]] = {}
    for spec in workloads:
        for objective, source in counted(spec):
            own = plan.windows[objective.window_seconds]
            for window in windows.of_objective(own, plan.rate_window_seconds)[1:]:
                if source.metrics:
                    found.setdefault(window, set()).add(wanted(spec, source))
    return {window: frozenset(histograms) for window, histograms in found.items()}


def counted(spec: WorkloadSpec) -> list[tuple[Objective, LatencySource]]:
    """The objectives that are counted outside of the engine, with what they are counted from."""
    pairs = ((objective, spec.telemetry.latency(objective)) for objective in spec.objectives)
    return [(objective, source) for objective, source in pairs if source is not None]


def families(histograms: Iterable[Wanted]) -> Mapping[Family, list[Wanted]]:
    """The histograms by family, a bounded number of them."""
    found: dict[Family, list[Wanted]] = {}
    for histogram in sorted(histograms):
        for family in histogram.families():
            found.setdefault(family, []).append(histogram)
    return {family: found[family] for family in sorted(found)[:MOST_FAMILIES]}


def part(family: Family) -> str:
    """The tag of a family's series in an answer."""
    return f"{family.metric} {' '.join(family.by)}"


def query(histograms: Iterable[Wanted], window: float, edges: Sequence[str] = ()) -> str:
    """Requests by upper edge of all those histograms over the window; `edges` are the spellings of `le` that matter,
    none for all. Empty where nothing is wanted.
    """
    return either(
        tagged(_buckets(family, members, window, edges), part(family))
        for family, members in families(histograms).items()
    )


def declared(workloads: Iterable[WorkloadSpec]) -> frozenset[Wanted]:
    """All histograms that workloads or their gateways name, whether anything is counted from them or not."""
    sources = (
        wanted(spec, source)
        for spec in workloads
        for source in (*(s for _, s in spec.telemetry.latencies), *(stage.source for stage in spec.telemetry.stages))
    )
    return frozenset(each for each in sources if each.source.metrics)


def sampled(histograms: Iterable[Wanted], window: float) -> str:
    """When (epoch seconds) the oldest sample of each histogram was taken, of the newest ones of its series within the
    window. Empty where nothing is wanted.
    """
    return either(
        tagged(_sampled_at(family, members, window), f"{SAMPLED}{part(family)}")
        for family, members in families(histograms).items()
    )


def _sampled_at(family: Family, members: Sequence[Wanted], window: float) -> str:
    every = _named(family, members, 'le="+Inf"')
    return f"min by ({', '.join(family.by)}) (timestamp({every}) > time() - {window!r})"


def having(histograms: Iterable[Wanted]) -> str:
    """How many series have which edge now; empty where nothing is wanted."""
    return either(
        tagged(f"count by ({', '.join((*family.by, 'le'))}) ({_named(family, members)})", part(family))
        for family, members in families(histograms).items()
    )


def _named(family: Family, members: Sequence[Wanted], *more: str) -> str:
    return f"{family.metric}_bucket{{{','.join((*matchers(family, members), *more))}}}"


def covered(histograms: Iterable[Wanted], window: float, uneven: Container[str], edges: Sequence[str] = ()) -> str:
    """By finite edge how many requests those series hold that have it, of families by their part whose series have
    different edges. Empty where there are none.
    """
    return either(
        tagged(_those_with(family, members, window, edges), f"{COVERED}{part(family)}")
        for family, members in families(histograms).items()
        if part(family) in uneven
    )


def _those_with(family: Family, members: Sequence[Wanted], window: float, edges: Sequence[str]) -> str:
    span = f"[{duration(window)}]"
    finite = [edge for edge in edges if edge != "+Inf"]
    there = _named(family, members, f"le=~{any_of(finite)}" if finite else 'le!="+Inf"')
    every = _named(family, members, 'le="+Inf"')
    found = f"last_over_time({there}{span}) * 0 + ignoring (le) group_left () increase({every}{span})"
    return summed(found, (*family.by, "le"))


def _buckets(family: Family, members: Sequence[Wanted], window: float, edges: Sequence[str]) -> str:
    chosen = [f"le=~{any_of(edges)}"] if edges else []
    return summed(f"increase({_named(family, members, *chosen)}[{duration(window)}])", (*family.by, "le"))


def matchers(family: Family, members: Sequence[Wanted]) -> list[str]:
    """What keeps other series of the metric out of a query."""
    return [_matcher(name, {member.values()[at] for member in members}) for at, name in enumerate(family.by)]


def _matcher(label: str, values: set[str]) -> str:
    return f'{label}!=""' if len(values) > MOST_VALUES else f"{label}=~{any_of(sorted(values))}"
