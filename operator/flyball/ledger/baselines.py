"""Baselines in the ledger: kept as they were recorded; the newest of a workload is the one that counts."""

import json
from decimal import Decimal

from sqlalchemy import Row, func, insert, select

from flyball.core.names import WorkloadKey
from flyball.core.value.baseline import Baseline
from flyball.ledger.engine import reading, writing
from flyball.ledger.schema import baseline
from flyball.ledger.store import Ledger


def keep(ledger: Ledger, key: WorkloadKey, found: Baseline) -> None:
    """Add a baseline. Those before it stay."""
    figures = {
        "requests": str(found.requests),
        "costPerRequest": str(found.cost_per_request),
        "costToServe": str(found.cost_to_serve),
        "valueCostRatio": found.value_cost_ratio,
        "kpis": dict(found.kpis),
        "paths": [[path, str(requests), str(dollars)] for path, requests, dollars in found.paths],
        "fixed": str(found.fixed),
        "labor": str(found.labor),
        "value": str(found.value),
    }
    with writing(ledger.engine) as connection:
        last = connection.scalar(select(func.coalesce(func.max(baseline.c.id), 0))) or 0
        row = {
            "id": last + 1,
            "namespace": key.namespace,
            "workload": key.name,
            "made_at": found.made_at,
            "start": found.begin,
            "until": found.end,
            "fingerprint": found.fingerprint,
            "figures": json.dumps(figures),
            "note": found.note,
        }
        connection.execute(insert(baseline), [row])


def newest(ledger: Ledger) -> dict[WorkloadKey, Baseline]:
    """The last baseline of every workload."""
    return {key: found[-1] for key, found in recorded(ledger).items()}


def recorded(ledger: Ledger, only: WorkloadKey | None = None) -> dict[WorkloadKey, list[Baseline]]:
    """All baselines, by workload, oldest first."""
    asked = select(baseline).order_by(baseline.c.id)
    if only is not None:
        asked = asked.where(baseline.c.namespace == only.namespace, baseline.c.workload == only.name)
    found: dict[WorkloadKey, list[Baseline]] = {}
    with reading(ledger.engine) as connection:
        for row in connection.execute(asked):
            found.setdefault(WorkloadKey(row.namespace, row.workload), []).append(_read(row))
    return found


def _read(row: "Row[tuple[object, ...]]") -> Baseline:
    figures = json.loads(row.figures)
    return Baseline(
        row.start,
        row.until,
        row.made_at,
        row.fingerprint,
        Decimal(figures["requests"]),
        Decimal(figures["costPerRequest"]),
        Decimal(figures["costToServe"]),
        figures["valueCostRatio"],
        tuple(sorted(figures["kpis"].items())),
        row.note,
        tuple((path, Decimal(requests), Decimal(dollars)) for path, requests, dollars in figures.get("paths", ())),
        *(Decimal(figures.get(name, "0")) for name in ("fixed", "labor", "value")),
    )
