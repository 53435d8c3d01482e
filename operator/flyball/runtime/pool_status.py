"""What a GPUPool's status says: who has how many GPUs, who is short and why. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from flyball.core.decision import Condition
from flyball.core.names import ConditionType
from flyball.core.pools.gpu_pools import Grant, Pool, Stock
from flyball.core.pools.rationing import GPUS_SHORT
from flyball.core.spec import FieldError
from flyball.core.units import conjoin, counted

# Enough to see who is short; a status must stay far below the size that an object may have.
MOST_WORKLOADS = 100
_NAMED = 5
_COLUMN = 256


def parts(pool: Pool, grants: Sequence[Grant]) -> dict[str, Any]:
    """The status without its conditions. `grants` are those of this pool."""
    ranked = sorted(grants, key=lambda g: (not g.short, -g.ask.priority if g.short else 0, g.ask.key, g.ask.target))
    return {
        "summary": _summary(pool, ranked),
        "accelerators": [_stock(stock, grants) for stock in pool.stocks],
        "workloads": [_workload(grant) for grant in ranked[:MOST_WORKLOADS]],
        "workloadsNotShown": len(ranked) - MOST_WORKLOADS if len(ranked) > MOST_WORKLOADS else None,
    }


def conditions(pool: Pool, pools: Sequence[Pool], grants: Sequence[Grant], uncounted: str) -> list[Condition]:
    """Ready and CapacityAvailable. `uncounted` says why the nodes' GPUs are not known; empty where they are."""
    overlap = "; ".join(_overlaps(pool, pools))
    ready = (
        Condition(ConditionType.READY, False, "Overlaps", overlap)
        if overlap
        else Condition(ConditionType.READY, True, "Reconciled", "the pool is in use")
    )
    return [ready, _capacity(pool, grants, uncounted)]


def invalid(errors: Sequence[FieldError]) -> list[Condition]:
    """The condition of a pool or an event that is not in use because its spec is invalid."""
    text = "; ".join(map(str, errors))[:1024]
    return [Condition(ConditionType.READY, False, "InvalidSpec", text)]


def _capacity(pool: Pool, grants: Sequence[Grant], uncounted: str) -> Condition:
    short = [grant for grant in grants if grant.short]
    if short:
        lacking = sum((grant.ask.desired - grant.replicas) * grant.ask.gpus_per_replica for grant in short)
        keys = sorted({str(grant.ask.key) for grant in short})
        named = keys[:_NAMED] + ([counted(len(keys) - _NAMED, "other workload")] if len(keys) > _NAMED else [])
        verb = "is" if len(keys) == 1 else "are"
        text = f"{conjoin(named)} {verb} short of {counted(lacking, 'GPU')}"
        return Condition(ConditionType.CAPACITY_AVAILABLE, False, GPUS_SHORT, text)
    unknown = [stock.accelerator for stock in pool.stocks if stock.gpus is None]
    if unknown:
        why = uncounted or "the nodes were not counted yet"
        text = f"{conjoin(unknown)}: {why}; until then nobody is limited"
        return Condition(ConditionType.CAPACITY_AVAILABLE, None, "InventoryUnknown", text[:1024])
    return Condition(ConditionType.CAPACITY_AVAILABLE, True, "Enough", "every workload is granted what it asks for")


def _overlaps(pool: Pool, pools: Sequence[Pool]) -> list[str]:
    """For each pool that goes before this one by the rule of `core.pools.gpu_pools.pool_for`, what it takes from it."""
    found = []
    for other in pools:
        shared = [stock.accelerator for stock in pool.stocks if other.stock(stock.accelerator) is not None]
        same = not pool.namespaces and not other.namespaces
        names = sorted(pool.namespaces & other.namespaces)
        if other.name < pool.name and shared and (same or names):
            of = "all namespaces" if same else f"namespace {conjoin(names)}"
            fix = "name other namespaces, or another accelerator, in one of the two"
            found.append(f"{conjoin(shared)} for {of} comes from GPUPool {other.name}, the first by name; {fix}")
    return found


def _summary(pool: Pool, ranked: Sequence[Grant]) -> Mapping[str, str]:
    available = [stock.available for stock in pool.stocks]
    known = sum(count for count in available if count is not None)
    most = str(known) if None not in available else f"at least {known}"
    short = [grant for grant in ranked if grant.short]
    return {
        "granted": f"{sum(grant.gpus for grant in ranked)} of {most}",
        "asked": str(sum(_asked(grant) for grant in ranked)),
        "short": _short(short)[:_COLUMN] if short else "nobody",
    }


def _short(short: Sequence[Grant]) -> str:
    first = short[0]
    text = f"{first.ask.key} {first.gpus} of {_asked(first)}: {first.why}"
    return text if len(short) == 1 else f"{len(short)} targets, first {text}"


def _stock(stock: Stock, grants: Sequence[Grant]) -> dict[str, Any]:
    own = [grant for grant in grants if grant.ask.accelerator == stock.accelerator]
    status = {
        "accelerator": stock.accelerator,
        "capacity": stock.gpus,
        "reserve": stock.reserve,
        "granted": sum(grant.gpus for grant in own),
        "asked": sum(_asked(grant) for grant in own),
    }
    return {key: value for key, value in status.items() if value is not None}


def _workload(grant: Grant) -> dict[str, Any]:
    ask = grant.ask
    status = {
        "namespace": ask.key.namespace,
        "name": ask.key.name,
        "target": ask.target,
        "accelerator": ask.accelerator,
        "priority": ask.priority,
        "granted": grant.gpus,
        "asked": _asked(grant),
        "reason": grant.text[:512] or None,
    }
    return {key: value for key, value in status.items() if value is not None}


def _asked(grant: Grant) -> int:
    return grant.ask.desired * grant.ask.gpus_per_replica
