"""Where a period's money went by segment: it closes to the cent, names the dearest, and is honest about the rest."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.core.evidence.review_segments import OTHER, UNATTRIBUTED, UNSPLIT, Split, by_label
from flyball.core.money.bill import PathUse
from flyball.core.money.segment_bill import Basis, Segment, SegmentKind, SegmentUse
from flyball.core.money.statement import Statement
from flyball.core.names import WorkloadKey
from flyball.ledger.accounts import statement_of
from flyball.ledger.queries import Line

CHAT, BATCH = WorkloadKey("shop", "chat"), WorkloadKey("lab", "batch")


def use(value: str, dollars: str, requests: int = 10, label: str = "tenant") -> SegmentUse:
    kind = SegmentKind.NAMED if value else SegmentKind.OTHER
    return SegmentUse(Segment(label, value, kind, Basis.WORK), Decimal(requests), dollars=Decimal(dollars))


def statement(serving: str, idle: str = "0", requests: int = 0) -> Statement:
    path = PathUse(
        "gpu", serving_ms=1, idle_ms=1, serving=Decimal(serving), idle=Decimal(idle), requests=Decimal(requests)
    )
    return statement_of([Line(CHAT, "u", 0, 1, path)])


def rows(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in found[0]["rows"]}


def test_the_dearest_are_named_and_the_others_are_other() -> None:
    uses = [use(f"t{n:02}", str(n)) for n in range(1, 13)] + [use("", "5")]
    [found] = by_label({CHAT: Split(statement("90", "10"), {"tenant": uses})}, {})
    names = [row["name"] for row in found["rows"]]
    assert names == [*(f"t{n:02}" for n in range(12, 2, -1)), OTHER, UNATTRIBUTED, "(idle)"]
    assert (found["told"], found["dollars"]) == (12, "100.00")
    assert rows([found])[OTHER]["dollars"] == "8.00"  # 1 + 2 and the 5 that the ledger does not tell apart
    assert rows([found])[UNATTRIBUTED]["dollars"] == "7.00"
    assert rows([found])["t12"] == {
        "name": "t12", "dollars": "12.00", "share": 0.12, "inFull": "13.33", "requests": 10.0,
        "perRequest": "1.333333333",
    }  # fmt: skip


def test_what_nobody_splits_by_the_label_stands_beside_it() -> None:
    now = {CHAT: Split(statement("10"), {"tenant": [use("acme", "10")]}), BATCH: Split(statement("4", "2"))}
    found = rows(by_label(now, {}))
    assert {name: row["dollars"] for name, row in found.items()} == {"acme": "10.00", UNSPLIT: "4.00", "(idle)": "2.00"}


def test_changes_are_against_the_period_before_and_of_other_for_the_same_segments() -> None:
    few = [use("acme", "6"), *(use(f"t{n}", "1") for n in range(4))]
    now = {CHAT: Split(statement("10"), {"tenant": few})}
    before = {CHAT: Split(statement("8"), {"tenant": [use("acme", "3"), use("t0", "3"), use("gone", "2")]})}
    found = rows(by_label(now, before, most=1))
    assert {name: row["change"] for name, row in found.items()} == {"acme": 1.0, OTHER: -0.2}


def test_labels_with_most_behind_them_come_first_and_nothing_split_is_no_part() -> None:
    uses = {"tier": [use("gold", "1", label="tier")], "tenant": [use("acme", "3")], "none": []}
    assert [part["label"] for part in by_label({CHAT: Split(statement("4"), uses)}, {})] == ["tenant", "tier"]
    assert by_label({CHAT: Split(statement("4"))}, {}) == []


def test_a_value_that_looks_like_ours_is_told_apart() -> None:
    found = by_label({CHAT: Split(statement("4", "1"), {"tenant": [use("(idle)", "4")]})}, {})
    assert [row["name"] for row in found[0]["rows"]] == ["'(idle)'", "(idle)"]


amounts = st.decimals("0.000000001", "9999", places=9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(amounts, amounts, amounts), min_size=1, max_size=14), st.integers(1, 10))
def test_the_cents_shown_add_up_to_the_bill(parts: list[tuple[Decimal, Decimal, Decimal]], most: int) -> None:
    splits = {
        WorkloadKey("a", str(n)): Split(
            statement(str(caused + beyond), str(idle)),
            {"tenant": [use(f"t{n % 7}", str(caused))]} if n % 3 == 0 else {},
        )
        for n, (caused, beyond, idle) in enumerate(parts)
    }
    [found] = by_label(splits, {}, most)
    bill = sum((each.statement.dollars for each in splits.values()), Decimal(0)).quantize(Decimal("0.01"))
    assert sum((Decimal(row["dollars"]) for row in found["rows"]), Decimal(0)) == Decimal(found["dollars"]) == bill


@pytest.mark.parametrize("name", ["inFull", "share"])
def test_shares_and_dollars_in_full_add_up_too(name: str) -> None:
    uses = [use(f"t{n}", "3.333") for n in range(3)]
    [found] = by_label({CHAT: Split(statement("12", "4"), {"tenant": uses})}, {})
    total = sum(float(row.get(name, 0)) for row in found["rows"])
    assert total == pytest.approx(16 if name == "inFull" else 1, abs=0.03)
