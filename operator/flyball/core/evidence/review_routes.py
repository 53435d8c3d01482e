"""What the return of each route and version of a workload speaks for: scale it, re-architect it, retire it, or keep it.

    worth of a route = its requests × the workload's mean worth of a request
    cost of a route  = what its requests caused + its share of idle GPUs and all else, by what each caused

Outcomes are not counted by route, so a route is taken to be worth what the mean request is, and its interval is that of
the workload's worth. The arithmetic and the rules are those of the whole workload (`core.value.returns.advise`).
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from flyball.core.evidence.review_figures import Document, amount, number
from flyball.core.evidence.review_segments import Split
from flyball.core.money.books import Account, PathAccount
from flyball.core.money.currency import money
from flyball.core.money.segment_bill import SegmentKind
from flyball.core.money.segment_statement import SegmentCost, by_segment
from flyball.core.names import RoiMetric
from flyball.core.spec import RoiTarget
from flyball.core.value.baseline import FEWEST_REQUESTS
from flyball.core.value.kpi import Worth
from flyball.core.value.returns import advise, estimate

SHOWN = 10
"""Routes that are judged by each label: those that caused most."""
APART = (
    "its routes cannot be told apart, so only the whole workload is judged: name the label of the route or version in "
    "telemetry.segmentBy"
)


def by_route(target: RoiTarget, account: Account, split: Split, labels: Sequence[str], currency: str) -> Document:
    """What each route's return speaks for, by each of these labels that the workload's traffic is split by."""
    if not account.requests or not any(label in split.uses for label in labels):
        return {"note": APART, "rows": []}
    rows = [row for label in labels for row in _of_label(target, account, split, label, currency)]
    each = money(account.value / account.requests, currency, 4)
    note = f"each request is taken to be worth the workload's mean of {each}: outcomes are not counted by route"
    return {"note": note, "rows": rows}


def _of_label(target: RoiTarget, account: Account, split: Split, label: str, currency: str) -> Iterator[Document]:
    known = by_segment(split.statement, label, split.uses[label]).segments if label in split.uses else ()
    named = [each for each in known if each.use.segment.kind is SegmentKind.NAMED]
    for each in named[:SHOWN]:
        own = _account(account, each)
        action, text = _judged(target, own, currency)
        yield {
            "label": label,
            "route": each.name,
            "requests": number(own.requests),
            "worth": amount(own.value),
            "caused": amount(own.serving),
            "inFull": amount(own.full),
            "action": action,
            "text": text,
        }


def _account(account: Account, route: SegmentCost) -> Account:
    """The route's own account: its part of the workload's by its requests, and of its costs what it caused."""
    use, whole = route.use, account.worth
    share = use.requests / account.requests
    squares = float(share) ** 2
    worth = Worth(
        whole.dollars * share, whole.labor * share, whole.worth_squares * squares, whole.labor_squares * squares
    )
    paths = (PathAccount(route.name, use.requests, use.dollars),)
    return Account(account.begin, account.end, paths, route.full - use.dollars, worth, account.per_request)


def _judged(target: RoiTarget, own: Account, currency: str) -> tuple[str, str]:
    if own.requests < FEWEST_REQUESTS:
        return "Unproven", f"{own.requests:.0f} requests are too few to judge it by: {FEWEST_REQUESTS} are needed"
    found = estimate(RoiMetric.VALUE_COST_RATIO, own)
    advice = "" if found is None else advise(target, own, target.amount, found, currency)
    action, _, text = advice.partition(": ")
    if not advice:
        ratio = own.value / own.full if own.full > 0 else Decimal(0)
        return "Keep", f"it brings {ratio:.2f} for each of its costs, and the target is {target.amount:.2f}"
    return action, text
