"""A workload's accounts over whole windows: what the ledger says it cost, and what its outcomes were worth."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import select

from flyball.core.money.bill import Charge, Correction, PathUse, added
from flyball.core.money.books import Account, account
from flyball.core.money.statement import Statement, state
from flyball.core.names import WorkloadKey
from flyball.core.spec import WorkloadSpec
from flyball.core.value.kpi import worth
from flyball.core.value.outcomes import Counted
from flyball.ledger.engine import reading
from flyball.ledger.outcomes import counted
from flyball.ledger.queries import Line, total
from flyball.ledger.schema import Grain, workload
from flyball.ledger.store import Ledger


def statement_of(lines: Sequence[Line]) -> Statement:
    """The statement of one workload's lines, of all objects that had its name if they are of several."""
    whats = [line.what for line in lines]
    return state(
        added((), [what for what in whats if isinstance(what, PathUse)]),
        [what for what in whats if isinstance(what, Charge)],
        [what for what in whats if isinstance(what, Correction)],
    )


def accounts(
    ledger: Ledger,
    specs: Iterable[WorkloadSpec],
    begin: int,
    end: int,
    now: int,
    shares: Mapping[tuple[WorkloadKey, str], float],
    only: WorkloadKey | None = None,
) -> dict[WorkloadKey, Account]:
    """The account of every workload from the hour of `begin` to that of `end`, by name: one that was made anew under
    its name goes on with the account of the old one. `shares` are those of guards with a query, by workload and guard.
    """
    begin, end = (ledger.calendar.floor(at, Grain.HOUR) for at in (begin, end))
    lines: dict[WorkloadKey, list[Line]] = {}
    for line in total(ledger, begin, end, now, only):
        lines.setdefault(line.key, []).append(line)
    sums: dict[WorkloadKey, dict[str, Counted]] = {}
    for (key, name), each in counted(ledger, begin, end, now, only).items():
        sums.setdefault(key, {})[name] = each
    begun = since(ledger)
    found = {}
    for spec in specs:
        own = {guard: share for (key, guard), share in shares.items() if key == spec.key}
        worth_ = worth(spec.value, sums.get(spec.key, {}), own)
        each_request = None if spec.value.in_dollars else spec.value_per_request
        whole = begun.get(spec.key, end) <= begin
        found[spec.key] = account(statement_of(lines.get(spec.key, [])), begin, end, worth_, each_request, whole)
    return found


def since(ledger: Ledger) -> dict[WorkloadKey, int]:
    """Since which hour the ledger holds each workload's costs."""
    found: dict[WorkloadKey, int] = {}
    with reading(ledger.engine) as connection:
        for row in connection.execute(select(workload)):
            key, first = WorkloadKey(row.namespace, row.name), ledger.calendar.floor(row.since, Grain.HOUR)
            found[key] = min(first, found.get(key, first))
    return found
