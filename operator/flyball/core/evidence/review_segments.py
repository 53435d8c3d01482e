"""Where a period's money went by segments of the traffic: the dearest, all others together, and what is of no segment.

    bill = Σ segments shown + (other) + (unattributed) + (not split) + idle + loading + unmeasured + corrected

(other) are the segments that are not shown and those that the ledger does not tell apart; (not split) is what workloads
served whose traffic nobody splits by that label. Amounts are rounded so that the cents that are shown add up to the
bill's cents: each is the difference between the rounded sums up to it and before it. Changes are of dollars in full,
with a share of idle and all else, against the period before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from flyball.core.money.segment_bill import NOTHING, SegmentKind, SegmentUse
from flyball.core.money.segment_statement import SegmentCost, by_segment
from flyball.core.money.statement import Statement
from flyball.core.names import WorkloadKey

SHOWN, LABELS = 10, 4
"""Segments that are named by each label, and labels that are shown: those whose segments caused most."""
OWN_SHOWN, OWN_LABELS = 5, 2
"""The same for one workload alone."""
CENT = Decimal("0.01")
OTHER, UNATTRIBUTED, UNSPLIT = "(other)", "(unattributed)", "(not split)"
_LAST = (OTHER, UNATTRIBUTED, UNSPLIT)


@dataclass(frozen=True, slots=True)
class Split:
    """One workload's period: its statement, and what segments caused of it by label."""

    statement: Statement
    uses: Mapping[str, Sequence[SegmentUse]] = field(default_factory=dict)


@dataclass(slots=True)
class _Row:
    caused: Decimal = NOTHING
    full: Decimal = NOTHING
    requests: Decimal = NOTHING

    def add(self, other: "_Row") -> None:
        self.caused += other.caused
        self.full += other.full
        self.requests += other.requests


Splits = Mapping[WorkloadKey, Split]


def by_label(now: Splits, before: Splits, most: int = SHOWN, labels: int = LABELS) -> list[dict[str, Any]]:
    """For each of the labels with most behind them, where the money went; empty where nothing is split."""
    weight: dict[str, Decimal] = {}
    for each in now.values():
        for label, uses in each.uses.items():
            named = (use.dollars for use in uses if use.segment.kind is not SegmentKind.UNATTRIBUTED)
            weight[label] = weight.get(label, NOTHING) + sum(named, NOTHING)
    found = sorted((label for label in weight if weight[label]), key=lambda label: (-weight[label], label))
    return [_of_label(label, now, before, most) for label in found[:labels]]


def _of_label(label: str, now: Splits, before: Splits, most: int) -> dict[str, Any]:
    rows = _rows(label, now)
    named = sorted((name for name in rows if name not in _LAST), key=lambda name: (-rows[name].caused, name))
    shown = named[:most]
    present, past = _folded(rows, shown), _folded(_rows(label, before), shown)
    beside = {
        part: sum((getattr(each.statement, part) for each in now.values()), NOTHING)
        for part in ("idle", "loading", "unmeasured", "corrected")
    }
    names = [*shown, *(name for name in _LAST if name in present)]
    amounts = [*(present[name].caused for name in names), *beside.values()]
    cents = _closing(amounts)
    bill = sum(amounts, NOTHING)
    found = [
        _row(name, present[name], past.get(name), dollars, bill)
        for name, dollars in zip(names, cents[: len(names)], strict=True)
    ]
    found += [
        {"name": f"({part})", "dollars": f"{dollars:.2f}", "share": _share(beside[part], bill)}
        for part, dollars in zip(beside, cents[len(names) :], strict=True)
        if dollars
    ]
    return {"label": label, "told": len(named), "dollars": f"{sum(cents, NOTHING):.2f}", "rows": found}


def _rows(label: str, splits: Splits) -> dict[str, _Row]:
    """All segments of a label over all workloads, by their names."""
    rows: dict[str, _Row] = {}
    for each in splits.values():
        known = by_segment(each.statement, label, each.uses.get(label, ())).segments
        for segment in known:
            name = segment.name if label in each.uses else UNSPLIT
            rows.setdefault(name, _Row()).add(_of(segment))
    return rows


def _of(segment: SegmentCost) -> _Row:
    return _Row(segment.use.dollars, segment.full, segment.use.requests)


def _folded(rows: Mapping[str, _Row], shown: Sequence[str]) -> dict[str, _Row]:
    """The same with those that are not shown added to the other ones."""
    found: dict[str, _Row] = {}
    for name, row in rows.items():
        found.setdefault(name if name in shown or name in _LAST else OTHER, _Row()).add(row)
    return found


def _row(name: str, row: _Row, past: _Row | None, dollars: Decimal, bill: Decimal) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": name,
        "dollars": f"{dollars:.2f}",
        "share": _share(row.caused, bill),
        "inFull": f"{row.full:.2f}",
        "requests": round(float(row.requests), 3),
        "perRequest": f"{row.full / row.requests:.9f}" if row.requests else None,
        "change": round(float(row.full / past.full) - 1.0, 4) if past is not None and past.full else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _closing(amounts: Iterable[Decimal]) -> list[Decimal]:
    """Cents that add up to the cents of the sum."""
    found, exact, said = [], NOTHING, NOTHING
    for amount in amounts:
        exact += amount
        rounded = exact.quantize(CENT)
        found.append(rounded - said)
        said = rounded
    return found


def _share(part: Decimal, bill: Decimal) -> float | None:
    return round(float(part / bill), 6) if bill else None
