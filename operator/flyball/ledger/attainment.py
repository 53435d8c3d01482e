"""Good and all requests of objectives in the ledger, by hour and day, and what owners declared that they mean."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import delete, func, insert, select

from flyball.core.names import WorkloadKey
from flyball.ledger.engine import insert_into, reading, writing
from flyball.ledger.evidence import attainment, declaration
from flyball.ledger.schema import Grain
from flyball.ledger.store import KEPT_MS, Ledger

Hours = Mapping[tuple[WorkloadKey, str, int], tuple[float, float]]
"""Good and all requests by workload, objective and the begin of the hour (milliseconds)."""

_KEYS = ("grain", "start", "namespace", "workload", "objective")
_MILLI = Decimal("0.001")


def add_hours(ledger: Ledger, hours: Hours) -> None:
    """Add counts of hours to what is there, and to their days."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for (key, objective, start), (good, total) in hours.items():
        for grain in (Grain.HOUR, Grain.DAY):
            at = ledger.calendar.floor(start, grain)
            where = (int(grain), at, key.namespace, key.name, objective[:63])
            row = rows.setdefault(
                where, dict(zip(_KEYS, where, strict=True)) | {"good": Decimal(0), "total": Decimal(0)}
            )
            row["good"] += Decimal(str(good)).quantize(_MILLI)
            row["total"] += Decimal(str(total)).quantize(_MILLI)
    if not rows:
        return
    with writing(ledger.engine) as connection:
        add = insert_into(connection, attainment)
        add = add.on_conflict_do_update(
            index_elements=list(_KEYS),
            set_={name: attainment.c[name] + add.excluded[name] for name in ("good", "total")},
        )
        connection.execute(add, list(rows.values()))


def prune(ledger: Ledger, now: int) -> None:
    """Drop hours that are older than the ledger keeps hours; days hold what they held."""
    limit = ledger.calendar.floor(now - KEPT_MS[Grain.HOUR], Grain.DAY)
    with writing(ledger.engine) as connection:
        connection.execute(delete(attainment).where(attainment.c.grain == int(Grain.HOUR), attainment.c.start < limit))


def attained(
    ledger: Ledger, keys: Sequence[WorkloadKey], objective: str, begin: int, end: int, grain: Grain
) -> tuple[float, float]:
    """Good and all requests of an objective of these workloads together, in the hours or days between two times."""
    good = total = 0.0
    for (key, name), counts in by_objective(ledger, begin, end, grain).items():
        if key in keys and name == objective:
            good, total = good + counts[0], total + counts[1]
    return good, total


def by_objective(
    ledger: Ledger, begin: int, end: int, grain: Grain = Grain.DAY
) -> dict[tuple[WorkloadKey, str], tuple[float, float]]:
    """Good and all requests of every objective in the days (or hours) that begin between two times."""
    found = attainment.c
    asked = (
        select(found.namespace, found.workload, found.objective, func.sum(found.good), func.sum(found.total))
        .where(found.grain == int(grain), found.start >= begin, found.start < end)
        .group_by(found.namespace, found.workload, found.objective)
    )
    with reading(ledger.engine) as connection:
        return {
            (WorkloadKey(namespace, name), objective): (float(good), float(total))
            for namespace, name, objective, good, total in connection.execute(asked)
        }


def declare(ledger: Ledger, declared: Mapping[WorkloadKey, Mapping[str, Any]], at: int) -> None:
    """Note what owners declare from `at` on, where that differs from what was noted last."""
    known = declarations(ledger, at)
    rows = [
        {"namespace": key.namespace, "workload": key.name, "since": at, "declared": json.dumps(part, sort_keys=True)}
        for key, part in declared.items()
        if known.get(key) != json.loads(json.dumps(part))
    ]
    if rows:
        with writing(ledger.engine) as connection:
            connection.execute(insert(declaration), rows)


def declarations(ledger: Ledger, at: int) -> dict[WorkloadKey, dict[str, Any]]:
    """What was declared last of each workload, as of a time."""
    asked = select(declaration).where(declaration.c.since <= at).order_by(declaration.c.since)
    with reading(ledger.engine) as connection:
        return {WorkloadKey(row.namespace, row.workload): json.loads(row.declared) for row in connection.execute(asked)}
