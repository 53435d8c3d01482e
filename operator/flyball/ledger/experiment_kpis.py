"""KPIs of experiments in the ledger: what was registered of them, as JSON, and their outcomes in a block's hours.

Outcomes are kept by the hour of the time that their record names: when the case began, whenever it was reported. Of a
block count the hours that lie wholly after its washout and before its end.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from flyball.core.evidence.experiment import Arm, Block, Measured, Plan
from flyball.core.evidence.experiment_kpi import Defined, difference, lacking
from flyball.core.evidence.experiment_sources import KpiPlan, KpiSource
from flyball.core.names import KpiKind, WorkloadKey
from flyball.core.value.kpi import Guard
from flyball.core.value.outcomes import Counted
from flyball.ledger.calendar import HOUR_MS
from flyball.ledger.outcomes import by_hour
from flyball.ledger.schema import Grain
from flyball.ledger.store import KEPT_MS, Ledger

_COUNTS = ("outcomes", "cases", "minutes", "came_back", "failed")


def hours_of(ledger: Ledger, plan: Plan, block: Block) -> tuple[int, int]:
    """The stretch of whole hours that counts."""
    first = ledger.calendar.ceil(block.counted_from(plan), Grain.HOUR)
    return first, max(first, ledger.calendar.floor(block.end, Grain.HOUR))


def outcomes_of(
    ledger: Ledger, sources: Sequence[KpiSource], first: int, last: int, measured: float = 0.0
) -> Counted | None:
    """What was counted in those hours. None where queries gave a figure for less than that share of them: an hour that
    nobody measured is not one without outcomes, while of what is pushed it is.
    """
    total, known = Counted(), [0]
    for source in sources:
        found = by_hour(ledger, source.workload, first, last).get(source.kpi, {})
        known.append(len(found) if source.query else (last - first) // HOUR_MS)
        for each in found.values():
            total = total.plus(each)
    return total if max(known) * HOUR_MS >= measured * (last - first) else None


def late(ledger: Ledger, plan: Plan, kpis: KpiPlan, blocks: Sequence[Measured], now: int) -> dict[str, tuple[int, int]]:
    """Of each KPI, in how many blocks outcomes changed after the block was measured, and how many cases came then.
    Blocks whose hours were dropped since are left out.
    """
    found: dict[str, tuple[int, int]] = {}
    for each in blocks:
        first, last = hours_of(ledger, plan, each.block)
        if first < now - KEPT_MS[Grain.HOUR]:
            continue
        for name, before in each.kpis.items():
            after = outcomes_of(ledger, kpis.sources.get((each.block.arm, name), ()), first, last) or Counted()
            if any(getattr(after, part) != getattr(before, part) for part in ("outcomes", "cases", "minutes")):
                count, cases = found.get(name, (0, 0))
                found[name] = (count + 1, cases + max(0, round(after.cases - before.cases)))
    return found


def past_differences(ledger: Ledger, keys: Sequence[WorkloadKey], plan: Plan, now: int, length: int) -> list[float]:
    """By how much a KPI of these workloads differed between neighbouring blocks of late, as its effects are said. It is
    one of minutes where minutes were reported.
    """
    sources = [KpiSource(key, plan.baseline.kpi or plan.kpi) for key in keys]
    first = (now - length) // plan.block_ms * plan.block_ms
    starts = range(first, now - plan.block_ms, plan.block_ms)
    blocks = [Block(0, 0, Arm.BASELINE, start, start + plan.block_ms) for start in starts]
    found = [outcomes_of(ledger, sources, *hours_of(ledger, plan, block)) for block in blocks]
    timed = any(each is not None and each.minutes for each in found)
    defined = Defined(KpiKind.HANDLE_TIME if timed else KpiKind.CUSTOM)
    return [
        difference(defined, one, other, plan.points)
        for one, other in zip(found[::2], found[1::2], strict=False)
        if one is not None and other is not None and not (lacking(defined, one) or lacking(defined, other))
    ]


def counts_to_json(counts: Counted) -> dict[str, str]:
    """Sums as JSON."""
    return {name: f"{getattr(counts, name):f}" for name in _COUNTS}


def counts_of(found: Mapping[str, str]) -> Counted:
    """Sums of JSON."""
    outcomes, cases, minutes, came_back, failed = (Decimal(found[name]) for name in _COUNTS)
    return Counted(outcomes, cases, minutes, came_back, failed)


def written(kpis: KpiPlan) -> str:
    """What is registered of KPIs, as JSON."""
    document: dict[str, Any] = {
        "known": {
            name: {"kind": str(each.kind), "guard": asdict(each.guard) if each.guard else None}
            for name, each in kpis.known.items()
        },
        "sources": [
            [str(arm), name, [[each.workload.namespace, each.workload.name, each.kpi, each.query] for each in found]]
            for (arm, name), found in kpis.sources.items()
        ],
    }
    return json.dumps(document if kpis.known else {})


def kpis_of(text: str) -> KpiPlan:
    """The same of JSON."""
    document = json.loads(text)
    known = {
        name: Defined(KpiKind(each["kind"]), Guard(**each["guard"]) if each["guard"] else None)
        for name, each in document.get("known", {}).items()
    }
    sources = {
        (Arm(arm), name): tuple(
            KpiSource(WorkloadKey(namespace, workload), kpi, query) for namespace, workload, kpi, query in found
        )
        for arm, name, found in document.get("sources", [])
    }
    return KpiPlan(known, sources)
