"""Reviews: what workloads cost, did and were worth in a week or month, against the ones before, and what to change.

A review is a document of plain values, as it is kept and shown: dollars are decimal strings, shares and changes are
ratios, times are milliseconds since the epoch. What is not known is left out. It proposes; people decide.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from flyball.core.evidence.review_segments import OWN_LABELS, OWN_SHOWN, Split, by_label
from flyball.core.money.bill import FALLBACK_PATH
from flyball.core.money.segment_bill import SegmentUse
from flyball.core.money.statement import Statement
from flyball.core.names import WorkloadKey
from flyball.core.units import format_money, format_ratio
from flyball.core.values import dataclass

Document = dict[str, Any]

IDLE_SHARE, LOADING_SHARE, FALLBACK_SHARE, COST_RISE = 0.5, 0.1, 0.2, 0.2
"""From which share of GPU time, of requests, and from which change of cost per request on a review speaks of it."""
BUSY_SHARE = 0.7
"""GPUs that serve so much of their ready time are what an objective is missed by."""
LEAST_DOLLARS = Decimal(1)
DEAREST = 50
"""So many workloads, those that cost most, are split by segments of their own: a review stays small."""
MOVING = 4
"""Periods of a moving average, the one reviewed among them."""


class Kind(StrEnum):
    """Weekly reviews are of operations, monthly ones of what to scale, change or retire."""

    WEEKLY = "weekly"
    MONTHLY = "monthly"


@dataclass(frozen=True, slots=True)
class Figures:
    """One workload in one period. `objectives` are good and all requests, `outcomes` those and all cases by KPI, and
    `minutes`, of KPIs that report times, those and their outcomes. `segments` is what each segment of the traffic
    caused, by label.
    """

    begin: int
    end: int
    statement: Statement
    objectives: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    outcomes: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    minutes: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    segments: Mapping[str, Sequence[SegmentUse]] = field(default_factory=dict)

    @property
    def split(self) -> Split:
        """Its bill with what segments of its traffic caused."""
        return Split(self.statement, self.segments)

    @property
    def days(self) -> float:
        """How long the period is."""
        return (self.end - self.begin) / 86_400_000

    @property
    def per_request(self) -> Decimal | None:
        """Dollars per request in full."""
        return self.statement.per_request

    def gpu_ms(self, *states: str) -> int:
        """GPU-milliseconds in these states. A database may have made decimals of their sums."""
        return sum(int(getattr(path.use, f"{state}_ms")) for path in self.statement.paths for state in states)

    @property
    def utilization(self) -> float | None:
        """The share of ready GPU time in which it served; None where nothing says."""
        ready = self.gpu_ms("serving", "idle")
        return self.gpu_ms("serving") / ready if ready else None

    @property
    def tokens(self) -> Decimal:
        """Tokens in and out."""
        return sum((p.use.prompt_tokens + p.use.output_tokens for p in self.statement.paths), Decimal(0))


@dataclass(frozen=True, slots=True)
class Known:
    """What a review is told of one workload beside its figures, which are oldest first.

    `targets` are the shares of good requests that objectives want. `advice` is what its return speaks for, in words
    that begin with Scale, Re-architect or Retire; empty where nothing follows. `unproven` says why no return is known.
    `forecast` is what the month was first forecast to cost: expected, low and high.
    """

    figures: Sequence[Figures]
    targets: Mapping[str, float] = field(default_factory=dict)
    advice: str = ""
    unproven: str = ""
    value: Decimal | None = None
    forecast: tuple[float, float, float] | None = None


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
        "dollars": _money(dollars[-1] if dollars else Decimal(0)),
        "requests": _number(requests[-1] if requests else Decimal(0)),
        "change": _change(dollars),
        "trend": [_money(each) for each in dollars],
        "waste": _money(sum((Decimal(part["dollars"]) for each in workloads for part in each["waste"]), Decimal(0))),
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
        "dollars": _money(now.statement.dollars),
        "requests": _number(now.statement.requests),
        "perRequest": None if now.per_request is None else f"{now.per_request:.9f}",
        "utilization": _ratio(now.utilization),
        "change": {
            "dollars": _change(costs),
            "requests": _change([each.statement.requests for each in figures]),
            "perRequest": _change(units),
        },
        "moving": {
            "periods": len(figures[-MOVING:]),
            "dollars": _money(_mean(costs[-MOVING:])),
            "requests": _number(_mean([each.statement.requests for each in figures[-MOVING:]])),
        },
        "trend": [_trend(each) for each in figures],
        "objectives": _objectives(known),
        "outcomes": _outcomes(figures),
        "cohorts": _cohorts(figures),
        "waste": _waste(now),
        "proposals": list(_proposals(known)),
    }
    if known.value is not None:
        found["value"] = _money(known.value)
    if kind is Kind.MONTHLY:
        found |= {"forecast": _against(known, before), "next": _next(now), "recommendation": _recommendation(known)}
    return {name: value for name, value in found.items() if value is not None}


def _trend(each: Figures) -> Document:
    found = {
        "from": each.begin,
        "dollars": _money(each.statement.dollars),
        "requests": _number(each.statement.requests),
        "perRequest": None if each.per_request is None else f"{each.per_request:.9f}",
        "utilization": _ratio(each.utilization),
        "attained": {name: _ratio(good / all_) for name, (good, all_) in each.objectives.items() if all_},
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
            "attained": _ratio(share),
            "target": target,
            "met": None if target is None else share >= target,
            "before": _ratio(old[0] / old[1]) if old[1] else None,
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
            "minutes" if timed else "rate": _ratio(value),
            "change": None if not old or value is None else round(value / old - 1.0, 4),
        }
        found.append({key: part for key, part in each.items() if part is not None})
    return found


def _over(counts: tuple[float, float]) -> float | None:
    return counts[0] / counts[1] if counts[1] else None


def _shares(now: Figures) -> dict[str, tuple[float, float]]:
    """Outcomes and cases of the KPIs that are shares."""
    return {name: counts for name, counts in now.outcomes.items() if name not in now.minutes}


def _cohorts(figures: Sequence[Figures]) -> list[Document]:
    """Costs by version and route: each target's, and the fallback's, against the period before."""
    before = {path.path: path for path in figures[-2].statement.paths} if len(figures) > 1 else {}
    now, found = figures[-1], []
    for path in now.statement.paths:
        share = float(path.use.requests / now.statement.requests) if now.statement.requests else None
        old = before.get(path.path)
        each = {
            "path": path.path,
            "dollars": _money(path.dollars),
            "requests": _number(path.use.requests),
            "share": _ratio(share),
            "perRequest": None if path.per_request is None else f"{path.per_request:.9f}",
            "change": _change([old.per_request if old else None, path.per_request]),
        }
        found.append({key: value for key, value in each.items() if value is not None})
    return found


def _waste(now: Figures) -> list[Document]:
    """Dollars for GPUs that did nothing."""
    parts = (
        ("idle", now.statement.idle, "ready, and nothing to do"),
        ("loading", now.statement.loading, "starting, and not ready yet"),
    )
    return [{"kind": kind, "dollars": _money(dollars), "what": what} for kind, dollars, what in parts if dollars > 0]


def _proposals(known: Known) -> Iterator[Document]:
    """What to change, with what it is about in dollars."""
    now, statement = known.figures[-1], known.figures[-1].statement
    held = now.gpu_ms("serving", "idle", "loading", "unmeasured")
    missed = [
        name for name, (good, all_) in now.objectives.items() if all_ and good / all_ < known.targets.get(name, 0)
    ]
    if statement.unpriced or statement.unpriced_gpu_hours:
        names = [*(("GPUs",) if statement.unpriced_gpu_hours else ()), *(name for name, _ in statement.unpriced)]
        yield _proposal(
            "AddPrices", f"prices are missing: {', '.join(names)}; the bill is too low until they are set", None
        )
    idle = now.gpu_ms("idle") / held if held else 0.0
    if idle > IDLE_SHARE and not missed and statement.idle >= LEAST_DOLLARS:
        text = f"{format_ratio(idle, 0)} of GPU time was idle: lower minReplicas, or let it scale to zero"
        yield _proposal("LowerMinReplicas", text, statement.idle)
    loading = now.gpu_ms("loading") / held if held else 0.0
    if loading > LOADING_SHARE and statement.loading >= LEAST_DOLLARS:
        text = f"{format_ratio(loading, 0)} of GPU time went into starting"
        text += ": cache the model on its nodes, or hold replicas longer"
        yield _proposal("ShortenStartup", text, statement.loading)
    for name in missed:
        good, all_ = now.objectives[name]
        text = f"{name} attained {format_ratio(good / all_, 2)} of {format_ratio(known.targets[name], 2)}"
        busy = now.utilization is not None and now.utilization > BUSY_SHARE
        if busy:
            yield _proposal("AddCapacity", f"{text} with busy GPUs: raise maxReplicas or the ceiling", None)
        else:
            yield _proposal("FindCause", f"{text} though GPUs were not busy: more of them may not help", None)
    aside = sum((p.use.requests for p in statement.paths if p.path == FALLBACK_PATH), Decimal(0))
    if statement.requests and float(aside / statement.requests) > FALLBACK_SHARE:
        dollars = sum((p.dollars for p in statement.paths if p.path == FALLBACK_PATH), Decimal(0))
        text = f"{format_ratio(float(aside / statement.requests), 0)} of requests went to the fallback"
        yield _proposal("ReviewFallback", f"{text}: hold what they cost there against replicas of your own", dollars)
    rise = _change([each.per_request for each in known.figures])
    if rise is not None and rise > COST_RISE:
        yield _proposal("FindCostRise", f"a request costs {format_ratio(rise, 0)} more than in the period before", None)


def _proposal(action: str, text: str, dollars: Decimal | None) -> Document:
    return {"action": action, "text": text} | ({} if dollars is None else {"dollars": _money(dollars)})


def _against(known: Known, before: Document | None) -> list[Document]:
    """What was forecast against what came: of cost by the month's own forecast, of the rest by the last review's."""
    now, said = known.figures[-1], (before or {}).get("next", {})
    found = []
    actual = float(now.statement.dollars)
    if known.forecast is not None:
        expected, low, high = known.forecast
        found.append(_compared("cost", expected, actual) | {"low": round(low, 2), "high": round(high, 2)})
    elif "dollarsPerDay" in said:
        found.append(_compared("cost", said["dollarsPerDay"] * now.days, actual))
    if "requestsPerDay" in said:
        found.append(_compared("requests", said["requestsPerDay"] * now.days, float(now.statement.requests)))
    for part, present in (("attained", now.objectives), ("outcomes", _shares(now)), ("minutes", now.minutes)):
        for name, expected in said.get(part, {}).items():
            good, all_ = present.get(name, (0.0, 0.0))
            if all_:
                unit = {"unit": "minutes"} if part == "minutes" else {}
                found.append(_compared(name, float(expected), good / all_) | unit)
    return found


def _compared(of: str, forecast: float, actual: float) -> Document:
    found: Document = {"of": of, "forecast": round(forecast, 6), "actual": round(actual, 6)}
    return found | ({"error": round(actual / forecast - 1, 4)} if forecast else {})


def _next(now: Figures) -> Document:
    """What the next month is expected to bring, by the day: that it goes on as this one did."""
    found: Document = {
        "dollarsPerDay": round(float(now.statement.dollars) / now.days, 6),
        "requestsPerDay": round(float(now.statement.requests) / now.days, 3),
    }
    for part, counts in (("attained", now.objectives), ("outcomes", _shares(now)), ("minutes", now.minutes)):
        found[part] = {name: _ratio(good / all_) for name, (good, all_) in sorted(counts.items()) if all_}
    return found


def _recommendation(known: Known) -> Document:
    """Scale, re-architect, retire or keep, with the arithmetic."""
    if known.unproven:
        return {"action": "Unproven", "text": known.unproven}
    action, _, text = known.advice.partition(": ")
    if action in ("Scale", "Re-architect", "Retire"):
        return {"action": action, "text": text}
    return {"action": "Keep", "text": "its return speaks for neither more, nor less, nor another way to serve it"}


def _change(values: Sequence[Decimal | None]) -> float | None:
    """The relative change of the last value against the one before it."""
    if len(values) < 2 or not values[-2] or values[-1] is None:
        return None
    return round(float(values[-1] / values[-2]) - 1.0, 4)


def _mean(values: Sequence[Decimal]) -> Decimal:
    return sum(values, Decimal(0)) / len(values)


def _money(dollars: Decimal) -> str:
    return format_money(dollars)


def _number(count: Decimal) -> float:
    return round(float(count), 3)


def _ratio(share: float | None) -> float | None:
    return None if share is None else round(share, 6)
