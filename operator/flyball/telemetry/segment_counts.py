"""An hour's requests and tokens by segment: of each label the values with most, the rest, and what has no value.

Asked for once an hour and beside the ticks, with a client of its own: a query for each metric and label in use, all
workloads together, whose answer holds a bounded number of values of each. Requests are counted by the gateway's own
counter, or by the `_count` of a latency that users name; tokens by the gateway. Users' own counts (`telemetry.tokens`)
go first for the labels that they have.
"""

import asyncio
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from flyball.core.money.segment_bill import LabelTraffic, Traffic, clean
from flyball.core.names import Indicator, WorkloadKey
from flyball.core.observation import believable
from flyball.core.ports import Unavailable
from flyball.core.service.latency import LatencySource
from flyball.core.service.own_counts import TokenCount
from flyball.core.spec import WorkloadSpec
from flyball.telemetry.answers import Answer, Row
from flyball.telemetry.own_counts import TEMPLATE_LABEL, WINDOW
from flyball.telemetry.profiles import GATEWAYS
from flyball.telemetry.profiles.model import Counter
from flyball.telemetry.promql import SERIES_LABEL, duration, either, summed, tagged
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.stages_query import Family, Wanted, matchers, wanted
from flyball.telemetry.transport import PrometheusClient

HOUR_SECONDS = 3600.0
TIMEOUT_SECONDS = 60.0
MOST_VALUES = 200
"""Values of a label that are told apart of one workload: more than are ever named."""
MOST_SPLITS = 32
"""Combinations of a metric and a label that are asked for; of more, the first by name."""
MOST_OWN = 200
"""Users' own counts that are asked for in one hour, all workloads together."""
TOP, ALL, MISSING = "top", "all", "missing"

log = structlog.get_logger("flyball.telemetry")


@dataclass(frozen=True, slots=True, order=True)
class Split:
    """The series of a family, split by a label."""

    family: Family
    label: str


@dataclass(slots=True)
class Counts:
    """One count by a label: the values told apart, all of it, and what has no value."""

    named: dict[str, float] = field(default_factory=dict)
    total: float = 0.0
    missing: float = 0.0


class SegmentMetrics:
    """Reads hours by segment; implements `flyball.core.ports.SegmentSource`."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self._client = PrometheusClient(settings)

    async def read_hour(
        self, workloads: Sequence[WorkloadSpec], end: float
    ) -> Mapping[WorkloadKey, Sequence[LabelTraffic]]:
        """The hour that ends then. Raises Unavailable."""
        asked = _splits(workloads)
        if len(asked) > MOST_SPLITS:
            log.warning("costs are not split by all labels", asked=len(asked), most=MOST_SPLITS)
        tables = {}
        for split in sorted(asked)[:MOST_SPLITS]:
            tables[split] = _table(split, await self._ask(query(split, asked[split]), end))
        own = await self._own(workloads, end)
        return {spec.key: list(_of_workload(spec, tables, own)) for spec in workloads}

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    async def _own(
        self, workloads: Sequence[WorkloadSpec], end: float
    ) -> dict[tuple[WorkloadKey, TokenCount], tuple[Row, ...]]:
        """What users count themselves. One whose query fails is without it: others' hours do not wait for that."""
        wanted_ = [(spec.key, kind, text) for spec in workloads for kind, text in spec.telemetry.own.tokens]
        found = {}
        for key, kind, text in wanted_[:MOST_OWN]:
            over = text.replace(WINDOW, duration(HOUR_SECONDS))
            answer = await asyncio.to_thread(self._client.ask, over, end, TIMEOUT_SECONDS)
            if answer.failure:
                log.warning("costs are not split by own counts", workload=str(key), count=kind, reason=answer.failure)
            found[key, kind] = answer.rows
        return found

    async def _ask(self, text: str, end: float) -> Answer:
        answer = await asyncio.to_thread(self._client.ask, text, end, TIMEOUT_SECONDS)
        if answer.failure:
            raise Unavailable(answer.failure)
        return answer


def labels_of(spec: WorkloadSpec) -> tuple[str, ...]:
    """The labels that a workload's costs are split by."""
    templates = (TEMPLATE_LABEL,) if spec.telemetry.own.tokens else ()
    return tuple(dict.fromkeys((*spec.telemetry.segment_by, *templates)))


def sources(spec: WorkloadSpec) -> dict[TokenCount, LatencySource]:
    """Where requests, prompt and output tokens are counted by segment: names of counters, and what chooses series."""
    telemetry = spec.telemetry
    if (profile := GATEWAYS.get(telemetry.gateway)) is not None:
        counters = {
            TokenCount.REQUESTS: profile.requests,
            TokenCount.INPUT: profile.prompt_tokens,
            TokenCount.OUTPUT: profile.output_tokens,
        }
        own = telemetry.gateway_selector
        return {kind: _source(counter, own) for kind, counter in counters.items() if counter is not None}
    named = {indicator: source for indicator, source in telemetry.latencies if not source.query}
    source = named.get(Indicator.END_TO_END) or next(iter(named.values()), None)
    if source is None:
        return {}
    counted = tuple((f"{name}_count", 1.0) for name, _ in source.metrics)
    return {TokenCount.REQUESTS: LatencySource(counted, source.labels, source.namespaced)}


def _source(counter: Counter, selector: tuple[tuple[str, str], ...]) -> LatencySource:
    """Series of a gateway's counter that carry these labels. What profiles match, they match as equal."""
    fixed = {label: value for each in counter.selectors for label, _, value in each.matchers}
    names = tuple((each.name, counter.unit.scale) for each in counter.selectors)
    return LatencySource(names, tuple(sorted((dict(selector) | fixed).items())))


def _splits(workloads: Iterable[WorkloadSpec]) -> dict[Split, list[Wanted]]:
    found: dict[Split, set[Wanted]] = {}
    for spec in workloads:
        for source in sources(spec).values():
            one = wanted(spec, source)
            for family in one.families():
                for label in spec.telemetry.segment_by:
                    found.setdefault(Split(family, label), set()).add(one)
    return {split: sorted(members) for split, members in found.items()}


def query(split: Split, members: Sequence[Wanted]) -> str:
    """The hour's counts of these members by a label."""
    own = split.family.by

    def counted(labels: Iterable[str], *more: str) -> str:
        chosen = ",".join((*matchers(split.family, members), *more))
        return summed(f"increase({split.family.metric}{{{chosen}}}[{duration(HOUR_SECONDS)}])", labels)

    every = tuple(dict.fromkeys((*own, split.label)))
    top = f"topk by ({', '.join(own)}) ({MOST_VALUES}, {counted(every)} > 0)"
    missing = counted(own, f'{split.label}=""')
    return either((tagged(top, TOP), tagged(counted(own), ALL), tagged(missing, MISSING)))


Table = Mapping[tuple[str, ...], Counts]
"""Counts by what the series of a family have for its labels."""


def _table(split: Split, answer: Answer) -> Table:
    found: dict[tuple[str, ...], Counts] = {}
    for row in answer.rows:
        if not believable(row.value):
            continue
        counts = found.setdefault(tuple(row.labels.get(name, "") for name in split.family.by), Counts())
        match row.labels.get(SERIES_LABEL):
            case "top":
                _name(counts, row.labels.get(split.label, ""), row.value)
            case "all":
                counts.total += row.value
            case _:
                counts.missing += row.value
    return found


def _name(counts: Counts, value: str, amount: float) -> None:
    if value:
        counts.named[clean(value)] = counts.named.get(clean(value), 0.0) + amount


def _of_workload(
    spec: WorkloadSpec,
    tables: Mapping[Split, Table],
    own: Mapping[tuple[WorkloadKey, TokenCount], Sequence[Row]],
) -> Iterator[LabelTraffic]:
    for label in labels_of(spec):
        counts = {kind: _by_label(own.get((spec.key, kind), ()), label) for kind in TokenCount}
        if counts[TokenCount.REQUESTS] is None:
            counts = {kind: _counted(spec, source, label, tables) for kind, source in sources(spec).items()}
        requests = counts.get(TokenCount.REQUESTS)
        if requests is not None:
            yield traffic(label, requests, counts.get(TokenCount.INPUT), counts.get(TokenCount.OUTPUT))


def _by_label(rows: Sequence[Row], label: str) -> Counts | None:
    """A user's own count by a label; None where no series has it."""
    if not any(row.labels.get(label) for row in rows):
        return None
    counts = Counts()
    for row in rows:
        if believable(row.value):
            counts.total += row.value
            counts.missing += 0.0 if row.labels.get(label) else row.value
            _name(counts, row.labels.get(label, ""), row.value)
    return counts


def _counted(spec: WorkloadSpec, source: LatencySource, label: str, tables: Mapping[Split, Table]) -> Counts | None:
    """The count by the first of the source's names that is exported; None where none is."""
    one = wanted(spec, source)
    found = (tables.get(Split(family, label), {}).get(one.values()) for family in one.families())
    return next((counts for counts in found if counts is not None and counts.total > 0), None)


def traffic(label: str, requests: Counts, prompt: Counts | None, output: Counts | None) -> LabelTraffic:
    """Counts of one label together. Values are told apart that are in all of the counts that there are."""
    known = [requests, *([prompt, output] if prompt is not None and output is not None else [])]
    values = [value for value in requests.named if all(value in counts.named for counts in known)]

    def part(of: Mapping[int, float]) -> Traffic:
        tokens = (of[1], of[2]) if len(known) > 1 else (None, None)
        return Traffic(of[0], *tokens)

    def rest(counts: Counts) -> float:
        return max(0.0, counts.total - counts.missing - math.fsum(counts.named[value] for value in values))

    return LabelTraffic(
        label,
        tuple((value, part({at: counts.named[value] for at, counts in enumerate(known)})) for value in values),
        part({at: rest(counts) for at, counts in enumerate(known)}),
        part({at: counts.missing for at, counts in enumerate(known)}),
    )
