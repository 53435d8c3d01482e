"""What a review proposes to change, by rules, each with what it is about in dollars; and what was spent on nothing."""

from collections.abc import Iterator
from decimal import Decimal

from flyball.core.evidence.review_figures import Document, Figures, Known, amount, change
from flyball.core.money.bill import FALLBACK_PATH
from flyball.core.units import format_ratio

IDLE_SHARE, LOADING_SHARE, FALLBACK_SHARE, COST_RISE = 0.5, 0.1, 0.2, 0.2
"""From which share of GPU time, of requests, and from which change of cost per request on a review speaks of it."""
BUSY_SHARE = 0.7
"""GPUs that serve so much of their ready time are what an objective is missed by."""
LEAST_DOLLARS = Decimal(1)


def waste(now: Figures) -> list[Document]:
    """Dollars for GPUs that did nothing."""
    parts = (
        ("idle", now.statement.idle, "ready, and nothing to do"),
        ("loading", now.statement.loading, "starting, and not ready yet"),
    )
    return [{"kind": kind, "dollars": amount(dollars), "what": what} for kind, dollars, what in parts if dollars > 0]


def proposals(known: Known) -> Iterator[Document]:
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
    rise = change([each.per_request for each in known.figures])
    if rise is not None and rise > COST_RISE:
        yield _proposal("FindCostRise", f"a request costs {format_ratio(rise, 0)} more than in the period before", None)


def _proposal(action: str, text: str, dollars: Decimal | None) -> Document:
    return {"action": action, "text": text} | ({} if dollars is None else {"dollars": amount(dollars)})
