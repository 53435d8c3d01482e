"""Forecasts of months, kept as they were made, and what those months did cost; and what every day cost."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select

from flyball.core.money.budgets import PastForecast
from flyball.core.names import Period, WorkloadKey
from flyball.core.periods import end
from flyball.ledger.engine import insert_into, reading, writing
from flyball.ledger.queries import total
from flyball.ledger.schema import Grain, forecast, spent, workload
from flyball.ledger.store import DAY_MS, Ledger


@dataclass(frozen=True, slots=True)
class Forecast:
    """Dollars that the month from `start` on is forecast to cost, as said at `made_at` (milliseconds)."""

    uid: str
    start: int
    made_at: int
    spent: float
    expected: float
    low: float
    high: float


def keep(ledger: Ledger, forecasts: Iterable[Forecast]) -> None:
    """Keep the first forecast of each workload, month and day; what is kept never changes."""
    found = list(forecasts)
    if not found:
        return
    with writing(ledger.engine) as connection:
        ids = {row.uid: row.id for row in connection.execute(select(workload.c.uid, workload.c.id))}
        rows = [
            {
                "workload_id": ids[each.uid],
                "start": each.start,
                "made_at": each.made_at - each.made_at % DAY_MS,
                **{name: _thousandths(getattr(each, name)) for name in ("spent", "expected", "low", "high")},
            }
            for each in found
            if each.uid in ids
        ]
        if rows:
            connection.execute(insert_into(connection, forecast).on_conflict_do_nothing(), rows)


def kept(ledger: Ledger, now: int, only: WorkloadKey | None = None) -> dict[str, dict[int, list[PastForecast]]]:
    """The forecasts of months that are over, by uid and month, with what those months did cost."""
    found: dict[str, dict[int, list[PastForecast]]] = {}
    with reading(ledger.engine) as connection:
        asked = select(forecast, workload.c.uid).join(workload).order_by(forecast.c.made_at)
        if only is not None:
            asked = asked.where(workload.c.namespace == only.namespace, workload.c.name == only.name)
        rows = connection.execute(asked).all()
    costs: dict[int, dict[str, float]] = {}
    for row in rows:
        until = month_end(row.start)
        if until > now:
            continue
        if row.start not in costs:
            costs[row.start] = {}
            for line in total(ledger, row.start, until, now, only):
                costs[row.start][line.uid] = costs[row.start].get(line.uid, 0.0) + float(line.dollars)
        said = (float(row.expected), float(row.low), float(row.high))
        past = PastForecast(*said, costs[row.start].get(row.uid, 0.0))
        found.setdefault(row.uid, {}).setdefault(row.start, []).append(past)
    return found


def by_day(ledger: Ledger, begin: int, end_: int) -> dict[str, dict[int, float]]:
    """Dollars of each day that begins from `begin` (inclusive) to `end_`, by uid and the day's beginning."""
    asked = select(spent.c.workload_id, spent.c.start, spent.c.dollars)
    asked = asked.where(spent.c.grain == Grain.DAY, spent.c.start >= begin, spent.c.start < end_)
    found: dict[int, dict[int, float]] = {}
    with reading(ledger.engine) as connection:
        uids = {row.id: row.uid for row in connection.execute(select(workload.c.id, workload.c.uid))}
        for id_, start, dollars in connection.execute(asked).all():
            found.setdefault(id_, {})[start] = float(dollars)
    return {uids[id_]: days for id_, days in found.items()}


def month_end(start: int) -> int:
    """Where the month (UTC) ends that begins at `start`, in milliseconds."""
    return round(end(Period.MONTH, start / 1000) * 1000)


def _thousandths(dollars: float) -> Decimal:
    return Decimal(str(round(dollars, 3)))
