"""Accounts of windows, baselines and forecasts come out of the ledger as they went in; on both databases."""

from dataclasses import replace
from decimal import Decimal

from core.cases import spec
from ledger.entries import DAY, HOUR, KEY, MIDNIGHT, PERIOD, entry, use

from flyball.core.money.bill import Charge, Entry
from flyball.core.money.budgets import PastForecast
from flyball.core.names import KpiKind, WorkloadKey
from flyball.core.spec import Unit
from flyball.core.value.baseline import Baseline
from flyball.core.value.kpi import Kpi, Value
from flyball.core.value.outcomes import Outcome
from flyball.ledger import baselines, forecasts
from flyball.ledger.accounts import accounts
from flyball.ledger.outcomes import record
from flyball.ledger.store import Ledger

CHAT = spec(value=Value((Kpi("deflections", KpiKind.CUSTOM, worth=Decimal(4)),)))
NOW = MIDNIGHT + 2 * DAY


def hour(start: int, *, uid: str = "u-1", serving: str = "3") -> Entry:
    """An hour: some dollars of serving, one of idling, a cent by request, two dollars by the hour; 100 requests."""
    used = replace(use(), serving=Decimal(serving), idle=Decimal(1), loading=Decimal(0), unmeasured=Decimal(0),
                   requests=Decimal(100), unpriced_ms=0)  # fmt: skip
    charges = (
        Charge("logs", "Observability", "gpu", Unit.REQUEST, Decimal(100), Decimal(1)),
        Charge("vectors", "VectorDatabase", "(all)", Unit.HOUR, Decimal(1), Decimal(2)),
    )
    return Entry(KEY, uid, start, start + PERIOD, (used,), charges)


def test_a_window_has_what_requests_cause_apart_from_the_rest_and_what_outcomes_were_worth(ledger: Ledger) -> None:
    ledger.append([hour(MIDNIGHT), hour(MIDNIGHT + HOUR), hour(MIDNIGHT + 5 * HOUR)])
    record(ledger, [Outcome(KEY, "deflections", str(n), MIDNIGHT + HOUR + n) for n in range(7)])
    found = accounts(ledger, [CHAT], MIDNIGHT, MIDNIGHT + 2 * HOUR, NOW, {})[KEY]
    assert (found.requests, found.serving, found.fixed, found.value) == (200, 8, 6, 28)
    assert [(path.path, path.dollars) for path in found.paths] == [("gpu", 8)]
    assert found.whole
    assert not found.unpriced


def test_a_window_from_before_the_ledger_is_not_whole(ledger: Ledger) -> None:
    ledger.append([hour(MIDNIGHT + 2 * HOUR)])
    assert not accounts(ledger, [CHAT], MIDNIGHT + HOUR, NOW, NOW, {})[KEY].whole
    assert accounts(ledger, [CHAT], MIDNIGHT + 2 * HOUR, NOW, NOW, {})[KEY].whole
    other = replace(CHAT, key=WorkloadKey("shop", "new"))
    assert not accounts(ledger, [other], MIDNIGHT, NOW, NOW, {})[other.key].whole


def test_a_workload_made_anew_goes_on_with_the_account_of_its_name(ledger: Ledger) -> None:
    ledger.append([hour(MIDNIGHT), hour(MIDNIGHT + HOUR, uid="u-2")])
    assert accounts(ledger, [CHAT], MIDNIGHT, MIDNIGHT + DAY, NOW, {})[KEY].requests == 200


def test_what_has_no_price_is_named(ledger: Ledger) -> None:
    lacking = replace(hour(MIDNIGHT).uses[0], unpriced_ms=3_600_000)
    ledger.append([replace(entry(MIDNIGHT), uses=(lacking,), charges=())])
    assert accounts(ledger, [CHAT], MIDNIGHT, NOW, NOW, {})[KEY].unpriced == ("1.00 GPU hours",)


def test_the_newest_baseline_counts_and_all_stay(ledger: Ledger) -> None:
    first = Baseline(
        MIDNIGHT, NOW, NOW, "abc", Decimal("12.5"), Decimal("0.1"), Decimal("0.2"), None, (("d", 0.25),), "before",
        (("gpu", Decimal("12.5"), Decimal("1.00000001")),), Decimal("0.2"), Decimal("1.25"), Decimal(3),
    )  # fmt: skip
    second = replace(first, value_cost_ratio=2.5, made_at=NOW + 1, kpis=())
    for each in (first, second):
        baselines.keep(ledger, KEY, each)
    baselines.keep(ledger, WorkloadKey("shop", "search"), first)
    assert baselines.newest(ledger)[KEY] == second
    assert baselines.recorded(ledger, KEY) == {KEY: [first, second]}


def test_the_first_forecast_of_a_day_is_kept_and_scored_when_its_month_is_over(ledger: Ledger) -> None:
    november, december = 1_761_955_200_000, 1_764_547_200_000  # 2025-11-01, 2025-12-01
    ledger.append([hour(MIDNIGHT), hour(MIDNIGHT + HOUR)])
    made = forecasts.Forecast("u-1", november, MIDNIGHT + HOUR, 5.0, 20.0, 10.0, 30.0)
    forecasts.keep(ledger, [made, replace(made, uid="never seen")])
    forecasts.keep(ledger, [replace(made, made_at=MIDNIGHT + 2 * HOUR, expected=99.0)])
    forecasts.keep(ledger, [replace(made, start=december, made_at=december)])
    assert forecasts.kept(ledger, december - 1) == {}
    expected = {"u-1": {november: [PastForecast(20.0, 10.0, 30.0, 14.0)]}}
    assert forecasts.kept(ledger, december + DAY) == expected
    assert forecasts.kept(ledger, december + DAY, WorkloadKey("a", "b")) == {}


def test_what_each_day_cost(ledger: Ledger) -> None:
    ledger.append([hour(MIDNIGHT), hour(MIDNIGHT + HOUR), hour(MIDNIGHT + DAY)])
    assert forecasts.by_day(ledger, MIDNIGHT, NOW) == {"u-1": {MIDNIGHT: 14.0, MIDNIGHT + DAY: 7.0}}
    assert forecasts.by_day(ledger, MIDNIGHT, MIDNIGHT + DAY) == {"u-1": {MIDNIGHT: 14.0}}
