"""Experiments in the ledger: registered once, blocks and decisions that stay, and what a block cost."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from core.experiments import BEGIN, HOUR, blocks, cheaper, plan
from ledger.entries import DAY, PERIOD
from ledger.weeks import BATCH, CHAT, MONDAY, fill

from flyball.core.evidence.experiment_verdict import Verdict, judge
from flyball.core.names import WorkloadKey
from flyball.ledger import experiments as records
from flyball.ledger.backup import back_up, restore
from flyball.ledger.store import Ledger

PLAN = plan(guards=())
KEY = PLAN.key
NEW = records.Registered(PLAN.uid, KEY, BEGIN - HOUR, BEGIN, "0" * 64, '{"hypothesis":{}}')
MANY = blocks(PLAN, 40, cheaper(0.3))
NOW = BEGIN + 400 * HOUR


def test_an_experiment_is_registered_once(ledger: Ledger) -> None:
    assert records.register(ledger, NEW) == NEW
    assert records.register(ledger, replace(NEW, spec="{}", start=0)) == NEW
    assert records.find(ledger, PLAN.uid) == NEW
    assert records.find(ledger, "other") is None
    another = replace(NEW, uid="u-2", registered_at=BEGIN, key=WorkloadKey("team", "other"))
    records.register(ledger, another)
    assert records.listed(ledger) == [another, NEW]
    assert records.listed(ledger, KEY) == [NEW]


def test_blocks_come_back_as_they_were_measured_and_stay(ledger: Ledger) -> None:
    records.register(ledger, NEW)
    spoilt = replace(MANY[1], unusable="no pod was ready", objectives={})
    assert records.add_blocks(ledger, PLAN.uid, [MANY[0], spoilt]) == 2
    assert records.add_blocks(ledger, PLAN.uid, [replace(MANY[0], dollars=Decimal(0)), MANY[2]]) == 1
    assert records.blocks(ledger, PLAN.uid) == [MANY[0], spoilt, MANY[2]]


def test_there_is_one_decision_and_it_stays(ledger: Ledger) -> None:
    records.register(ledger, NEW)
    assert records.decision(ledger, PLAN.uid) is None
    made = records.decide(ledger, PLAN.uid, NOW, judge(PLAN, (), MANY, BEGIN, NOW))
    assert (made.verdict, made.decided_at) == (Verdict.SUPPORTED, NOW)
    again = records.decide(ledger, PLAN.uid, NOW + 1, judge(PLAN, (), [], BEGIN, 2 * NOW))
    assert again.decided_at == NOW
    assert again == records.decision(ledger, PLAN.uid)
    assert again.judgement["effect"] == pytest.approx(made.judgement["effect"])


def test_a_judgement_without_an_interval_can_be_kept(ledger: Ledger) -> None:
    records.register(ledger, NEW)
    records.decide(ledger, PLAN.uid, NOW, judge(PLAN, (), [], BEGIN, 2 * NOW))
    found = records.decision(ledger, PLAN.uid)
    assert found is not None
    assert (found.judgement["effect"], found.judgement["low"], found.judgement["high"]) == (None, -1.0, 1e6)


@pytest.mark.parametrize(
    ("keys", "targets", "dollars", "requests"),
    [
        pytest.param([CHAT], (), "4.2", 1100, id="a workload in full"),
        pytest.param([CHAT], ("previous",), "1.018181818", 100, id="one target with its share of what all cause"),
        pytest.param([CHAT, BATCH], (), "7.2", 1110, id="two workloads"),
        pytest.param([WorkloadKey("shop", "nobody")], (), "0", 0, id="nobody"),
    ],
)
def test_what_an_hour_cost(
    ledger: Ledger, keys: list[WorkloadKey], targets: tuple[str, ...], dollars: str, requests: int
) -> None:
    fill(ledger, MONDAY, MONDAY + DAY)
    at = MONDAY + 5 * HOUR
    found = records.spent(ledger, keys, targets, at, at + HOUR, MONDAY + DAY)
    assert (found[0], found[1], found[4]) == (Decimal(dollars), Decimal(requests), ())
    assert found[3] == (HOUR if requests else 0)


def test_past_blocks_differ_by_what_they_cost(ledger: Ledger) -> None:
    fill(ledger, MONDAY, MONDAY + DAY)
    of = plan(block_ms=HOUR, washout_ms=0)
    assert records.past_differences(ledger, [CHAT], of, MONDAY + DAY, 12 * HOUR) == [0.0] * 5
    assert records.past_differences(ledger, [CHAT], of, MONDAY - DAY, 12 * HOUR) == []
    assert PERIOD * 12 == HOUR


def test_a_backup_holds_experiments_too(ledger: Ledger, tmp_path: Path) -> None:
    fill(ledger, MONDAY, MONDAY + HOUR)
    records.register(ledger, NEW)
    records.add_blocks(ledger, PLAN.uid, MANY[:2])
    url = ledger.engine.url.render_as_string(hide_password=False)
    back_up(url.replace("postgresql+psycopg", "postgresql"), tmp_path / "backup.db")
    restore(tmp_path / "backup.db", str(tmp_path / "again.db"))
    again = Ledger(str(tmp_path / "again.db"))
    assert records.blocks(again, PLAN.uid) == MANY[:2]
    again.close()
