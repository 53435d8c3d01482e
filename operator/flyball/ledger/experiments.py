"""Experiments in the ledger: registered once, blocks added as they end, one decision, nothing ever changed."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select

from flyball.core.evidence.experiment import Arm, Block, Measured, Metric, Plan
from flyball.core.evidence.experiment_sources import KpiPlan
from flyball.core.evidence.experiment_verdict import Judgement
from flyball.core.names import WorkloadKey
from flyball.ledger.accounts import statement_of
from flyball.ledger.engine import reading, writing
from flyball.ledger.evidence import experiment, experiment_block, experiment_decision
from flyball.ledger.experiment_kpis import counts_of, counts_to_json, kpis_of, written
from flyball.ledger.queries import total
from flyball.ledger.store import Ledger


@dataclass(frozen=True, slots=True)
class Registered:
    """An experiment as it was registered: `spec` is its JSON, `start` when its first block begins (milliseconds), and
    `kpis` what its KPIs meant.
    """

    uid: str
    key: WorkloadKey
    registered_at: int
    start: int
    spec_hash: str
    spec: str
    kpis: KpiPlan = field(default_factory=KpiPlan)


@dataclass(frozen=True, slots=True)
class Decided:
    """The decision of an experiment: when, and the judgement as JSON."""

    decided_at: int
    verdict: str
    judgement: dict[str, Any]


def register(ledger: Ledger, new: Registered) -> Registered:
    """Register an experiment; returns what is registered under its uid, which is an earlier one where there is."""
    with writing(ledger.engine) as connection:
        known = _one(connection, select(experiment).where(experiment.c.uid == new.uid))
        if known is not None:
            return _registered(known)
        row = {name: getattr(new, name) for name in ("uid", "registered_at", "start", "spec_hash", "spec")}
        row |= {"namespace": new.key.namespace, "name": new.key.name, "kpis": written(new.kpis)}
        connection.execute(insert(experiment), [row])
    return new


def find(ledger: Ledger, uid: str) -> Registered | None:
    """What is registered under a uid."""
    with reading(ledger.engine) as connection:
        known = _one(connection, select(experiment).where(experiment.c.uid == uid))
    return None if known is None else _registered(known)


def listed(ledger: Ledger, key: WorkloadKey | None = None) -> list[Registered]:
    """All that were registered, or those of one name: the newest first."""
    asked = select(experiment).order_by(experiment.c.registered_at.desc())
    if key is not None:
        asked = asked.where(experiment.c.namespace == key.namespace, experiment.c.name == key.name)
    with reading(ledger.engine) as connection:
        return [_registered(row) for row in connection.execute(asked)]


def add_blocks(ledger: Ledger, uid: str, found: Sequence[Measured]) -> int:
    """Add what blocks showed; one that is there already stays as it was. Returns how many were new."""
    with writing(ledger.engine) as connection:
        asked = select(experiment_block.c.pair, experiment_block.c.place).where(experiment_block.c.uid == uid)
        known = {(row.pair, row.place) for row in connection.execute(asked)}
        rows = [
            {"uid": uid, "pair": each.block.pair, "place": each.block.place, "measured": json.dumps(to_json(each))}
            for each in found
            if (each.block.pair, each.block.place) not in known
        ]
        if rows:
            connection.execute(insert(experiment_block), rows)
    return len(rows)


def blocks(ledger: Ledger, uid: str) -> list[Measured]:
    """What all blocks showed, in their order."""
    asked = select(experiment_block).where(experiment_block.c.uid == uid)
    with reading(ledger.engine) as connection:
        rows = connection.execute(asked.order_by(experiment_block.c.pair, experiment_block.c.place))
        return [_measured(row.pair, row.place, json.loads(row.measured)) for row in rows]


def decide(ledger: Ledger, uid: str, at: int, judgement: Judgement) -> Decided:
    """Write the decision; returns the one that stands, which is an earlier one where there is."""
    with writing(ledger.engine) as connection:
        known = _one(connection, select(experiment_decision).where(experiment_decision.c.uid == uid))
        if known is None:
            document = asdict(judgement) | {"high": min(judgement.high, 1e6)}
            row = {"uid": uid, "decided_at": at, "verdict": str(judgement.verdict), "judgement": json.dumps(document)}
            connection.execute(insert(experiment_decision), [row])
            return Decided(at, str(judgement.verdict), document)
    return Decided(known.decided_at, known.verdict, json.loads(known.judgement))


def decision(ledger: Ledger, uid: str) -> Decided | None:
    """The decision of an experiment; None while it runs."""
    with reading(ledger.engine) as connection:
        known = _one(connection, select(experiment_decision).where(experiment_decision.c.uid == uid))
    return None if known is None else Decided(known.decided_at, known.verdict, json.loads(known.judgement))


def spent(
    ledger: Ledger, keys: Sequence[WorkloadKey], targets: Sequence[str], begin: int, end: int, now: int
) -> tuple[Decimal, Decimal, Decimal, int, tuple[str, ...]]:
    """Dollars, requests and tokens of those workloads between two times, of all their paths or of `targets` only;
    the least milliseconds for which a path's requests were measured; and what has no price.
    """
    dollars = requests = tokens = Decimal(0)
    measured, unpriced = [], list[str]()
    for key in keys:
        made = statement_of(total(ledger, begin, end, now, key))
        paths = [path for path in made.paths if not targets or path.path in targets]
        dollars += sum((path.dollars for path in paths), Decimal(0))
        dollars += Decimal(0) if targets else made.unshared + made.corrected
        requests += sum((path.use.requests for path in paths), Decimal(0))
        tokens += sum((path.use.prompt_tokens + path.use.output_tokens for path in paths), Decimal(0))
        measured.append(max((path.use.measured_ms for path in paths), default=0))
        unpriced += [name for name, _ in made.unpriced]
        unpriced += ["gpu"] if any(path.use.unpriced_ms for path in paths) else []
    return dollars, requests, tokens, min(measured, default=0), tuple(unpriced)


def past_differences(ledger: Ledger, keys: Sequence[WorkloadKey], plan: Plan, now: int, length: int) -> list[float]:
    """By how much neighbouring blocks differed of late, as logarithms of the cost per request (or per token)."""
    first = (now - length) // plan.block_ms * plan.block_ms
    values: list[float | None] = []
    for start in range(first, now - plan.block_ms, plan.block_ms):
        dollars, requests, tokens, _, unpriced = spent(
            ledger, keys, plan.baseline.targets, start + plan.washout_ms, start + plan.block_ms, now
        )
        divisor = tokens if plan.metric is Metric.COST_PER_MILLION_TOKENS else requests
        values.append(float(dollars / divisor) if divisor > 0 and dollars > 0 and not unpriced else None)
    pairs = zip(values[::2], values[1::2], strict=False)
    return [math.log(second / first_) for first_, second in pairs if first_ is not None and second is not None]


def to_json(each: Measured) -> dict[str, Any]:
    """What a block showed, as JSON."""
    return {
        "arm": str(each.block.arm),
        "start": each.block.start,
        "end": each.block.end,
        "dollars": f"{each.dollars:f}",
        "requests": f"{each.requests:f}",
        "tokens": f"{each.tokens:f}",
        "objectives": {name: list(counts) for name, counts in each.objectives.items()},
        "kpis": {name: counts_to_json(found) for name, found in each.kpis.items()},
        "unusable": each.unusable,
    }


def _measured(pair: int, place: int, found: dict[str, Any]) -> Measured:
    return Measured(
        block=Block(pair, place, Arm(found["arm"]), found["start"], found["end"]),
        dollars=Decimal(found["dollars"]),
        requests=Decimal(found["requests"]),
        tokens=Decimal(found["tokens"]),
        objectives={name: (good, all_) for name, (good, all_) in found["objectives"].items()},
        kpis={name: counts_of(counts) for name, counts in found.get("kpis", {}).items()},
        unusable=found["unusable"],
    )


def _one(connection: Connection, asked: Select[Any]) -> Row[Any] | None:
    return connection.execute(asked).one_or_none()


def _registered(row: Row[Any]) -> Registered:
    key = WorkloadKey(row.namespace, row.name)
    return Registered(row.uid, key, row.registered_at, row.start, row.spec_hash, row.spec, kpis_of(row.kpis))
