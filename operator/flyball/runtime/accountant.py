"""What the ledger tells the ticks: read once an hour in a thread of its own, beside the loop.

Every hour the KPIs that have a query are read into the ledger, each hour once; then the accounts of every window that
an ROI target names, of all workloads in one go; then how days differed, for the range of the month's forecast, which
is kept once a day and scored when the month is over. A tick takes the newest books, and never waits for them.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import structlog

from flyball.core.money.bill import PathUse
from flyball.core.money.books import Account, Books, Window
from flyball.core.money.budgets import score, spread
from flyball.core.money.meter import milliseconds
from flyball.core.names import Period, WorkloadKey
from flyball.core.periods import begin, end
from flyball.core.ports import OutcomeSource, PortError
from flyball.core.spec import WorkloadSpec
from flyball.core.value.kpi import TIMES
from flyball.core.value.outcomes import Outcome
from flyball.ledger import baselines, forecasts, outcomes
from flyball.ledger.accounts import accounts
from flyball.ledger.calendar import HOUR_MS
from flyball.ledger.currency import currency_of
from flyball.ledger.errors import LedgerError
from flyball.ledger.queries import series
from flyball.ledger.schema import Grain
from flyball.ledger.store import DAY_MS, Ledger
from flyball.runtime.advice import Advice, Seen
from flyball.runtime.aside import Beside, in_thread_of_its_own
from flyball.runtime.news import Status

HOUR_SECONDS, DAY_SECONDS = 3600.0, 86_400.0
LAG_SECONDS = 600.0
"""An hour is read this long after its end: its last five minutes must be written by then, and its metrics scraped."""
RETRY_SECONDS = 60.0
MOST_HOURS = 24
"""Hours that are read back at most when nobody was there to read them."""
READING_SECONDS = 120.0
DAYS_KNOWN = 60
MOST_QUERIES = 200
"""KPIs and guards by PromQL that are asked for in one hour, all workloads together."""

log = structlog.get_logger("flyball.ledger")

Shares = dict[tuple[int, int], dict[tuple[WorkloadKey, str], float]]
"""What guards by a query gave in stretches of time (milliseconds), by workload and guard."""


class Accountant(Beside):
    """Implements `flyball.runtime.advice.Adviser`: it says nothing by itself, its books are what ticks judge by.

    `zone` is that of the ledger's days, as for the bookkeeper.
    """

    def __init__(self, url: str, zone: str, source: OutcomeSource) -> None:
        super().__init__("books")
        self._url, self._zone = url, zone
        self._source = source
        self._books: dict[WorkloadKey, Books] = {}
        self._counted: dict[tuple[WorkloadKey, str], float] = {}
        self._done: tuple[float, frozenset[tuple[str, int]]] = (0.0, frozenset())
        self._not_before = 0.0
        self._problem = ""

    def books(self, key: WorkloadKey) -> Books | None:
        """The newest books of a workload."""
        return self._books.get(key)

    def look(self, at: float, seen: Sequence[Seen]) -> None:
        """Take in a finished tick."""
        declared = frozenset((each.spec.uid, each.spec.generation) for each in seen)
        hour = (at - LAG_SECONDS) // HOUR_SECONDS * HOUR_SECONDS
        if at < self._not_before or (self._done[0] == hour and declared <= self._done[1]):
            return
        self._aside.offer(lambda: self._work(at, hour, tuple(seen), declared))

    def advice(self, spec: WorkloadSpec, before: Status) -> Advice:  # noqa: ARG002 - the port's
        """Nothing beside what decisions are made of."""
        return Advice()

    async def _work(self, at: float, hour: float, seen: Sequence[Seen], declared: frozenset[tuple[str, int]]) -> None:
        specs = [each.spec for each in seen]
        self._not_before = at + RETRY_SECONDS
        try:
            found = await self._ask(specs, hour)
            shares = await self._shares(specs, milliseconds(hour))
            self._books = await in_thread_of_its_own(lambda: self._read(at, hour, seen, found, shares), READING_SECONDS)
        except (PortError, LedgerError, TimeoutError) as error:
            self._tell(str(error) or "reading the ledger took too long")
            return
        self._counted = {(spec.key, kpi.name): hour for spec in specs for kpi in spec.value.kpis if kpi.query}
        self._done = (hour, declared)
        self._tell("")

    async def _ask(self, specs: Sequence[WorkloadSpec], hour: float) -> list[Outcome]:
        """The outcomes of the hours that were not read yet, of KPIs that have a query."""
        found: list[Outcome] = []
        asked = [(spec, kpi) for spec in specs for kpi in spec.value.kpis if kpi.query]
        for spec, kpi in asked[:MOST_QUERIES]:
            since = max(self._counted.get((spec.key, kpi.name), 0.0), hour - MOST_HOURS * HOUR_SECONDS)
            if since >= hour:
                continue
            for start, amount in (await self._source.count(kpi.query, since, hour)).items():
                counted = Decimal(str(round(amount, 3)))
                none = Decimal(0)
                sums = (none, none, counted) if kpi.kind in TIMES else (counted, none, none)
                key = f"query@{start:.0f}"
                found.append(Outcome(spec.key, kpi.name, key, milliseconds(start), *sums))
        if len(asked) > MOST_QUERIES:
            log.warning("KPIs are left out: push their outcomes instead", asked=len(asked), most=MOST_QUERIES)
        return found

    async def _shares(self, specs: Sequence[WorkloadSpec], until: int) -> Shares:
        """What guards gave in the very windows whose outcomes they stand for."""
        found: Shares = {}
        asked = [
            (spec.key, guard, stretch)
            for spec in specs
            for guard in spec.value.guards
            for stretch in sorted(
                {each for target in spec.roi_targets for each in _stretches(target.window_seconds, until)}
            )
            if guard.query
        ]
        for key, guard, (begin_, end_) in asked[:MOST_QUERIES]:
            share = await self._source.share(guard.query, begin_ / 1000, end_ / 1000)
            if share is not None:
                found.setdefault((begin_, end_), {})[key, guard.name] = share
        if len(asked) > MOST_QUERIES:
            log.warning("guards are left out: guard by a KPI instead", asked=len(asked), most=MOST_QUERIES)
        return found

    def _read(
        self, at: float, hour: float, seen: Sequence[Seen], found: Sequence[Outcome], shares: Shares
    ) -> dict[WorkloadKey, Books]:
        ledger = Ledger(self._url, self._zone)
        try:
            _count(ledger, found, {each.spec.key: each.spec for each in seen})
            return _books(ledger, at, hour, seen, shares)
        finally:
            ledger.close()

    def _tell(self, problem: str) -> None:
        """Say once that the books are not read, and once that they are again."""
        if problem and problem != self._problem:
            log.warning("the books are not read: ROI targets by the ledger stay as they were", reason=problem)
        elif not problem and self._problem:
            log.info("the books are read again")
        self._problem = problem


def _stretches(seconds: float, until: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """A window, and as long before it."""
    span = max(HOUR_MS, milliseconds(seconds))
    return (until - span, until), (until - 2 * span, until - span)


def _count(ledger: Ledger, found: Sequence[Outcome], specs: Mapping[WorkloadKey, WorkloadSpec]) -> None:
    """Count what queries gave. Their cases are the requests of the hour; of times, these are the outcomes, too."""
    if not found:
        return
    hours = {each.at for each in found}
    requests: dict[tuple[WorkloadKey, int], Decimal] = {}
    for line in series(ledger, min(hours), max(hours) + 1, Grain.HOUR):
        if isinstance(line.what, PathUse):
            of = (line.key, line.start)
            requests[of] = requests.get(of, Decimal(0)) + line.what.requests
    times = {(key, kpi.name) for key, spec in specs.items() for kpi in spec.value.kpis if kpi.kind in TIMES}
    rows = []
    for each in found:
        cases = max(each.outcomes, requests.get((each.workload, each.at), Decimal(0)))
        outcomes_ = cases if (each.workload, each.kpi) in times else each.outcomes
        rows.append(Outcome(each.workload, each.kpi, each.key, each.at, outcomes_, cases, each.minutes))
    outcomes.record(ledger, rows)


def _books(ledger: Ledger, at: float, hour: float, seen: Sequence[Seen], shares: Shares) -> dict[WorkloadKey, Books]:
    now, until = milliseconds(at), milliseconds(hour)
    specs = [each.spec for each in seen]
    by_window: dict[float, tuple[dict[WorkloadKey, Account], dict[WorkloadKey, Account]]] = {}
    for seconds in sorted({target.window_seconds for spec in specs for target in spec.roi_targets}):
        mine = [spec for spec in specs if any(target.window_seconds == seconds for target in spec.roi_targets)]
        own, before = (
            accounts(ledger, mine, *stretch, now, shares.get(stretch, {})) for stretch in _stretches(seconds, until)
        )
        by_window[seconds] = own, before
    _keep_forecasts(ledger, at, seen)
    known, recorded = forecasts.kept(ledger, now), baselines.newest(ledger)
    rests = _rests(ledger, at)
    return {
        spec.key: Books(
            at,
            tuple(
                Window(seconds, own[spec.key], before.get(spec.key))
                for seconds, (own, before) in by_window.items()
                if spec.key in own
            ),
            rests.get(spec.uid),
            score(list(known.get(spec.uid, {}).values())),
            recorded.get(spec.key),
            currency_of(ledger),
        )
        for spec in specs
    }


def _rests(ledger: Ledger, at: float) -> dict[str, tuple[float, float]]:
    """For each workload (uid) with days enough, how far the rest of its month may be off."""
    today = ledger.calendar.floor(milliseconds(at), Grain.DAY)
    left = (end(Period.MONTH, at) - at) / DAY_SECONDS
    found = {}
    for uid, days in forecasts.by_day(ledger, today - DAYS_KNOWN * DAY_MS, today).items():
        whole = sorted(days)[1:]  # the first day may have begun in the middle
        rest = spread([days[start] for start in whole], left)
        if rest is not None:
            found[uid] = rest
    return found


def _keep_forecasts(ledger: Ledger, at: float, seen: Sequence[Seen]) -> None:
    start, now = milliseconds(begin(Period.MONTH, at)), milliseconds(at)
    found = []
    for each in seen:
        cost = each.decision.cost
        if cost.month_forecast is None or cost.month_low is None or cost.month_high is None:
            continue
        figures = (cost.month_to_date, cost.month_forecast, cost.month_low, cost.month_high)
        found.append(forecasts.Forecast(each.spec.uid, start, now, *map(float, figures)))
    forecasts.keep(ledger, found)
