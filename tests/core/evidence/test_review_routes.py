"""What each route's return speaks for: by the workload's own rules, and not where nobody can tell."""

from decimal import Decimal

import pytest
from core.accounts import WEEK, account

from flyball.core.evidence.review_routes import APART, by_route
from flyball.core.evidence.review_segments import Split
from flyball.core.money.bill import PathUse
from flyball.core.money.segment_bill import Basis, Segment, SegmentKind, SegmentUse
from flyball.core.money.statement import state
from flyball.core.names import RoiMetric
from flyball.core.spec import RoiTarget

TARGET = RoiTarget("pays", RoiMetric.VALUE_COST_RATIO, Decimal(2), WEEK)
MONTH = account("1000", "220", "110", "600")
"""A request is worth 60 cents, and what it causes is half as much again with its share of idle GPUs."""
CAUSED = {"search": (500, "50"), "agents": (200, "58"), "batch": (100, "80"), "chat": (120, "24"), "new": (50, "1")}
GPU = PathUse("gpu", serving_ms=1, idle_ms=1, serving=Decimal(220), idle=Decimal(110), requests=Decimal(1000))


def split(label: str = "route") -> Split:
    uses = [
        SegmentUse(
            Segment(label, name, SegmentKind.NAMED, Basis.WORK), Decimal(requests), dollars=Decimal(dollars)
        )
        for name, (requests, dollars) in CAUSED.items()
    ]  # fmt: skip
    return Split(state((GPU,), (), ()), {label: uses})


@pytest.mark.parametrize(
    ("route", "worth", "in_full", "action", "said"),
    [
        pytest.param("search", "300.00", "75.00", "Scale", "worth €0.6000 and causes €0.1000", id="worth four times"),
        pytest.param("agents", "120.00", "87.00", "Re-architect", "€29.00 of €87.00 went to what no", id="idle GPUs"),
        pytest.param("batch", "60.00", "120.00", "Retire", "were worth €60.00, and serving them", id="serving alone"),
        pytest.param("chat", "72.00", "36.00", "Keep", "brings 2.00", id="as asked for"),
        pytest.param("new", "30.00", "1.50", "Unproven", "50 requests are too few", id="hardly used"),
    ],
)
def test_a_route_is_judged_by_what_it_causes(route: str, worth: str, in_full: str, action: str, said: str) -> None:
    found = by_route(TARGET, MONTH, split(), ("route", "version"), "EUR")
    [row] = [row for row in found["rows"] if row["route"] == route]
    assert (row["worth"], row["inFull"], row["action"]) == (worth, in_full, action)
    assert said in row["text"]
    assert "the workload's mean of €0.6000" in found["note"]


def test_the_parts_of_routes_and_of_what_has_none_are_the_workload_s() -> None:
    rows = by_route(TARGET, MONTH, split(), ("route",), "USD")["rows"]
    rest = 1000 - sum(row["requests"] for row in rows)
    assert sum(Decimal(row["worth"]) for row in rows) + Decimal("0.6") * Decimal(rest) == MONTH.value
    assert Decimal(rows[0]["inFull"]) / Decimal(rows[0]["caused"]) == MONTH.full / MONTH.serving


@pytest.mark.parametrize("known", [Split(state((GPU,), (), ())), split("tenant")], ids=["not split", "by tenant only"])
def test_routes_that_cannot_be_told_apart_are_said_to_be_so(known: Split) -> None:
    assert by_route(TARGET, MONTH, known, ("route", "version"), "USD") == {"note": APART, "rows": []}
