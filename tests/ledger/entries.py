"""Entries of the ledger, made with only what a test is about."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise

from flyball.core.money.bill import Charge, Entry, PathUse
from flyball.core.names import WorkloadKey
from flyball.core.spec import Unit

PERIOD = 300_000
HOUR = 12 * PERIOD
DAY = 24 * HOUR
MIDNIGHT = 20_417 * DAY
"""2025-11-25T00:00:00Z."""
KEY = WorkloadKey("shop", "chat")


def use(path: str = "gpu", number: int = 1) -> PathUse:
    """Numbers that differ in every field, so that none can be taken for another."""
    money = [Decimal(number * 10 + digit) / 10**9 for digit in range(4)]
    times = [number * 1000 + digit for digit in range(4)]
    counts = [Decimal(number * 100 + digit) / 1000 for digit in range(3)]
    return PathUse(path, *times, *money, number, *counts, number * 7)


def charge(component: str = "logs", path: str = "gpu", dollars: str | None = "0.000000003") -> Charge:
    price = None if dollars is None else Decimal(dollars)
    return Charge(component, "Observability", path, Unit.REQUEST, Decimal("1.5"), price)


def entry(start: int, end: int | None = None, *, uid: str = "u-1", key: WorkloadKey = KEY, number: int = 1) -> Entry:
    return Entry(key, uid, start, start + PERIOD if end is None else end, (use(number=number),), (charge(),))


def periods(begin: int, end: int, uid: str = "u-1", key: WorkloadKey = KEY) -> Iterator[Entry]:
    """An entry for each period, with numbers that differ."""
    for number, (start, stop) in enumerate(pairwise(range(begin, end + 1, PERIOD))):
        yield entry(start, stop, uid=uid, key=key, number=number % 97)
