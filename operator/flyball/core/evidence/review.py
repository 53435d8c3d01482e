"""Reviews: what workloads cost, did and were worth in a week or month, against the ones before, and what to change.

A review is a document of plain values, as it is kept and shown: dollars are decimal strings, shares and changes are
ratios, times are milliseconds since the epoch. What is not known is left out. It proposes; people decide.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from flyball.core.evidence.review_figures import (
    Document,
    Figures,
    Kind,
    Known,
    amount,
    change,
    mean,
    number,
    ratio,
)
from flyball.core.evidence.review_month import against, carried_on, recommendation
from flyball.core.evidence.review_proposals import proposals, waste
from flyball.core.evidence.review_segments import OWN_LABELS, OWN_SHOWN, Split, by_label
from flyball.core.names import WorkloadKey

DEAREST = 50
"""So many workloads, those that cost most, are split by segments of their own: a review stays small."""
MOVING = 4
"""Periods of a moving average, the one reviewed among them."""


def build(
    kind: Kind, name: str, zone: str, known: Mapping[WorkloadKey, Known], before: Document | None = None
) -> Document:
    """The review of the last period of all workloads' figures. `before` is the review of the period before it."""
    shown = {key: each for key, each in known.items() if each.figures}
    last = [each.figures[-1] for each in shown.values()]
    told = {(each["namespace"], each["name"]): each for each in (before or {}).get("workloads", ())}
    workloads = [_workload(kind, key, each, told.get((key.namespace, key.name))) for key, each in shown.items()]
    workloads.sort(key=lambda each: (-Decimal(each["dollars"]), each["namespace"], each["name"]))
    for each in workloads[:DEAREST]:
        key = WorkloadKey(each["namespace"], each["name"])
        each["segments"] = by_label(*_splits({key: shown[key]}), OWN_SHOWN, OWN_LABELS)
    dollars = [sum((f.statement.dollars for f in part), Decimal(0)) for part in _columns(shown)]
    requests = [sum((f.statement.requests for f in part), Decimal(0)) for part in _columns(shown)]
    return {
        "id": name,
        "kind": str(kind),
        "zone": zone,
        "from": min((each.begin for each in last), default=0),
        "to": max((each.end for each in last), default=0),
        "dollars": amount(dollars[-1] if dollars else Decimal(0)),
        "requests": number(requests[-1] if requests else Decimal(0)),
        "change": change(dollars),
        "trend": [amount(each) for each in dollars],
        "waste": amount(sum((Decimal(part["dollars"]) for each in workloads for part in each["waste"]), Decimal(0))),
        "segments": by_label(*_splits(shown)),
        "workloads": workloads,
    }


def _columns(shown: Mapping[WorkloadKey, Known]) -> Iterator[list[Figures]]:
    """The figures of all workloads, period by period, counted from the last one."""
    longest = max((len(each.figures) for each in shown.values()), default=0)
    for back in range(longest, 0, -1):
        yield [each.figures[-back] for each in shown.values() if len(each.figures) >= back]


def _splits(shown: Mapping[WorkloadKey, Known]) -> tuple[dict[WorkloadKey, Split], dict[WorkloadKey, Split]]:
    """All workloads' bills of the last period, and of the one before it."""
    now = {key: each.figures[-1].split for key, each in shown.items()}
    return now, {key: each.figures[-2].split for key, each in shown.items() if len(each.figures) > 1}


def _workload(kind: Kind, key: WorkloadKey, known: Known, before: Document | None) -> Document:
    figures, now = known.figures, known.figures[-1]
    costs = [each.statement.dollars for each in figures]
    units = [each.per_request for each in figures]
    found: Document = {
        "namespace": key.namespace,
        "name": key.name,
        "dollars": amount(now.statement.dollars),
        "requests": number(now.statement.requests),
        "perRequest": None if now.per_request is None else f"{now.per_request:.9f}",
        "utilization": ratio(now.utilization),
        "change": {
            "dollars": change(costs),
            "requests": change([each.statement.requests for each in figures]),
            "perRequest": change(units),
        },
        "moving": {
            "periods": len(figures[-MOVING:]),
            "dollars": amount(mean(costs[-MOVING:])),
            "requests": number(mean([each.statement.requests for each in figures[-MOVING:]])),
            "perRequest": _moving_unit((f.statement.dollars, f.statement.requests) for f in figures[-MOVING:]),
        },
        "trend": [_trend(each) for each in figures],
        "objectives": _objectives(known),
        "outcomes": _outcomes(figures),
        "cohorts": _cohorts(figures),
        "waste": waste(now),
        "proposals": list(proposals(known)),
    }
    if known.value is not None:
        found["value"] = amount(known.value)
        found["routes"] = known.routes
    if kind is Kind.MONTHLY:
        found |= {"forecast": against(known, before), "next": carried_on(now), "recommendation": recommendation(known)}
    return {name: value for name, value in found.items() if value is not None}


def _moving_unit(paid: Iterable[tuple[Decimal, Decimal]]) -> str | None:
    """What a request cost over these periods' dollars and requests: a mean of means would not be what was paid."""
    sums = [sum(column, Decimal(0)) for column in zip(*paid, strict=True)]
    return f"{sums[0] / sums[1]:.9f}" if sums and sums[1] else None


def _trend(each: Figures) -> Document:
    found = {
        "from": each.begin,
        "dollars": amount(each.statement.dollars),
        "requests": number(each.statement.requests),
        "perRequest": None if each.per_request is None else f"{each.per_request:.9f}",
        "utilization": ratio(each.utilization),
        "attained": {name: ratio(good / all_) for name, (good, all_) in each.objectives.items() if all_},
    }
    return {name: value for name, value in found.items() if value is not None}


def _objectives(known: Known) -> list[Document]:
    now = known.figures[-1]
    before = known.figures[-2].objectives if len(known.figures) > 1 else {}
    found = []
    for name, (good, all_) in sorted(now.objectives.items()):
        if not all_:
            continue
        share, target = good / all_, known.targets.get(name)
        old = before.get(name, (0.0, 0.0))
        each = {
            "name": name,
            "attained": ratio(share),
            "target": target,
            "met": None if target is None else share >= target,
            "before": ratio(old[0] / old[1]) if old[1] else None,
        }
        found.append({key: value for key, value in each.items() if value is not None})
    return found


def _outcomes(figures: Sequence[Figures]) -> list[Document]:
    """Each KPI: outcomes of cases, the minutes of each where they are reported, and its change."""
    now, past = figures[-1], figures[-2] if len(figures) > 1 else None
    found = []
    for name, (good, all_) in sorted(now.outcomes.items()):
        timed = name in now.minutes
        value = _over(now.minutes[name] if timed else (good, all_))
        old = None if past is None else _over((past.minutes if timed else past.outcomes).get(name, (0.0, 0.0)))
        each = {
            "kpi": name,
            "outcomes": round(good, 3),
            "cases": round(all_, 3),
            "minutes" if timed else "rate": ratio(value),
            "change": None if not old or value is None else round(value / old - 1.0, 4),
        }
        found.append({key: part for key, part in each.items() if part is not None})
    return found


def _over(counts: tuple[float, float]) -> float | None:
    return counts[0] / counts[1] if counts[1] else None


def _cohorts(figures: Sequence[Figures]) -> list[Document]:
    """Costs by version and route: each target's, and the fallback's, against the period before and several."""
    before = {path.path: path for path in figures[-2].statement.paths} if len(figures) > 1 else {}
    now, found = figures[-1], []
    for path in now.statement.paths:
        share = float(path.use.requests / now.statement.requests) if now.statement.requests else None
        old = before.get(path.path)
        each = {
            "path": path.path,
            "dollars": amount(path.dollars),
            "requests": number(path.use.requests),
            "share": ratio(share),
            "perRequest": None if path.per_request is None else f"{path.per_request:.9f}",
            "change": change([old.per_request if old else None, path.per_request]),
            "movingPerRequest": _moving_unit(
                (each.dollars, each.use.requests)
                for period in figures[-MOVING:]
                for each in period.statement.paths
                if each.path == path.path
            ),
        }
        found.append({key: value for key, value in each.items() if value is not None})
    return found
