"""The query for latencies by segment: of every workload the segments with most requests, and all requests together.

One query for all workloads. However many values a label has, the answer holds the largest few of each workload: the
others are in what all together are more. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flyball.core.spec import WorkloadSpec
from flyball.telemetry.promql import duration, either, summed, tagged
from flyball.telemetry.stages_query import Family, Wanted, matchers, wanted

MOST_SEGMENTS = 10
"""Segments of a workload that are told apart; the others are one."""
MOST_SPLITS = 8
"""So many combinations of a metric and labels to split it by are asked for; of more, the first by name."""
TOP, ALL, COUNT = "top", "all", "count"


@dataclass(frozen=True, slots=True, order=True)
class Split:
    """The series of a family, split by labels."""

    family: Family
    labels: tuple[str, ...]

    def part(self, kind: str) -> str:
        """The tag of its series in an answer: the kind, the metric, the labels that tell histograms apart, a bar, and
        those that tell segments apart.
        """
        return f"{kind} {self.family.metric} {' '.join(self.family.by)} | {' '.join(self.labels)}"


def splits(workloads: Iterable[WorkloadSpec]) -> Mapping[Split, list[Wanted]]:
    """What is wanted by segment: every latency of workloads that name labels to split it by."""
    found: dict[Split, set[Wanted]] = {}
    for spec in workloads:
        for _, source in spec.telemetry.split:
            histogram = wanted(spec, source)
            for family in histogram.families():
                labels = tuple(name for name in spec.telemetry.segment_by if name not in family.by)
                found.setdefault(Split(family, labels), set()).add(histogram)
    return {split: sorted(found[split]) for split in sorted(found)[:MOST_SPLITS]}


def query(workloads: Iterable[WorkloadSpec], window: float) -> str:
    """The query over the window; empty where no workload is split."""
    return either(
        part for split, members in splits(workloads).items() if split.labels for part in _parts(split, members, window)
    )


def _parts(split: Split, members: Sequence[Wanted], window: float) -> Iterable[str]:
    own, every = split.family.by, (*split.family.by, *split.labels)
    by = ", ".join(every)

    def counted(labels: Iterable[str], *more: str) -> str:
        chosen = ",".join((*matchers(split.family, members), *more))
        return summed(f"increase({split.family.metric}_bucket{{{chosen}}}[{duration(window)}])", labels)

    whole = counted(every, 'le="+Inf"')
    top = f"topk by ({', '.join(own)}) ({MOST_SEGMENTS}, {whole} > 0)"
    yield tagged(f"{counted((*every, 'le'))} and on ({by}) ({top})", split.part(TOP))
    yield tagged(counted((*own, "le")), split.part(ALL))
    yield tagged(f"count by ({', '.join(own)}) ({whole} > 0)", split.part(COUNT))
