"""The export holds what FOCUS 1.2 asks for: its columns, its words, its formats, and no dollar twice."""

import csv
import io
import json
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from ledger.entries import DAY, HOUR, KEY, MIDNIGHT, charge, entry, periods, use

from flyball.core.money.bill import Correction
from flyball.ledger.currency import currency_of, settle
from flyball.ledger.focus import COLUMNS, MANDATORY, Issuer, write
from flyball.ledger.queries import series
from flyball.ledger.schema import Grain
from flyball.ledger.store import Ledger

# FOCUS 1.2, specification/columns: "Feature level: Mandatory".
MANDATORY_IN_1_2 = {
    *("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"),
    *("BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodStart", "BillingPeriodEnd"),
    *("ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory", "ChargeClass", "ChargeDescription"),
    *("PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "InvoiceIssuerName"),
    *("ServiceCategory", "ServiceName"),
}
NULLABLE = {"ChargeClass", "PricingQuantity", "PricingUnit"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
NUMBER = re.compile(r"-?\d+(\.\d+)?")
CREDIT = Correction(MIDNIGHT, MIDNIGHT + 40 * DAY, "gpu", Decimal("-2.5"), 'credit, of "November"\nline 2')


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    opened = Ledger(str(tmp_path / "ledger.db"), "Europe/Berlin")
    settle(opened, "EUR")
    unknown = replace(
        entry(MIDNIGHT + HOUR, uid="u-2"), charges=(charge(dollars=None),), uses=(replace(use(), unpriced_ms=0),)
    )
    opened.append([*periods(MIDNIGHT, MIDNIGHT + HOUR), unknown])
    opened.correct(KEY, replace(CREDIT, made_at=MIDNIGHT + DAY))
    opened.correct(KEY, CREDIT)
    return opened


@pytest.fixture
def rows(ledger: Ledger) -> list[dict[str, str]]:
    text = io.StringIO()
    lines = series(ledger, MIDNIGHT - DAY, MIDNIGHT + DAY, Grain.DAY)
    count = write(lines, text, ledger.calendar, Grain.DAY, Issuer("team-ml", "on premises", currency_of(ledger)), 1)
    found = list(csv.DictReader(io.StringIO(text.getvalue())))
    assert len(found) == count
    return found


def test_every_mandatory_column_is_there_once_and_others_are_the_specification_s_or_marked_as_ours() -> None:
    assert set(MANDATORY) == MANDATORY_IN_1_2
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert all(re.fullmatch(r"(x_)?[A-Z][A-Za-z0-9]+", column) for column in COLUMNS)


def test_no_mandatory_column_is_empty_but_those_that_may_be(rows: list[dict[str, str]]) -> None:
    for row in rows:
        assert [column for column in MANDATORY if not row[column] and column not in NULLABLE] == []
        adjusts = row["ChargeCategory"] == "Adjustment"
        assert all(bool(row[column]) is not adjusts for column in ("PricingQuantity", "PricingUnit", "ConsumedUnit"))


def test_formats_and_allowed_words(rows: list[dict[str, str]]) -> None:
    for row in rows:
        assert {row["ChargeCategory"]} <= {"Usage", "Adjustment"}
        assert {row["ChargeFrequency"]} <= {"One-Time", "Recurring", "Usage-Based"}
        assert (row["ServiceCategory"], row["BillingCurrency"]) == ("AI and Machine Learning", "EUR")
        assert all(TIME.fullmatch(row[column]) for column in row if column.endswith(("PeriodStart", "PeriodEnd")))
        assert all(NUMBER.fullmatch(row[column]) for column in row if column.endswith("Cost"))
        assert json.loads(row["Tags"])["workload"] == "chat"
        assert row["BillingPeriodStart"] < row["BillingPeriodEnd"]
        assert row["ChargePeriodStart"] < row["ChargePeriodEnd"]


def test_nothing_is_billed_and_the_effective_costs_are_the_ledger_s(ledger: Ledger, rows: list[dict[str, str]]) -> None:
    assert {(row["BilledCost"], row["InvoiceId"]) for row in rows} == {("0.00", "")}
    cost = sum((Decimal(row["EffectiveCost"]) for row in rows), Decimal(0))
    assert cost == sum((line.dollars for line in series(ledger, 0, MIDNIGHT + DAY, Grain.DAY)), Decimal(0))
    assert all(row["ListCost"] == row["ContractedCost"] == row["EffectiveCost"] for row in rows)


def test_a_day_and_a_month_are_those_of_the_ledger_s_zone(rows: list[dict[str, str]]) -> None:
    usage = next(row for row in rows if row["ChargeCategory"] == "Usage")
    assert (usage["ChargePeriodStart"], usage["ChargePeriodEnd"]) == ("2025-11-24T23:00:00Z", "2025-11-25T23:00:00Z")
    assert (usage["BillingPeriodStart"], usage["BillingPeriodEnd"]) == ("2025-10-31T23:00:00Z", "2025-11-30T23:00:00Z")


def test_a_correction_is_of_that_class_where_its_month_was_over(rows: list[dict[str, str]]) -> None:
    soon, late = (row for row in rows if row["ChargeCategory"] == "Adjustment")
    assert (soon["ChargeClass"], late["ChargeClass"]) == ("", "Correction")
    assert late["BillingPeriodStart"] == "2025-12-31T23:00:00Z"
    assert late["ChargeDescription"].endswith('credit, of "November"\nline 2')
    assert {row["ChargeClass"] for row in rows if row["ChargeCategory"] == "Usage"} == {""}


def test_gpu_time_has_a_row_for_each_state_and_what_has_no_price_is_marked(rows: list[dict[str, str]]) -> None:
    mine = [row for row in rows if row["ResourceId"] == "u-1" and row["x_FlyballComponent"] == "gpu"]
    assert [row["x_FlyballState"] for row in mine if row["ChargeCategory"] == "Usage"] == [
        "serving",
        "idle",
        "loading",
        "unmeasured",
    ]
    missing = {(row["ResourceId"], row["x_FlyballComponent"]): row["x_FlyballPriceMissing"] for row in rows}
    assert (missing["u-2", "logs"], missing["u-1", "logs"], missing["u-2", "gpu"]) == ("true", "false", "false")
