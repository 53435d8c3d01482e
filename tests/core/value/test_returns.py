"""ROI targets that the ledger tells: judged by intervals, never beyond the evidence, with cause and advice."""

from dataclasses import replace
from decimal import Decimal

import pytest
from core.accounts import NOW_MS, WEEK, WEEK_MS, account, books, line
from core.cases import spec, variant

from flyball.core.money.books import Account, Books, Window
from flyball.core.names import KpiKind, RoiMetric
from flyball.core.spec import RoiTarget
from flyball.core.value.baseline import Baseline, fingerprint, stale, unusable
from flyball.core.value.kpi import Kpi, KpiLine, Value, Worth
from flyball.core.value.outcomes import DAY_MS, Counted
from flyball.core.value.returns import cause, judge_booked, recorded

RATIO, UNIT, SERVE, KPI = RoiMetric.VALUE_COST_RATIO, RoiMetric.COST_PER_REQUEST, RoiMetric.COST_TO_SERVE, RoiMetric.KPI
BASELINE = Baseline(
    NOW_MS - 4 * WEEK_MS, NOW_MS - 2 * WEEK_MS, NOW_MS - 2 * WEEK_MS, "same", Decimal(5000), Decimal("0.12"),
    Decimal("0.2"), 2.0, (("deflections", 0.25),),
)  # fmt: skip


def target(metric: RoiMetric = RATIO, amount: str = "2", **fields: object) -> RoiTarget:
    return RoiTarget("goal", metric, Decimal(amount), WEEK, by_ledger=True, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "amount", "now", "value", "state"),
    [
        pytest.param(RATIO, "2", account(), 3.0, "Met", id="$300 for $100"),
        pytest.param(RATIO, "3.1", account(), 3.0, "Met", id="a little less, as chance has it"),
        pytest.param(RATIO, "3.3", account(), 3.0, "AtRisk", id="beyond one deviation"),
        pytest.param(RATIO, "3.5", account(), 3.0, "Breached", id="beyond the interval of 300 outcomes"),
        pytest.param(RATIO, "3.5", account(worth="3"), 0.03, "Breached", id="three, and far off"),
        pytest.param(RATIO, "2", account(labor="100"), 1.5, "Breached", id="people's work is a cost"),
        pytest.param(RATIO, "2", account(worth="0"), 0.0, "Breached", id="answers that are worth nothing"),
        pytest.param(UNIT, "0.11", account(), 0.1, "Met", id="ten cents a request"),
        pytest.param(UNIT, "0.09", account(), 0.1, "Breached", id="beyond the interval of 1000 requests"),
        pytest.param(UNIT, "0.11", account(labor="50"), 0.1, "Met", id="without people's work"),
        pytest.param(SERVE, "0.11", account(labor="50"), 0.15, "Breached", id="and with it"),
    ],
)
def test_a_figure_is_judged_by_its_interval(
    metric: RoiMetric, amount: str, now: Account, value: float, state: str
) -> None:
    found = judge_booked(target(metric, amount), books(now), "", None)
    assert (found.value, found.state) == (pytest.approx(value), state)


@pytest.mark.parametrize(
    ("found", "state", "why"),
    [
        pytest.param(None, "Insufficient", "needs a ledger", id="no ledger"),
        pytest.param(Books(0.0), "Insufficient", "not read yet", id="a window not read yet"),
        pytest.param(books(account(unpriced=("vectors",))), "PriceMissing", "vectors", id="a price is missing"),
        pytest.param(books(account(whole=False)), "Insufficient", "less than 7d", id="a ledger too young"),
        pytest.param(books(account(paths={})), "Insufficient", "0 requests", id="no requests"),
        pytest.param(books(account(value=Worth(unknown=("no outcome",)))), "Insufficient", "no outcome", id="none"),
        pytest.param(
            books(account(value=Worth(lines=(replace(line(outcomes=5), denied="few cases", unproven=True),)))),
            "Unproven", "deflections: few cases", id="a guard without evidence",
        ),
    ],
)  # fmt: skip
def test_without_evidence_nothing_is_claimed(found: Books | None, state: str, why: str) -> None:
    judged = judge_booked(target(), found, "", "Met")
    assert (judged.state, judged.value, why in judged.why) == (state, None, True), judged.why


@pytest.mark.parametrize(
    ("kind", "counted", "amount", "state"),
    [
        pytest.param(KpiKind.DEFLECTION, {"outcomes": 60, "cases": 100}, "0.5", "Met", id="a share to reach"),
        pytest.param(KpiKind.DEFLECTION, {"outcomes": 30, "cases": 100}, "0.5", "Breached", id="missed beyond doubt"),
        pytest.param(KpiKind.ESCALATION, {"outcomes": 57, "cases": 100}, "0.5", "AtRisk", id="a share not to exceed"),
        pytest.param(
            KpiKind.TIME_TO_ANSWER, {"outcomes": 50, "cases": 50, "minutes": 100, "squares": 250.0}, "1", "Breached",
            id="two minutes each, at most one",
        ),
        pytest.param(
            KpiKind.TIME_SAVED, {"outcomes": 50, "cases": 50, "minutes": 100, "squares": 250.0}, "1", "Met",
            id="two minutes saved, at least one",
        ),
    ],
)  # fmt: skip
def test_a_kpi_is_judged_in_its_own_direction(
    kind: KpiKind, counted: dict[str, float], amount: str, state: str
) -> None:
    now = account(value=Worth(lines=(line(kind, **counted),)))
    assert judge_booked(target(KPI, amount, kpi="deflections"), books(now), "", None).state == state


@pytest.mark.parametrize(
    ("metric", "amount", "known", "definitions", "state", "goal"),
    [
        pytest.param(UNIT, "0.9", BASELINE, "same", "Met", "0.108", id="10% below the baseline's 12 cents"),
        pytest.param(UNIT, "0.7", BASELINE, "same", "Breached", "0.084", id="30% below it"),
        pytest.param(RATIO, "1.4", BASELINE, "same", "Met", "2.8", id="a ratio 40% above"),
        pytest.param(KPI, "1.1", BASELINE, "same", "Met", "0.275", id="a KPI 10% above"),
        pytest.param(UNIT, "0.9", None, "same", "Unproven", None, id="no baseline, no claim"),
        pytest.param(UNIT, "0.9", BASELINE, "other", "Unproven", None, id="other prices than then"),
        pytest.param(
            UNIT, "0.9", replace(BASELINE, end=NOW_MS - 181 * DAY_MS), "same", "Unproven", None, id="too long ago"
        ),
        pytest.param(
            RATIO, "1", replace(BASELINE, value_cost_ratio=None), "same", "Unproven", None, id="no such figure"
        ),
    ],
)
def test_a_relative_target_is_held_against_the_baseline(
    metric: RoiMetric, amount: str, known: Baseline | None, definitions: str, state: str, goal: str | None
) -> None:
    value = Worth(Decimal(300), worth_squares=300.0, lines=(line(outcomes=300, cases=1000),))
    now = books(account(value=value), baseline=known)
    judged = judge_booked(target(metric, amount, relative=True, kpi="deflections"), now, definitions, None)
    assert judged.state == state
    if goal is not None:
        assert judged.target == Decimal(goal)


@pytest.mark.parametrize(
    ("before", "code"),
    [
        pytest.param(account(fixed="10"), "CostUp", id="idle GPUs"),
        pytest.param(account(worth="600"), "ValueDown", id="answers worth half"),
        pytest.param(account("2000", "120", "40", "600"), "VolumeDown", id="half of the requests"),
        pytest.param(account(paths={"a": ("900", "1"), "gpu": ("100", "6")}), "MixShift", id="all on the dearer path"),
        pytest.param(None, "", id="no window before"),
        pytest.param(account(fixed="10", whole=False), "", id="the window before is not all there"),
    ],
)
def test_a_breach_has_its_cause(before: Account | None, code: str) -> None:
    judged = judge_booked(target(amount="9"), books(account(), before), "", None)
    assert (judged.state, judged.cause_code) == ("Breached", code)
    assert bool(judged.cause) == bool(code)


THEN = account("2000", "100", "20", "900")


@pytest.mark.parametrize(
    ("relative", "known", "said", "old"),
    [
        pytest.param(
            True, recorded(THEN, NOW_MS, "same", ""), "in the baseline of 2", 7.5, id="relative to a baseline"
        ),
        pytest.param(False, recorded(THEN, NOW_MS, "same", ""), "in the 7d before", 6.0, id="an amount by itself"),
        pytest.param(
            True,
            replace(recorded(THEN, NOW_MS, "same", ""), paths=()),
            "in the 7d before (the baseline does not tell its parts)",
            6.0,
            id="a baseline of before parts were kept",
        ),
    ],
)
def test_a_cause_is_told_since_the_baseline_where_the_target_is_relative_to_it(
    relative: bool, known: Baseline, said: str, old: float
) -> None:
    window = Window(WEEK, account(), account(worth="600"))
    found = cause(target(relative=relative), window, known)
    assert found is not None
    assert found.text.startswith(f"from {old:.3g} {said}")
    assert old + sum(part for _, part in found.numbers) == pytest.approx(3.0)


def test_a_baseline_of_twice_as_long_at_the_same_pace_is_no_move_of_volume() -> None:
    fortnight = replace(account("2000", "140", "60", "600"), begin=NOW_MS - 2 * WEEK_MS)
    known = recorded(fortnight, NOW_MS, "same", "")
    now = account("1000", "70", "30", "300")
    found = cause(target(relative=True), Window(WEEK, now), known)
    assert found is not None
    assert dict(found.numbers) == {"volume": 0.0, "mix": 0.0, "cost": 0.0, "value": 0.0}


@pytest.mark.parametrize(
    ("now", "amount", "advice"),
    [
        pytest.param(account(worth="20"), "2", "Retire", id="serving alone costs more than the answers are worth"),
        pytest.param(account(fixed="900"), "2", "Re-architect", id="idle GPUs eat a return that serving would give"),
        pytest.param(account(), "2", "Scale", id="more than asked for, beyond doubt"),
        pytest.param(account(), "3", "", id="as asked for"),
        pytest.param(
            account(worth="100"), "2", "", id="serving itself gives less than asked for, and more than it costs"
        ),
    ],
)
def test_advice_has_its_arithmetic(now: Account, amount: str, advice: str) -> None:
    found = judge_booked(target(amount=amount), books(now), "", None).advice
    assert found.partition(":")[0] == advice
    assert not advice or "$" in found


def test_a_baseline_is_what_the_account_says() -> None:
    sums = Counted(Decimal(250), Decimal(1000))
    value = Worth(
        Decimal(300), Decimal(50), 300.0, 50.0, (KpiLine(Kpi("deflections", KpiKind.DEFLECTION), sums, Decimal(300)),)
    )
    found = recorded(account(value=value), NOW_MS, "same", "before the move")
    assert (found.cost_per_request, found.cost_to_serve, found.value_cost_ratio, found.kpi("deflections")) == (
        Decimal("0.1"), Decimal("0.15"), 2.0, 0.25,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "why"),
    [
        pytest.param({}, "", id="usable"),
        pytest.param({"days": 13.9}, "days are too few", id="too short"),
        pytest.param({"requests": Decimal(99)}, "requests are too few", id="too few requests"),
        pytest.param({"unpriced": ("vectors",)}, "vectors", id="a price is missing"),
        pytest.param({"whole": False}, "reach back", id="not all there"),
        pytest.param({"unknown": ("no outcome",)}, "no outcome", id="a KPI without reports"),
    ],
)
def test_what_makes_no_baseline(given: dict[str, object], why: str) -> None:
    usual = {"days": 14.0, "requests": Decimal(100), "unpriced": (), "whole": True, "unknown": ()}
    found = unusable(**(usual | given))  # type: ignore[arg-type]
    assert why in found
    assert bool(found) == bool(why)


def test_a_baseline_is_compared_across_hardware_and_not_across_prices_or_definitions() -> None:
    declared = spec(variant(), value=Value((Kpi("d", KpiKind.DEFLECTION, worth=Decimal(4)),)))
    same = fingerprint(declared)
    assert fingerprint(replace(declared, variants=(variant(high=20), variant("spare")))) == same
    assert fingerprint(replace(declared, variants=(variant(price="3"),))) != same
    assert fingerprint(replace(declared, value=Value((Kpi("d", KpiKind.DEFLECTION, worth=Decimal(5)),)))) != same
    assert stale(replace(BASELINE, fingerprint=same), same, NOW_MS) == ""
