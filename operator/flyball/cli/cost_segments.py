"""Workloads' bills by a label of their traffic, as the terminal shows them, and as JSON."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flyball.cli.columns import table
from flyball.cli.cost_table import Stated, headed, money, rate, text, unit
from flyball.core.money.segment_bill import SegmentUse
from flyball.core.money.segment_statement import SegmentCost, SegmentStatement, by_segment
from flyball.ledger.segments import SegmentLine

HEAD = ("caused {sign}", "in full {sign}", "requests", "{sign}/request", "{sign}/1M tokens")


@dataclass(frozen=True, slots=True)
class Parted:
    """One workload's bill by the label that it is split by; `label` is empty where it is split by none that was asked
    for.
    """

    stated: Stated
    parts: SegmentStatement


def parted(made: Iterable[Stated], lines: Iterable[SegmentLine], labels: Sequence[str]) -> list[Parted]:
    """Each workload's bill by the first of these labels that the ledger has of it."""
    by_workload: dict[str, dict[str, list[SegmentUse]]] = {}
    for line in lines:
        by_workload.setdefault(line.uid, {}).setdefault(line.use.segment.label, []).append(line.use)
    found = []
    for each in made:
        known = by_workload.get(each.uid, {})
        label = next((name for name in labels if name in known), "")
        found.append(Parted(each, by_segment(each.statement, label, known.get(label, ()))))
    return found


def table_of(found: Sequence[Parted], by: str, currency: str) -> Iterator[str]:
    """The bills as a table that adds up, and what is to be known of them."""
    rows = [["workload", by, *headed(HEAD, currency)]]
    for each in found:
        key = str(each.stated.key)
        rows += ([key, segment.name, *_figures(segment)] for segment in each.parts.segments)
        rows += ([key, name, money(dollars), "", "", "", ""] for name, dollars in each.parts.beside if dollars)
        requests, per_request = each.stated.statement.requests, each.stated.statement.per_request
        rows.append([key, "bill", money(each.parts.dollars), "", f"{requests:.0f}", unit(per_request), ""])
    yield from table(rows, 2)
    yield from (f"note: {each}" for parts in found for each in notes(parts, by))


def notes(found: Parted, by: str) -> Iterator[str]:
    """What is to be known of one workload's parts."""
    key = found.stated.key
    if not found.parts.label:
        yield f"nothing tells {key} by {by}: name its label in spec.telemetry.segmentBy"
    elif found.parts.by_requests:
        yield f"{key} is split by requests: its tokens are not counted by {found.parts.label}"


def document_of(found: Parted, by: str) -> dict[str, Any]:
    """One workload's parts as JSON, to stand in its document."""
    return {
        "by": by,
        "label": found.parts.label,
        "splitBy": "Requests" if found.parts.by_requests else "Work",
        "segments": [
            {
                "name": segment.use.segment.value,
                "kind": str(segment.use.segment.kind),
                "dollars": text(segment.use.dollars),
                "inFull": rate(segment.full),
                "requests": text(segment.use.requests),
                "promptTokens": text(segment.use.prompt_tokens),
                "outputTokens": text(segment.use.output_tokens),
                "perRequest": rate(segment.per_request),
                "perMillionTokens": rate(segment.per_million_tokens),
            }
            for segment in found.parts.segments
        ],
        "notes": list(notes(found, by)),
    }


def _figures(segment: SegmentCost) -> list[str]:
    return [
        money(segment.use.dollars),
        money(segment.full),
        f"{segment.use.requests:.0f}",
        unit(segment.per_request),
        unit(segment.per_million_tokens),
    ]
