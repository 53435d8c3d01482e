"""What every workload used and cost, written to the ledger beside the loop: a failing disk never costs a decision.

The loop hands each tick's report over and goes on. A thread of its own reads the meters, writes the periods that ended,
and holds what it could not write until it can. While it can't, and where reports come faster than it writes, reports
are let go: the next one accounts for their time too, from the pods' own times.
"""

import queue
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

import structlog

from flyball.core.money.bill import Entry
from flyball.core.money.currency import DEFAULT_CURRENCY
from flyball.core.money.meter import Meter, begin, close, milliseconds, read
from flyball.core.spec import WorkloadSpec
from flyball.ledger.currency import settle
from flyball.ledger.errors import LedgerError, UnwritableError
from flyball.ledger.store import DAY_MS, Ledger
from flyball.runtime.tick import Outcome, TickReport

REPORTS_WAITING = 2
CLOSE_SECONDS = 5.0

log = structlog.get_logger("flyball.ledger")


@dataclass(slots=True)
class _Account:
    """A workload's meter, and the spec by which it was last read."""

    meter: Meter
    spec: WorkloadSpec


class Bookkeeper:
    """Keeps the ledger at a URL, from `start` to `close`. `zone` is that of its days; empty leaves it to the ledger.
    All money is in `currency`.

    `written` counts the entries that this process wrote, `lost` those that cannot be written at all, and `failing` says
    that the last write, or the opening, went wrong.
    """

    def __init__(self, url: str, zone: str = "", currency: str = DEFAULT_CURRENCY) -> None:
        self._url, self._zone, self._currency = url, zone, currency
        self._reports: queue.Queue[TickReport | None] = queue.Queue(REPORTS_WAITING)
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._ledger: Ledger | None = None
        self._through: dict[str, int] = {}
        self._accounts: dict[str, _Account] = {}
        self._pending: list[Entry] = []
        self._pruned_at = 0
        self.written = 0
        self.lost = 0
        self.failing = False

    def start(self) -> None:
        """Begin to take reports."""
        self._thread.start()

    def take(self, report: TickReport) -> None:
        """Hand a report over. Never waits and never raises."""
        try:
            self._reports.put_nowait(report)
        except queue.Full:
            return  # the next report accounts for this one's time too

    def close(self) -> None:
        """Write what was accounted for, for a few seconds at most, and stop."""
        try:
            self._reports.put(None, timeout=CLOSE_SECONDS)
        except queue.Full:
            return
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while (report := self._reports.get()) is not None:
            try:
                self._account(report)
            except Exception:
                log.exception("a defect of Flyball, please report it: this tick is missing in the ledger")
        self._pending += self._closed(list(self._accounts))
        if self._ledger is not None:
            self._write(self._ledger)
            self._ledger.close()

    def _account(self, report: TickReport) -> None:
        ledger = self._opened()
        if ledger is None or (self._pending and not self._write(ledger)):
            return
        for outcome in report.outcomes:
            self._read(outcome)
        self._pending += self._closed(self._gone(report))
        self._write(ledger)
        self._prune(ledger, milliseconds(report.at))

    def _opened(self) -> Ledger | None:
        """The ledger, opened where it was not yet; None where that fails."""
        if self._ledger is None:
            try:
                ledger = Ledger(self._url, self._zone)
                with ExitStack() as failing:
                    failing.callback(ledger.close)
                    settle(ledger, self._currency)
                    self._through = ledger.through()
                    failing.pop_all()
            except LedgerError as error:
                self._fail(error)
                return None
            self._ledger = ledger
        return self._ledger

    def _read(self, outcome: Outcome) -> None:
        spec, decision = outcome.spec, outcome.decision
        account = self._accounts.get(spec.uid)
        if account is None:
            now = milliseconds(decision.at)
            account = _Account(begin(min(now, self._through.get(spec.uid, now))), spec)
            self._accounts[spec.uid] = account
        arrivals = decision.arrivals_per_second or 0.0
        flows = decision.fallback.flows if decision.fallback else ()
        moved = tuple((backend, arrivals * share) for backend, share in flows)
        account.meter, entries = read(account.meter, spec, outcome.observation, moved)
        account.spec = spec
        self._pending += entries

    def _gone(self, report: TickReport) -> list[str]:
        """The uids of accounts whose workload is no longer declared. One that is invalid, or failed, is still there."""
        seen = {outcome.spec.uid for outcome in report.outcomes} | {invalid.uid for invalid in report.invalid}
        defects = set(report.defects)
        return [uid for uid, account in self._accounts.items() if uid not in seen and account.spec.key not in defects]

    def _closed(self, uids: Iterable[str]) -> list[Entry]:
        """What is open in these accounts, which end."""
        found: list[Entry] = []
        for uid in uids:
            account = self._accounts.pop(uid)
            found += close(account.meter, account.spec)[1]
            self._through[uid] = account.meter.as_of
        return found

    def _write(self, ledger: Ledger) -> bool:
        """Write what is pending; it stays pending where that fails."""
        if not self._pending:
            return True
        try:
            self.written += ledger.append(self._pending)
        except UnwritableError:
            self._write_each(ledger)
        except LedgerError as error:
            self._fail(error)
            return False
        self._pending = []
        if self.failing:
            self.failing = False
            log.info("the ledger is written again")
        return True

    def _write_each(self, ledger: Ledger) -> None:
        """Write what is pending one by one, without those that no database can hold: they must not stop the others."""
        for entry in self._pending:
            try:
                self.written += ledger.append([entry])
            except LedgerError as error:
                self.lost += 1
                log.warning("an entry of the ledger is lost", workload=str(entry.key), error=str(error))

    def _prune(self, ledger: Ledger, now: int) -> None:
        if now - self._pruned_at < DAY_MS:
            return
        try:
            ledger.prune(now)
        except LedgerError as error:
            self._fail(error)
            return
        self._pruned_at = now

    def _fail(self, error: LedgerError) -> None:
        """Say so once, until it works again."""
        if not self.failing:
            self.failing = True
            log.warning("the ledger is not written", error=str(error))
