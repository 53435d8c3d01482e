"""Reviews of a ledger: the periods they cover, what they say, that they are kept as made, and decisions beside them."""

from dataclasses import replace
from decimal import Decimal

import pytest
from core.cases import objective, spec
from ledger.entries import DAY
from ledger.weeks import BATCH, CHAT, MONDAY, fill, split

from flyball.core.evidence.review_figures import Kind
from flyball.core.names import WorkloadKey
from flyball.core.spec import WorkloadSpec
from flyball.ledger.attainment import attained, declarations, declare
from flyball.ledger.calendar import Calendar
from flyball.ledger.errors import LedgerError
from flyball.ledger.reviews import Decision, before, decide, decisions, find, keep, listed, make, named, period_of
from flyball.ledger.schema import Grain
from flyball.ledger.store import Ledger

NOW = MONDAY + 14 * DAY
LAST_WEEK = named(Calendar.of("UTC"), "weekly-2025-W49")
NOVEMBER = named(Calendar.of("UTC"), "monthly-2025-11")


def declared(key: WorkloadKey, worth: str | None = None, name: str = "first-token") -> WorkloadSpec:
    each = None if worth is None else Decimal(worth)
    return replace(spec(objectives=(objective(name, 0.95),), value_per_request=each), key=key)


SPECS = [declared(CHAT, "0.02"), declared(BATCH, "0.001", "whole")]


@pytest.mark.parametrize(
    ("zone", "name", "begin", "days"),
    [
        pytest.param("UTC", "weekly-2025-W48", MONDAY, 7, id="a week from Monday on"),
        pytest.param("UTC", "weekly-2026-W01", MONDAY + 35 * DAY, 7, id="the first week of a year begins in the last"),
        pytest.param("UTC", "monthly-2028-02", 21_215 * DAY, 29, id="a leap February"),
        pytest.param("Europe/Berlin", "weekly-2025-W43", MONDAY - 35 * DAY - 7_200_000, 7 + 1 / 24, id="an hour more"),
    ],
)
def test_periods_are_whole_days_of_the_ledger(zone: str, name: str, begin: int, days: float) -> None:
    calendar = Calendar.of(zone)
    found = named(calendar, name)
    assert (found.name, found.begin) == (name, begin)
    assert found.end - found.begin == round(days * DAY)
    assert period_of(calendar, found.kind, found.end - 1) == found
    assert before(calendar, found).end == found.begin


@pytest.mark.parametrize("name", ["weekly", "weekly-2025-W60", "daily-2025-11-01", "monthly-2025-13", ""])
def test_a_name_that_means_no_period_is_refused_with_an_example(name: str) -> None:
    with pytest.raises(LedgerError, match="write for example weekly-2026-W48"):
        named(Calendar.of("UTC"), name)


def test_a_week_says_what_it_cost_against_the_week_before(ledger: Ledger) -> None:
    fill(ledger, MONDAY, NOW)
    found = make(ledger, LAST_WEEK, SPECS, NOW)
    chat, batch = found["workloads"]
    assert (chat["name"], batch["name"], found["dollars"]) == ("chat", "batch", "1209.60")
    assert (chat["dollars"], chat["requests"]) == ("705.60", 201_600.0)
    assert chat["change"] == {"dollars": 0.0, "requests": 0.0909, "perRequest": -0.0833}
    assert len(chat["trend"]) == 2
    assert chat["objectives"] == [
        {"name": "first-token", "attained": 0.96, "target": 0.95, "met": True, "before": 0.94}
    ]
    assert [(each["path"], each["share"]) for each in chat["cohorts"]] == [("gpu", 0.916667), ("previous", 0.083333)]
    assert batch["proposals"][0]["action"] == "LowerMinReplicas"
    assert batch["proposals"][0]["dollars"] == "462.00"
    assert found["waste"] == "630.00"


def test_a_week_says_where_its_money_went_by_segment_and_that_closes(ledger: Ledger) -> None:
    fill(ledger, MONDAY, NOW)
    split(ledger, MONDAY, NOW)
    found = make(ledger, LAST_WEEK, SPECS, NOW)
    [part] = found["segments"]
    rows = {row["name"]: row for row in part["rows"]}
    assert (part["label"], part["told"], part["dollars"]) == ("tenant", 12, found["dollars"])
    assert sum(Decimal(row["dollars"]) for row in part["rows"]) == Decimal(found["dollars"])
    assert [*rows][-5:] == ["(other)", "(unattributed)", "(not split)", "(idle)", "(loading)"]
    assert (rows["tenant-00"]["dollars"], rows["tenant-00"]["change"]) == ("14.00", 1.0)
    assert rows["(other)"]["dollars"] == "1.22"  # seven days of 1/11 and 1/12
    chat, batch = found["workloads"]
    assert Decimal(chat["segments"][0]["dollars"]) == Decimal(chat["dollars"])
    assert sum(Decimal(row["dollars"]) for row in chat["segments"][0]["rows"]) == Decimal(chat["dollars"])
    assert batch["segments"] == []


def test_a_week_that_goes_on_closes_too(ledger: Ledger) -> None:
    now = NOW - 2 * DAY
    fill(ledger, MONDAY, now)
    split(ledger, MONDAY, now)
    found = make(ledger, LAST_WEEK, SPECS, now)
    [part] = found["segments"]
    assert sum(Decimal(row["dollars"]) for row in part["rows"]) == Decimal(found["dollars"])
    assert next(row["dollars"] for row in part["rows"] if row["name"] == "tenant-00") == "10.00"


def test_a_missed_objective_with_idle_gpus_is_not_mended_by_more_of_them(ledger: Ledger) -> None:
    fill(ledger, MONDAY, NOW)
    week = before(ledger.calendar, LAST_WEEK)
    found = make(ledger, week, SPECS, NOW)
    chat = found["workloads"][0]
    assert [each["action"] for each in chat["proposals"]] == ["AddCapacity"]
    assert chat["utilization"] == pytest.approx(0.759, abs=0.001)
    assert "first-token attained 94.00% of 95.00% with busy GPUs" in chat["proposals"][0]["text"]


def test_a_month_says_what_to_scale_and_to_retire_and_why_not(ledger: Ledger) -> None:
    fill(ledger, MONDAY - 70 * DAY, NOW)
    october = make(ledger, before(ledger.calendar, NOVEMBER), SPECS, NOW)
    assert keep(ledger, october, NOW)
    found = {each["name"]: each for each in make(ledger, NOVEMBER, SPECS, NOW)["workloads"]}
    assert (found["chat"]["recommendation"]["action"], found["batch"]["recommendation"]["action"]) == (
        "Scale",
        "Retire",
    )
    assert found["chat"]["value"] == f"{found['chat']['requests'] * 0.02:.2f}"
    compared = {each["of"]: each for each in found["chat"]["forecast"]}
    assert set(compared) == {"cost", "requests", "first-token"}
    assert compared["requests"]["error"] > 0.1, "it grows by a tenth a week, which the last review did not foresee"
    assert found["chat"]["routes"]["rows"] == []
    unproven = make(ledger, NOVEMBER, [declared(CHAT)], NOW)["workloads"]
    assert {each["recommendation"]["action"] for each in unproven} == {"Unproven"}


def test_a_month_judges_what_a_label_tells_apart(ledger: Ledger) -> None:
    fill(ledger, MONDAY - 70 * DAY, NOW)
    split(ledger, MONDAY - 30 * DAY, MONDAY)
    chat = make(ledger, NOVEMBER, SPECS, NOW, ("tenant",))["workloads"][0]
    assert len(chat["routes"]["rows"]) == 10
    assert {row["action"] for row in chat["routes"]["rows"]} <= {"Scale", "Re-architect", "Retire", "Keep"}
    assert "segments" in chat


def test_a_review_is_kept_as_it_was_made(ledger: Ledger) -> None:
    fill(ledger, MONDAY, NOW)
    made = make(ledger, LAST_WEEK, SPECS, NOW)
    assert keep(ledger, made, NOW)
    fill(ledger, NOW, NOW + DAY)
    assert not keep(ledger, {**made, "dollars": "0.00"}, NOW + DAY)
    assert find(ledger, "weekly-2025-W49") == made
    assert [each["id"] for each in listed(ledger)] == ["weekly-2025-W49"]
    assert find(ledger, "weekly-2025-W48") is None


def test_decisions_stand_beside_each_other(ledger: Ledger) -> None:
    fill(ledger, MONDAY, NOW)
    keep(ledger, make(ledger, LAST_WEEK, SPECS, NOW), NOW)
    made = [
        Decision("weekly-2025-W49", NOW + n, "kim", workload, word, "because; DROP TABLE review")
        for n, (workload, word) in enumerate([("lab/batch", "Retire"), ("lab/batch", "Keep"), ("", "Accept")])
    ]
    for each in made:
        decide(ledger, each)
    assert decisions(ledger, "weekly-2025-W49") == made
    for wrong, said in (("weekly-2025-W01", "there is no review"), ("weekly-2025-W49", "has no workload shop/other")):
        with pytest.raises(LedgerError, match=said):
            decide(ledger, Decision(wrong, NOW, "kim", "shop/other", "Keep", "x"))
    assert len(decisions(ledger, "weekly-2025-W49")) == 3


def test_counts_of_one_hour_that_come_in_parts_are_added_up(ledger: Ledger) -> None:
    fill(ledger, MONDAY, MONDAY + DAY)
    fill(ledger, MONDAY, MONDAY + DAY)
    for grain in (Grain.HOUR, Grain.DAY):
        assert attained(ledger, [CHAT], "first-token", MONDAY, MONDAY + DAY, grain) == (45_120.0, 48_000.0)


def test_what_is_declared_is_noted_when_it_changes(ledger: Ledger) -> None:
    for at, target in ((1000, 0.9), (2000, 0.9), (3000, 0.95)):
        declare(ledger, {CHAT: {"objectives": {"first-token": target}}}, at)
    assert declarations(ledger, 2500)[CHAT] == {"objectives": {"first-token": 0.9}}
    assert declarations(ledger, 3000)[CHAT] == {"objectives": {"first-token": 0.95}}
    assert declarations(ledger, 500) == {}


def test_a_period_without_a_row_has_no_workload(ledger: Ledger) -> None:
    assert make(ledger, LAST_WEEK, SPECS, NOW)["workloads"] == []
    assert LAST_WEEK.kind is Kind.WEEKLY
