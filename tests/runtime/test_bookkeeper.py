"""The ledger beside the loop: what a tick hands over is accounted for once, whatever stops, fails or is let go."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from core.cases import START, observation, running, spec, variant
from sqlalchemy import text

from flyball.core.decide import decide
from flyball.core.memory import Memory
from flyball.core.money.bill import PathUse
from flyball.core.money.meter import PERIOD_MS, milliseconds
from flyball.core.names import WorkloadKey
from flyball.core.observation import PodSpan
from flyball.core.spec import Invalid, WorkloadSpec
from flyball.ledger.queries import total
from flyball.ledger.store import Ledger
from flyball.runtime.bookkeeper import Bookkeeper
from flyball.runtime.exporter import Tally
from flyball.runtime.operator import _bookkeeper
from flyball.runtime.settings import Settings
from flyball.runtime.tick import Outcome, TickReport
from flyball.telemetry.settings import PrometheusSettings

CHAT = spec()
POD = PodSpan("p", START, START + 60)
DECISION = decide(CHAT, observation(), Memory())[0]
"""What was decided matters to the ledger only by when, and by what overflows: nothing here."""


def report(at: float, *workloads: WorkloadSpec, pods: Sequence[PodSpan] = (POD,), **rest: object) -> TickReport:
    """A tick at which every workload has those pods, ready or loading."""
    outcomes = []
    for workload in workloads or (CHAT,):
        seen = replace(observation(at=at, state=running(len(pods), pods=tuple(pods))), key=workload.key)
        outcomes.append(Outcome(workload, seen, replace(DECISION, at=at)))
    return TickReport(at, tuple(outcomes), (), **rest)  # type: ignore[arg-type]


def gpu_seconds(url: str, uid: str = "uid-1") -> float:
    """GPU-seconds of a workload in the ledger."""
    ledger = Ledger(url)
    begin, end = milliseconds(START) - PERIOD_MS, milliseconds(START) + 10**8
    lines = total(ledger, begin, end, end)
    ledger.close()
    return sum(line.what.gpu_ms for line in lines if isinstance(line.what, PathUse) and line.uid == uid) / 1000


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


def test_what_is_handed_over_until_the_stop_is_written_whether_or_not_reports_were_let_go(url: str) -> None:
    keeper = Bookkeeper(url)
    keeper.start()
    for tick in range(61):
        keeper.take(report(START + 15 * tick))
    keeper.close()
    last_read = (keeper._through["uid-1"] - milliseconds(START)) / 1000
    assert gpu_seconds(url) == last_read > 0
    assert (keeper.failing, keeper.lost) == (False, 0)


@pytest.mark.parametrize("stopped", [pytest.param(True, id="stopped"), pytest.param(False, id="killed")])
def test_another_process_goes_on_where_the_ledger_ends(url: str, stopped: bool) -> None:
    first = Bookkeeper(url)
    for at in range(0, 700, 20):
        first._account(report(START + at))
    if stopped:
        first._pending += first._closed(["uid-1"])
        assert first._write(first._opened() or Ledger(url))
    second = Bookkeeper(url)
    for at in range(1000, 1601, 20):
        second._account(report(START + at))
    second._pending += second._closed(["uid-1"])
    assert second._write(second._opened() or Ledger(url))
    assert gpu_seconds(url) == 1600.0


def test_costs_in_another_currency_than_the_ledger_s_are_not_written(url: str) -> None:
    euros, dollars = Bookkeeper(url, currency="EUR"), Bookkeeper(url)
    for keeper in (euros, dollars):
        for at in (0, 300):
            keeper._account(report(START + at))
    assert (euros.failing, euros.written) == (False, 1)
    assert (dollars.failing, dollars.written) == (True, 0)


def test_a_ledger_that_cannot_be_opened_stops_nobody_and_is_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "late"
    keeper = Bookkeeper(f"sqlite:///{folder / 'ledger.db'}")
    keeper._account(report(START))
    assert keeper.failing
    folder.mkdir()
    for at in (15, 15 + 300):
        keeper._account(report(START + at))
    assert (keeper.failing, keeper.written) == (False, 1)


def test_what_could_not_be_written_is_written_when_it_can_be(url: str) -> None:
    keeper, other = Bookkeeper(url), Ledger(url)
    keeper._account(report(START))
    _rename(other, "usage", "away")
    for at in (300, 600, 900):
        keeper._account(report(START + at))
    assert (keeper.failing, keeper.written) == (True, 0)
    _rename(other, "away", "usage")
    keeper._account(report(START + 1200))
    assert (keeper.failing, keeper.written) == (False, 4)
    other.close()
    assert gpu_seconds(url) == 1200.0


def _rename(ledger: Ledger, old: str, new: str) -> None:
    with ledger.engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


def test_an_absurd_price_costs_its_own_workload_s_entries_and_nobody_else_s(url: str) -> None:
    absurd = replace(spec(variant(price="999999999999")), key=WorkloadKey("shop", "typo"), uid="uid-2")
    keeper = Bookkeeper(url)
    for at in (0, 300):
        keeper._account(report(START + at, CHAT, absurd))
    assert (keeper.failing, keeper.written, keeper.lost) == (False, 1, 1)
    assert (gpu_seconds(url), gpu_seconds(url, "uid-2")) == (300.0, 0.0)


def test_a_workload_that_is_gone_is_accounted_for_until_it_was_last_seen(url: str) -> None:
    keeper = Bookkeeper(url)
    for at in (0, 100, 200):
        keeper._account(report(START + at))
    keeper._account(replace(report(START + 215), outcomes=()))
    assert gpu_seconds(url) == 200.0


@pytest.mark.parametrize(
    "absent",
    [
        pytest.param({"invalid": (Invalid(CHAT.key, CHAT.uid, 2, ()),)}, id="its spec became invalid"),
        pytest.param({"defects": (CHAT.key,)}, id="its evaluation failed"),
    ],
)
def test_a_workload_that_was_not_decided_for_once_is_accounted_for_by_the_next_look(
    url: str, absent: dict[str, object]
) -> None:
    keeper = Bookkeeper(url)
    for at in (0, 100):
        keeper._account(report(START + at))
    keeper._account(replace(report(START + 200), outcomes=(), **absent))  # type: ignore[arg-type]
    keeper._account(report(START + 300))
    assert gpu_seconds(url) == 300.0
    assert keeper._accounts["uid-1"].meter.since == milliseconds(START + 300)


def test_the_operator_keeps_a_ledger_where_its_settings_name_one(url: str) -> None:
    prometheus, tally = PrometheusSettings("http://prometheus:9090"), Tally()
    assert _bookkeeper(Settings(prometheus), tally) is None
    assert tally.ledger_written is None
    with closing(_bookkeeper(Settings(prometheus, ledger=url, ledger_zone="Europe/Berlin"), tally)) as keeper:
        keeper.take(report(START))
        keeper.take(report(START + 300))
    assert (tally.ledger_written(), tally.ledger_lost(), tally.ledger_failing()) == (1, 0, 0)
    assert Ledger(url).calendar.zone.key == "Europe/Berlin"


def test_a_defect_in_one_report_does_not_end_the_thread(url: str) -> None:
    keeper = Bookkeeper(url)
    keeper.start()
    keeper._reports.put(TickReport(START, (None,), ()))  # type: ignore[arg-type]
    keeper._reports.put(report(START))
    keeper._reports.put(report(START + 300))
    keeper.close()
    assert keeper.written == 1
    assert gpu_seconds(url) == 300.0
