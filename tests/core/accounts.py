"""Accounts of windows, made with only what a test is about."""

from decimal import Decimal
from typing import Any

from flyball.core.money.books import Account, Books, PathAccount, Window
from flyball.core.names import KpiKind
from flyball.core.value.kpi import Kpi, KpiLine, Worth
from flyball.core.value.outcomes import DAY_MS, Counted

WEEK_MS, WEEK = 7 * DAY_MS, 7 * 86_400.0
NOW_MS = 1_800_000_000_000


def account(
    requests: str = "1000",
    serving: str = "60",
    fixed: str = "40",
    worth: str = "300",
    labor: str = "0",
    *,
    paths: dict[str, tuple[str, str]] | None = None,
    **fields: Any,
) -> Account:
    """A week: by default 1000 requests for $100, worth $300, from 300 outcomes of a dollar each."""
    parts = {"gpu": (requests, serving)} if paths is None else paths
    made = tuple(PathAccount(name, Decimal(count), Decimal(dollars)) for name, (count, dollars) in parts.items())
    value = Worth(Decimal(worth), Decimal(labor), float(worth), float(labor))
    return Account(NOW_MS - WEEK_MS, NOW_MS, made, Decimal(fixed), fields.pop("value", value), **fields)


def books(now: Account, before: Account | None = None, **fields: Any) -> Books:
    return Books(NOW_MS / 1000, (Window(WEEK, now, before),), **fields)


def line(kind: KpiKind = KpiKind.DEFLECTION, name: str = "deflections", **counted: Any) -> KpiLine:
    sums = {field: value if field == "squares" else Decimal(value) for field, value in counted.items()}
    return KpiLine(Kpi(name, kind), Counted(**sums))
