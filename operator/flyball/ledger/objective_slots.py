"""What objectives of workloads in experiments counted, by five minutes: kept while blocks wait to be measured.

A process that ends takes nothing with it but the five minutes that are under way.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from sqlalchemy import and_, delete, func, or_, select

from flyball.core.names import WorkloadKey
from flyball.ledger.engine import insert_into, reading, writing
from flyball.ledger.evidence import objective_slot
from flyball.ledger.store import DAY_MS, Ledger

KEPT_MS = 9 * DAY_MS
"""For how long: the longest block, and the longest time that outcomes are waited for."""
_KEYS = ("start", "namespace", "workload", "objective")
_SUMS = ("good", "total", "measured_ms")
_MILLI = Decimal("0.001")

Slots = Mapping[tuple[WorkloadKey, str, int], tuple[float, float, int]]
"""Good and all requests, and the milliseconds they were counted for, by workload, objective and begin of the slot."""


def add_slots(ledger: Ledger, slots: Slots, now: int) -> None:
    """Add counts to what is there, and drop what is older than it is kept."""
    rows = [
        {
            "start": start, "namespace": key.namespace, "workload": key.name, "objective": objective[:63],
            "good": Decimal(str(good)).quantize(_MILLI), "total": Decimal(str(total)).quantize(_MILLI),
            "measured_ms": measured_ms,
        }
        for (key, objective, start), (good, total, measured_ms) in slots.items()
    ]  # fmt: skip
    if not rows:
        return
    with writing(ledger.engine) as connection:
        add = insert_into(connection, objective_slot)
        add = add.on_conflict_do_update(
            index_elements=list(_KEYS), set_={name: objective_slot.c[name] + add.excluded[name] for name in _SUMS}
        )
        connection.execute(add, rows)
        connection.execute(delete(objective_slot).where(objective_slot.c.start < now - KEPT_MS))


def within(
    ledger: Ledger, keys: Sequence[WorkloadKey], objective: str, begin: int, end: int
) -> tuple[float, float, int]:
    """An objective's requests in the slots between two times, of all these workloads together."""
    slot = objective_slot.c
    named = or_(*(and_(slot.namespace == key.namespace, slot.workload == key.name) for key in keys))
    asked = select(func.sum(slot.good), func.sum(slot.total), func.sum(slot.measured_ms)).where(
        slot.start >= begin, slot.start < end, slot.objective == objective[:63], named
    )
    with reading(ledger.engine) as connection:
        good, total, measured_ms = connection.execute(asked).one()
    return float(good or 0), float(total or 0), int(measured_ms or 0)
