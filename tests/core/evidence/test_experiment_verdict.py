"""Verdicts: each reason for one, and that none comes before its time or without its evidence."""

import math
import random
from dataclasses import replace
from typing import Any

import pytest
from core.experiments import BEGIN, HOUR, blocks, cheaper, plan
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.core.evidence.experiment import Arm, Design, Direction, Evidence, Guard, GuardState, Measured, Metric, Plan
from flyball.core.evidence.experiment_verdict import Judgement, Reason, Verdict, judge

GUARD = (Guard("first-token", 0.95),)
OVER = BEGIN + 28 * 24 * HOUR


def judged(of: Plan, found: list[Measured], now: int = BEGIN + 400 * HOUR, guards: Any = GUARD) -> Judgement:
    return judge(of, guards, found, BEGIN, now)


def treated(found: list[Measured], **changes: Any) -> list[Measured]:
    return [replace(each, **changes) if each.block.arm is Arm.TREATMENT else each for each in found]


PLAN = plan()
MANY = blocks(PLAN, 40, cheaper(0.30))


@pytest.mark.parametrize(
    ("of", "found", "now", "verdict", "reason"),
    [
        pytest.param(PLAN, [], BEGIN, "Running", "Collecting", id="nothing yet"),
        pytest.param(PLAN, MANY, OVER, "Supported", "EffectShown", id="30% where 18% are claimed"),
        pytest.param(PLAN, blocks(PLAN, 40, cheaper(0.0)), OVER, "Refuted", "EffectMissed", id="no effect"),
        pytest.param(PLAN, blocks(PLAN, 40, cheaper(0.05)), OVER, "Refuted", "EffectMissed", id="less than claimed"),
        pytest.param(
            PLAN, blocks(PLAN, 40, cheaper(0.18)), OVER - 1, "Running", "Collecting", id="as claimed: not shown yet"
        ),
        pytest.param(
            PLAN, blocks(PLAN, 40, cheaper(0.18)), OVER, "Inconclusive", "TimeOver", id="as claimed: never shown"
        ),
        pytest.param(PLAN, MANY[:22], OVER - 1, "Running", "Collecting", id="eleven pairs"),
        pytest.param(PLAN, MANY[:22], OVER, "Inconclusive", "TimeOver", id="eleven pairs in the end"),
        pytest.param(
            plan(min_ms=7 * 24 * HOUR), MANY, BEGIN + 80 * HOUR, "Running", "Collecting", id="before the minimum run"
        ),
        pytest.param(
            PLAN, treated(MANY, objectives={"first-token": (700.0, 1000.0)}), BEGIN + 9 * HOUR,
            "Refuted", "GuardBreached", id="a guard is surely breached: at once",
        ),
        pytest.param(
            PLAN, treated(MANY, objectives={"first-token": (948.0, 1000.0)}), OVER - 1,
            "Running", "GuardMissed", id="a guard is just missed: it goes on",
        ),
        pytest.param(
            PLAN, treated(MANY, objectives={"first-token": (948.0, 1000.0)}), OVER,
            "Inconclusive", "GuardMissed", id="a guard is just missed in the end",
        ),
        pytest.param(
            PLAN, treated(MANY, objectives={}), OVER, "Inconclusive", "GuardUnknown", id="a guard nobody measured"
        ),
        pytest.param(
            PLAN, [replace(each, requests=each.requests * 2) if each.block.arm is Arm.TREATMENT else each
                   for each in blocks(PLAN, 40, cheaper(0.3))],
            OVER, "Inconclusive", "SampleRatioMismatch", id="treated blocks see other traffic",
        ),
        pytest.param(
            PLAN, [*MANY, *treated(blocks(PLAN, 80, cheaper(0.3))[80:], unusable="no pod was ready")], OVER,
            "Inconclusive", "SampleRatioMismatch", id="only treated blocks are lost",
        ),
        pytest.param(
            plan(direction=Direction.INCREASE, by=0.1), blocks(PLAN, 40, cheaper(-0.25)), OVER,
            "Supported", "EffectShown", id="an increase",
        ),
        pytest.param(
            plan(metric=Metric.COST_PER_MILLION_TOKENS), MANY, OVER, "Supported", "EffectShown", id="by tokens"
        ),
        pytest.param(
            plan(metric=Metric.MISSED_REQUESTS, objective="first-token", guards=()),
            treated(MANY, objectives={"first-token": (1000.0, 1000.0)}), OVER,
            "Supported", "EffectShown", id="fewer late requests, none at all among them",
        ),
    ],
)  # fmt: skip
def test_verdicts(of: Plan, found: list[Measured], now: int, verdict: str, reason: str) -> None:
    judgement = judged(of, found, now, GUARD if of.guards else ())
    assert (judgement.verdict, judgement.reason) == (verdict, reason), judgement.text


def test_the_effect_and_its_interval_are_relative_changes() -> None:
    judgement = judged(PLAN, MANY)
    assert judgement.effect == pytest.approx(-0.30, abs=0.01)
    assert -0.40 < judgement.low < -0.30 < judgement.high < -0.20
    assert (judgement.pairs, judgement.unusable) == (40, 0)
    assert judgement.guards[0].state is GuardState.HELD
    assert judgement.guards[0].attained == pytest.approx(0.99)


def test_nothing_is_ruled_out_by_few_pairs() -> None:
    judgement = judged(PLAN, MANY[:4])
    assert (judgement.low, judgement.high) == (-1.0, math.inf)


def test_half_a_pair_waits_for_its_other_half_and_an_unusable_block_takes_its_pair_with_it() -> None:
    assert judged(PLAN, MANY[:1]).pairs == 0
    spoilt = [replace(MANY[0], unusable="no requests"), *MANY[1:]]
    judgement = judged(PLAN, spoilt)
    assert (judgement.pairs, judgement.unusable) == (39, 1)


@pytest.mark.parametrize("design", [Design.SIDE_BY_SIDE, Design.BEFORE_AFTER])
def test_without_a_coin_the_evidence_is_observational(design: Design) -> None:
    of = plan(design=design, before=(BEGIN, BEGIN + 40 * HOUR), after=(BEGIN, BEGIN + 40 * HOUR))
    judgement = judged(of, blocks(of, 40, cheaper(0.3)), OVER)
    assert (judgement.verdict, judgement.evidence) == (Verdict.SUPPORTED, Evidence.OBSERVATIONAL)


@given(st.integers(12, 60), st.floats(-0.5, 0.6), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_supported_means_that_the_interval_is_beyond_the_claim(pairs: int, by: float, seed: int) -> None:
    steady, dice = cheaper(by), random.Random(seed)
    found = blocks(PLAN, pairs, lambda block: steady(block) * math.exp(dice.gauss(0, 0.2)))
    judgement = judged(PLAN, found, OVER)
    if judgement.verdict is Verdict.SUPPORTED:
        assert judgement.high <= -0.18 + 1e-9
    if judgement.reason is Reason.EFFECT_MISSED:
        assert judgement.low >= -0.18 - 1e-9
    assert judgement.low <= (judgement.effect or 0.0) <= judgement.high
