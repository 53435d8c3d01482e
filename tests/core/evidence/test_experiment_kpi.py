"""KPIs as a hypothesis and as guards: effects in percent and points, quality, and where outcomes come from."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from core.cases import spec
from core.experiments import BEGIN, HOUR, blocks, plan
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.core.evidence.experiment import (
    Arm,
    Design,
    Direction,
    GuardState,
    KpiGuard,
    Measured,
    Metric,
    Plan,
    Source,
)
from flyball.core.evidence.experiment_kpi import Defined
from flyball.core.evidence.experiment_sources import KpiSource, Unfit, changed, kpi_plan
from flyball.core.evidence.experiment_verdict import Judgement, judge
from flyball.core.names import KpiKind, WorkloadKey
from flyball.core.value.kpi import Guard, Kpi, Value
from flyball.core.value.outcomes import Counted

OVER = BEGIN + 28 * 24 * HOUR
STAYS_AWAY = Guard("stays-away", 0.2, at_least=False, kpi="came-back", fewest=100.0)
KNOWN = {
    "contained": Defined(KpiKind.CONTAINMENT, STAYS_AWAY),
    "came-back": Defined(KpiKind.POST_BOT_CONTACT),
    "escalations": Defined(KpiKind.ESCALATION),
    "handling": Defined(KpiKind.HANDLE_TIME),
}
Sums = Callable[[Arm, int], Mapping[str, Counted]]


def claim(**changes: Any) -> Plan:
    """Containment up by three points, outcomes waited for a day."""
    given = {"metric": Metric.KPI, "kpi": "contained", "direction": Direction.INCREASE, "by": 0.03, "points": True}
    return plan(**(given | {"guards": (), "settle_ms": 24 * HOUR} | changes))


def share(outcomes: int, cases: int = 1000) -> Counted:
    return Counted(Decimal(outcomes), Decimal(cases))


def minutes(total: float, outcomes: int = 100) -> Counted:
    return Counted(Decimal(outcomes), Decimal(outcomes), Decimal(str(total)))


def served(of: Plan, sums: Sums, pairs: int = 60) -> list[Measured]:
    return [replace(each, kpis=sums(each.block.arm, each.block.pair)) for each in blocks(of, pairs)]


def shown(of: Plan, sums: Sums, known: Mapping[str, Defined] = KNOWN, now: int = OVER) -> Judgement:
    return judge(of, (), served(of, sums), BEGIN, now, known)


def contained(base: int, treated: int, came_back: int = 50, **others: tuple[Counted, Counted]) -> Sums:
    """So many of a thousand cases in both arms, pairs a little uneven; `others` are KPIs in both arms."""

    def sums(arm: Arm, pair: int) -> dict[str, Counted]:
        uneven = (pair * 7) % 11 - 5
        found = {"contained": share((base if arm is Arm.BASELINE else treated) + uneven)}
        found["came-back"] = share(came_back)
        return found | {name: both[arm is Arm.TREATMENT] for name, both in others.items()}

    return sums


ESCALATIONS = KpiGuard("escalations")


@pytest.mark.parametrize(
    ("of", "sums", "verdict", "reason"),
    [
        pytest.param(claim(), contained(400, 460), "Supported", "EffectShown", id="six points where three are claimed"),
        pytest.param(claim(), contained(400, 410), "Refuted", "EffectMissed", id="one point"),
        pytest.param(claim(), contained(400, 430), "Inconclusive", "TimeOver", id="as claimed is not shown"),
        pytest.param(
            claim(by=0.10, points=False), contained(400, 460), "Supported", "EffectShown", id="15% where 10% are"
        ),
        pytest.param(
            claim(), contained(400, 460, came_back=300), "Refuted", "GuardBreached", id="those contained come back"
        ),
        pytest.param(
            claim(kpi_guards=(ESCALATIONS,)), contained(400, 460, escalations=(share(80), share(80))),
            "Supported", "EffectShown", id="escalation does not rise",
        ),
        pytest.param(
            claim(kpi_guards=(ESCALATIONS,)), contained(400, 460, escalations=(share(80), share(120))),
            "Refuted", "GuardBreached", id="escalation rises",
        ),
        pytest.param(
            claim(kpi_guards=(KpiGuard("escalations", 0.8),)),
            contained(400, 460, escalations=(share(80), share(120))),
            "Supported", "EffectShown", id="by less than it may",
        ),
        pytest.param(
            claim(kpi_guards=(ESCALATIONS,)), contained(400, 460), "Inconclusive", "GuardUnknown",
            id="escalations that nobody reports",
        ),
        pytest.param(
            claim(kpi="handling", direction=Direction.DECREASE, by=0.10, points=False),
            lambda arm, pair: {"handling": minutes(900 + pair % 7 - (150 if arm is Arm.TREATMENT else 0))},
            "Supported", "EffectShown", id="handle time down by a sixth where a tenth is claimed",
        ),
        pytest.param(
            claim(),
            lambda arm, pair: {"contained": share(460 if arm is Arm.TREATMENT else 400),
                               "came-back": share(50, 2000 if arm is Arm.TREATMENT else 1000)}
            | {"contained": share(920, 2000) if arm is Arm.TREATMENT else share(400)},
            "Inconclusive", "SampleRatioMismatch", id="treated blocks report twice the cases",
        ),
    ],
)  # fmt: skip
def test_verdicts_by_kpis(of: Plan, sums: Sums, verdict: str, reason: str) -> None:
    found = shown(of, sums)
    assert (found.verdict, found.reason) == (verdict, reason), found.text


def test_a_sample_that_is_too_small_has_no_credit_however_clear_it_looks() -> None:
    def few(arm: Arm, pair: int) -> dict[str, Counted]:
        return {"contained": share(1 if arm is Arm.TREATMENT else 0, 1), "came-back": share(0, 1)}

    found = shown(claim(by=0.0), few)
    assert (found.verdict, found.reason) == ("Inconclusive", "GuardUnknown")
    assert found.quality is not None
    assert (found.quality.state, found.quality.cases) == (GuardState.UNKNOWN, 60.0)
    assert "at most 20.0% of 100 cases or more (guard stays-away)" in found.text


def test_a_kpi_without_a_guard_needs_thirty_cases_in_each_arm() -> None:
    of = claim(kpi="handling", direction=Direction.DECREASE, by=0.0, points=False)
    one = {arm: {"handling": minutes(5 if arm is Arm.TREATMENT else 9, 1)} for arm in Arm}
    found = judge(of, (), served(of, lambda arm, _: one[arm], 25), BEGIN, OVER, KNOWN)
    assert (found.reason, found.quality and found.quality.wanted) == ("GuardUnknown", "30 cases or more in each arm")
    assert shown(of, lambda arm, _: one[arm]).verdict == "Supported"


def test_effects_are_in_points_or_in_percent() -> None:
    points, percent = (shown(claim(points=each, by=0.03), contained(400, 460)) for each in (True, False))
    assert points.effect == pytest.approx(0.06, abs=0.002)
    assert 0.03 < points.low < 0.06 < points.high < 0.09
    assert percent.effect == pytest.approx(0.15, abs=0.005)
    assert (points.points, percent.points) == (True, False)


def test_nothing_is_ruled_out_of_points_by_few_pairs() -> None:
    of = claim()
    found = judge(of, (), served(of, contained(400, 460), 3), BEGIN, OVER, KNOWN)
    assert (found.low, found.high) == (-1.0, 1.0)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 10_000), st.integers(0, 50), st.integers(0, 50), st.sampled_from([True, False]))
def test_arms_are_treated_alike(cases: int, base: int, treated: int, points: bool) -> None:
    """Whatever is found of one arm against the other is found of the other against the one, the other way round."""
    base, treated = min(base, cases), min(treated, cases)

    def sums(arm: Arm, pair: int, flip: bool) -> dict[str, Counted]:
        found = treated if (arm is Arm.TREATMENT) != flip else base
        return {"contained": share(max(0, found - pair % 3), cases), "came-back": share(0, cases)}

    one, other = (
        shown(claim(points=points), lambda arm, pair, flip=flip: sums(arm, pair, flip)) for flip in (False, True)
    )  # type: ignore[misc]
    assert one.effect is not None
    assert other.effect is not None
    if points:
        assert (one.effect, one.low, one.high) == pytest.approx((-other.effect, -other.high, -other.low))
    else:
        assert 1 + one.effect == pytest.approx(1 / (1 + other.effect))


def workload(name: str, *kpis: Kpi, guards: tuple[Guard, ...] = ()) -> Any:
    return replace(spec(), key=WorkloadKey("team", name), value=Value(kpis, guards))


CHAT = workload(
    "chat",
    Kpi("contained", KpiKind.CONTAINMENT, guard="stays-away"),
    Kpi("came-back", KpiKind.POST_BOT_CONTACT),
    guards=(STAYS_AWAY,),
)
BY_QUERY = Kpi("contained", KpiKind.CONTAINMENT, guard="g")
SILENT = workload("chat-int4")
BY_VERSION = workload(
    "chat", Kpi("solved-1", KpiKind.TASK_COMPLETION, 'rate(a{version="1"}[5m])'),
    Kpi("solved-2", KpiKind.TASK_COMPLETION, 'rate(a{version="2"}[5m])'),
)  # fmt: skip
SIDE_BY_SIDE = {"design": Design.SIDE_BY_SIDE, "kpi": "solved", "points": False}


def test_in_a_switchback_the_time_tells_whose_an_outcome_is() -> None:
    found = kpi_plan(claim(), {Arm.BASELINE: [CHAT], Arm.TREATMENT: [SILENT]})
    own = (KpiSource(CHAT.key, "contained"),)
    assert found.sources[Arm.BASELINE, "contained"] == found.sources[Arm.TREATMENT, "contained"] == own
    assert found.known["contained"] == KNOWN["contained"]
    assert found.known["came-back"].kind is KpiKind.POST_BOT_CONTACT


def test_side_by_side_arms_are_told_apart_by_kpis_of_their_own() -> None:
    of = claim(**SIDE_BY_SIDE, baseline=Source(("chat",), kpi="solved-1"), treatment=Source(("chat",), kpi="solved-2"))
    found = kpi_plan(of, {Arm.BASELINE: [BY_VERSION], Arm.TREATMENT: [BY_VERSION]})
    assert [found.sources[arm, "solved"][0].kpi for arm in Arm] == ["solved-1", "solved-2"]


@pytest.mark.parametrize(
    ("of", "members", "reason", "said"),
    [
        pytest.param(claim(kpi="other"), [CHAT], "KpiMissing", "spec.hypothesis.kpi: no WorkloadSLO", id="no such KPI"),
        pytest.param(
            claim(kpi_guards=(ESCALATIONS,)), [CHAT], "KpiMissing", "spec.kpiGuards: no WorkloadSLO", id="no such guard"
        ),
        pytest.param(
            claim(), [CHAT, workload("b", Kpi("contained", KpiKind.DEFLECTION, guard="stays-away"))], "KpiDiffers",
            "has another kind or guard", id="two kinds",
        ),
        pytest.param(
            claim(kpi="handling"), [workload("a", Kpi("handling", KpiKind.HANDLE_TIME))], "ClaimUnfit",
            "is minutes, not a share", id="points of minutes",
        ),
        pytest.param(
            claim(design=Design.SIDE_BY_SIDE), [CHAT], "SameKpi", "both arms count the outcomes", id="the same outcomes"
        ),
        pytest.param(
            claim(), [workload("a", BY_QUERY, guards=(Guard("g", 0.2, query="up"),))],
            "GuardUnfit", "is a query", id="a guard of the moment",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_told_apart_does_not_start(of: Plan, members: list[Any], reason: str, said: str) -> None:
    with pytest.raises(Unfit, match=said) as found:
        kpi_plan(of, dict.fromkeys(Arm, members))
    assert found.value.reason == reason


def test_a_kpi_that_means_something_else_now_is_told_and_one_that_is_away_is_not() -> None:
    before = kpi_plan(claim(), {Arm.BASELINE: [CHAT], Arm.TREATMENT: [SILENT]})
    assert changed(before, {Arm.BASELINE: [CHAT], Arm.TREATMENT: [SILENT]}) == ""
    assert changed(before, {Arm.BASELINE: [SILENT], Arm.TREATMENT: [SILENT]}) == ""
    laxer = replace(CHAT, value=replace(CHAT.value, guards=(replace(STAYS_AWAY, limit=0.9),)))
    assert "KPI contained of team/chat" in changed(before, {Arm.BASELINE: [laxer], Arm.TREATMENT: [SILENT]})
    assert math.isclose(before.known["contained"].guard.limit, 0.2)  # type: ignore[union-attr]
