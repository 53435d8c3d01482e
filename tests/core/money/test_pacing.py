"""Paced budgets: what is expected of a period, what its ceiling leaves of each hour, and the laws of both."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from core.cases import LAW, condition, desired, objective, observation, reasons, running, signals, spec, variant
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.core.decide import decide
from flyball.core.decision import Decision
from flyball.core.fleet.case import case_of
from flyball.core.memory import Memory, SpendMemory, SpendRate
from flyball.core.money import pacing
from flyball.core.money.pacing import Expected, HeldPace, Pace
from flyball.core.names import Enforcement, Period, Precedence
from flyball.core.observation import Observation
from flyball.core.spec import Ceiling, WorkloadSpec
from flyball.core.traffic.demand import assess
from flyball.core.traffic.demand_events import DemandWindow
from flyball.core.traffic.forecast import SLOT_SECONDS

HOUR, DAY = 3600.0, 86_400.0
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
TEN_LEFT = NOVEMBER + 20 * DAY
"""Ten days before November's end."""
MONTH = Period.MONTH


def monthly(amount: str, enforcement: Enforcement = Enforcement.CLAMP) -> tuple[Ceiling, ...]:
    return (Ceiling(MONTH, Decimal(amount), enforcement),)


def paced(amount: str, spent: str, rest: Expected, left: float = 240 * HOUR) -> Pace:
    held = HeldPace(
        MONTH, Decimal(amount), 0.0, Decimal(0), True, *pacing._paced(Decimal(amount), float(spent), rest, left)
    )
    return Pace(monthly(amount)[0], Decimal(spent), held)


REST = Expected(served=1240.0, committed=240.0, known=True)
"""Ten days of $1/h that is always there, and $1000 beyond it."""


@pytest.mark.parametrize(
    ("amount", "spent", "left", "allowed"),
    [
        pytest.param("2240", "1000", 240.0, "7", id="all that is expected is paid for, and no more"),
        pytest.param("1740", "1000", 240.0, "4", id="half of it: half of what is wanted beyond the minimum"),
        pytest.param("2250", "1000", 240.0, "17", id="a surplus of $10 may be spent within the hour"),
        pytest.param("1240", "1000", 240.0, "1", id="the minimum only"),
        pytest.param("1000", "1100", 240.0, "1", id="nothing is left: the minimum stays"),
        pytest.param("1240.10", "1000", 0.5, "1.0006", id="a share, in the last half hour as well"),
    ],
)
def test_what_a_budget_leaves_of_seven_dollars_an_hour_of_which_one_always_runs(
    amount: str, spent: str, left: float, allowed: str
) -> None:
    found = paced(amount, spent, REST, left * HOUR).allowance(Decimal(7), Decimal(1))
    assert found == Decimal(allowed)


def test_at_most_what_is_left_is_spent_in_an_hour() -> None:
    """$2 are left beyond the minimum, where $6 are wanted now and nearly nothing later."""
    quiet = Expected(served=241.0, committed=240.0, known=True)
    assert paced("1242", "1000", quiet).allowance(Decimal(7), Decimal(1)) == 3
    assert paced("1242", "1000", quiet, HOUR / 2).allowance(Decimal(7), Decimal(1)) == 5


dollars = st.decimals("0", 5000, places=2)
rests = st.builds(
    lambda committed, more: Expected(committed + more, committed, True), st.floats(0, 3000), st.floats(0, 3000)
)


@LAW
@given(dollars, dollars, dollars, rests, st.floats(1.0, 30 * DAY), st.decimals("0", 100, places=2))
def test_a_larger_budget_never_allows_less_and_more_spent_never_more(
    amount: Decimal, more: Decimal, spent: Decimal, rest: Expected, left: float, wanted: Decimal
) -> None:
    def allowed(amount: Decimal, spent: Decimal) -> Decimal:
        return paced(str(amount + 1), str(spent), rest, left).allowance(wanted, Decimal(1))

    assert allowed(amount + more, spent) >= allowed(amount, spent) >= allowed(amount, spent + more)
    assert allowed(amount, spent) >= 1, "the minimum stays"


@LAW
@given(dollars, rests, st.floats(HOUR, 30 * DAY), st.decimals("1", 100, places=2))
def test_there_is_no_cliff(spent: Decimal, rest: Expected, left: float, wanted: Decimal) -> None:
    """A cent more of budget changes what an hour may cost by that and its share of what is wanted at the most."""
    enough = Decimal(str(round(rest.served, 2))) + spent
    steps = [paced(str(max(Decimal(1), enough + n * Decimal("0.01"))), str(spent), rest, left) for n in range(-3, 4)]
    allowed = [pace.allowance(wanted, Decimal(1)) for pace in steps]
    steepest = 1.0 + float(wanted) / max(1e-3, rest.served - rest.committed)
    assert all(abs(b - a) <= Decimal(0.01 * steepest + 1e-5) for a, b in pairwise(allowed))


def known_of(slots: list[float], at: float, workload: WorkloadSpec) -> Memory:
    """A memory with mean rates of the half hours before `at`."""
    _, memory = decide(workload, observation(at=at, signal=signals(rate=4.0)), Memory())
    assert memory.forecast is not None
    known = replace(memory.forecast, slots=tuple(slots), slot=int(at // SLOT_SECONDS))
    return replace(memory, forecast=known, pacing=replace(memory.pacing, margin=1.0, held=()))


def rest_of(
    workload: WorkloadSpec, memory: Memory, at: float, *events: DemandWindow, period: Period = MONTH
) -> Expected:
    seen = replace(observation(at=at, signal=signals(rate=4.0)), expected=events)
    situation, memory = assess(workload, seen, memory)
    case = case_of(workload, seen, situation, (), seen.state.variants)
    return pacing.expected(period, seen, case.plans, situation.curve, workload.scaling.headroom, memory)


# One replica is $2/h; with two of them each carries 4.5 requests/s. By day 9 requests/s for two of them, by night 1.
DAYTIME = ([1.0] * 24 + [9.0] * 24) * 2


def test_what_is_expected_follows_the_hours_of_earlier_days() -> None:
    """Ten days of twelve hours each at two replicas' $4 and at the minimum's $2."""
    rest = rest_of(spec(), known_of(DAYTIME, TEN_LEFT, spec()), TEN_LEFT)
    assert (rest.served, rest.committed, rest.known) == (pytest.approx(720, rel=0.01), pytest.approx(480), True)


def test_what_is_left_of_a_day_is_the_hours_that_are_left() -> None:
    """At 20:00 four hours of the busy half are left."""
    at = TEN_LEFT + 20 * HOUR
    memory = known_of(DAYTIME[:-8], at, spec())
    assert rest_of(spec(), memory, at, period=Period.DAY).served == pytest.approx(16, rel=0.01)


def test_an_announced_event_is_expected_to_cost() -> None:
    """Twice the load for the busy half of one day: two replicas more for twelve hours."""
    memory = known_of(DAYTIME, TEN_LEFT, spec())
    event = DemandWindow(TEN_LEFT + 12 * HOUR, TEN_LEFT + 24 * HOUR, 2.0)
    more = rest_of(spec(), memory, TEN_LEFT, event).served - rest_of(spec(), memory, TEN_LEFT).served
    assert more == pytest.approx(48, rel=0.03)


def test_weeks_are_followed_once_one_was_seen() -> None:
    """Weekends are at night's level: days alone would spread them over the week."""
    week = ([9.0] * 48) * 5 + ([1.0] * 48) * 2
    aligned = [
        week[int((slot - (datetime(2026, 11, 2, tzinfo=UTC).timestamp() // SLOT_SECONDS)) % 336)]
        for slot in range(int(TEN_LEFT // SLOT_SECONDS) - 336, int(TEN_LEFT // SLOT_SECONDS))
    ]
    rest = rest_of(spec(), known_of(aligned, TEN_LEFT, spec()), TEN_LEFT)
    weekend = sum(datetime.fromtimestamp(TEN_LEFT + d * DAY, UTC).weekday() >= 5 for d in range(10))
    assert rest.served == pytest.approx(24 * (4 * (10 - weekend) + 2 * weekend), rel=0.01)


def test_before_a_day_of_load_is_known_the_months_mean_is_expected_and_before_that_what_is_wanted_now() -> None:
    spent = SpendMemory(TEN_LEFT, "2026-11", Decimal(1440), (SpendRate(TEN_LEFT, Decimal(4)),), "2026-11-21")
    memory = replace(known_of([], TEN_LEFT, spec()), spend=spent)
    month = rest_of(spec(), replace(memory, started_at=NOVEMBER), TEN_LEFT)
    assert (month.served, month.known) == (pytest.approx(720), True), "$1440 in twenty days"
    fresh = rest_of(spec(), replace(memory, started_at=TEN_LEFT - HOUR), TEN_LEFT)
    assert (fresh.served, fresh.known) == (pytest.approx(960), False), "two replicas' $4/h go on"


def test_what_is_wanted_is_learned_as_a_multiple_of_what_arrives() -> None:
    _, memory = decide(spec(), observation(signal=signals(rate=8.0, gpu_utilization=0.9), state=running(3)), Memory())
    margin = memory.pacing.margin
    assert margin is not None
    assert margin > 1.2, "three run and are not given up before a forecast came due, where 8 requests/s are two"
    assert memory.pacing.wanted_per_hour == 6


def play(amount: str, loads: list[float], at: float, step: float, **fields: object) -> tuple[list[Decision], list[int]]:
    """Decisions and replicas of a workload under a monthly ceiling, each tick seeing what the one before ordered."""
    workload = spec(variant(high=12), ceilings=monthly(amount), **{"precedence": Precedence.COST, **fields})  # type: ignore[arg-type]
    memory, replicas, decisions, counts = Memory(), 3, [], []
    for load in loads:
        carried = replicas * 4.5
        signal = signals(
            rate=min(load, carried),
            running=min(20.0 * replicas, 4 * load),
            waiting=20.0 if load > carried else 0.0,
            gpu_utilization=min(0.98, load / carried),
        )
        decision, memory = decide(workload, observation(at=at, signal=signal, state=running(replicas)), memory)
        decisions.append(decision)
        replicas = desired(decision)
        counts.append(replicas)
        at += step
    return decisions, counts


@settings(LAW, max_examples=8)
@given(st.lists(st.floats(0.5, 45.0), min_size=1, max_size=8), st.integers(2, 24), st.sampled_from([120.0, 300.0]))
def test_a_clamped_month_never_costs_more_than_its_ceiling_beyond_the_minimum(
    loads: list[float], amount: int, step: float
) -> None:
    """The month's last two hours, whatever the load does. The minimum is one replica for $2/h, so $4 in all."""
    start, ticks = NOVEMBER + 30 * DAY - 2 * HOUR, int(2 * HOUR / step) - 1
    each = -(-ticks // len(loads))
    series = [load for load in loads for _ in range(each)][:ticks]
    decisions, counts = play(str(amount), series, start, step)
    last, lag = decisions[-1].cost, Decimal(24) * Decimal(step / HOUR)
    ends_at = last.month_to_date + Decimal(2 * counts[-1]) * Decimal(step / HOUR)
    assert ends_at <= max(Decimal(amount), Decimal(4)) + lag, "but for what ran until the first decision had its effect"
    spent = [decision.cost.month_to_date for decision in decisions]
    assert all(f is not None and f >= s for f, s in zip((d.cost.month_forecast for d in decisions), spent, strict=True))


def test_a_clamped_month_follows_the_hours_that_are_busy() -> None:
    """Half of what is expected: by night the minimum, by day half of what is wanted beyond it."""
    memory_of = known_of(([1.0] * 24 + [20.0] * 24) * 2, TEN_LEFT, spec())
    workload = spec(precedence=Precedence.COST, ceilings=monthly("840"))
    at = TEN_LEFT + 12 * HOUR
    busy = observation(at=at, signal=signals(rate=20.0, running=80.0, gpu_utilization=0.9), state=running(5))
    shifted = replace(
        memory_of.forecast,
        slots=memory_of.forecast.slots[24:] + memory_of.forecast.slots[:24],
        slot=int(at // SLOT_SECONDS),
    )  # type: ignore[union-attr]
    decision, memory = decide(workload, busy, replace(memory_of, forecast=shifted))
    assert decision.variants[0].limited_by == "cost.ceilings[Month]"
    assert 2 <= desired(decision) <= 4
    text = next(c.text for c in decision.variants[0].causes if c.code == "CeilingPaced")
    assert text.startswith("the monthly ceiling of $840.00 pays for ")
    again, _ = decide(
        workload, replace(busy, state=replace(busy.state, variants=(running(desired(decision)),))), memory
    )
    assert desired(again) == desired(decision), "deciding again changes nothing"


def look(
    at: float, replicas: int, to_date: str, amount: str, enforcement: Enforcement, memory: Memory
) -> tuple[Decision, Memory]:
    workload = spec(ceilings=monthly(amount, enforcement), precedence=Precedence.COST)
    memory = replace(
        memory, spend=SpendMemory(at, "2026-11", Decimal(to_date), (SpendRate(at, Decimal(4)),), "2026-11-21")
    )
    return decide(workload, observation(at=at, state=running(replicas)), memory)


def test_a_budget_is_told_of_at_half_at_four_fifths_at_its_end_and_when_a_new_month_begins() -> None:
    memory, told = Memory(started_at=TEN_LEFT), []
    for to_date in ("40", "55", "58", "85", "101", "102"):
        decision, memory = look(TEN_LEFT, 2, to_date, "100", Enforcement.ALERT, memory)
        told.append([(e.reason.value, e.warning) for e in decision.events])
    approaching = "BudgetCeilingApproaching"
    assert told == [[], [(approaching, False)], [], [(approaching, True)], [("BudgetCeilingReached", True)], []]
    december, _ = decide(
        spec(ceilings=monthly("100", Enforcement.ALERT)), observation(at=NOVEMBER + 30 * DAY + 60), memory
    )
    assert reasons(december) == ["BudgetRecovered"]


def test_a_forecast_beyond_the_ceiling_is_told_in_dollars_and_taken_back() -> None:
    known = replace(known_of([9.0] * 48, TEN_LEFT, spec()), started_at=NOVEMBER, states=())
    decision, memory = look(TEN_LEFT, 2, "700", "1000", Enforcement.ALERT, known)
    event = next(e for e in decision.events if "if all demand is served" in e.message)
    assert event.reason == "BudgetCeilingApproaching"
    assert event.message.startswith("this month costs $1")
    assert event.message.endswith("more than its ceiling of $1000.00 (enforcement Alert); $700.00 are spent")
    assert condition(decision, "WithinBudget") == (True, "ForecastOver")
    text = next(c.message for c in decision.conditions if c.type == "WithinBudget")
    assert "forecast over: $1000.00 per Month; this month $700.00 of $1000.00 are spent, $1" in text
    decision, _ = look(TEN_LEFT, 2, "700", "9000", Enforcement.ALERT, memory)
    assert reasons(decision) == ["BudgetRecovered"]


def test_objectives_that_have_precedence_lose_nothing_that_runs_to_a_month_that_is_spent() -> None:
    at, busy = TEN_LEFT, signals(rate=12.0, running=48.0, gpu_utilization=0.9)
    spent = SpendMemory(at, "2026-11", Decimal(2000), (SpendRate(at, Decimal(6)),), "2026-11-21")
    found = {}
    for precedence in Precedence:
        workload = spec(objectives=(objective(),), ceilings=monthly("1000"), precedence=precedence)
        seen = observation(at=at, signal=busy, state=running(3))
        found[precedence] = desired(decide(workload, seen, Memory(spend=spent))[0])
    assert found == {Precedence.SLO: 3, Precedence.COST: 1}


def test_bad_data_removes_nothing_however_much_is_spent() -> None:
    spent = SpendMemory(TEN_LEFT, "2026-11", Decimal(2000), (SpendRate(TEN_LEFT, Decimal(6)),), "2026-11-21")
    seen: Observation = observation(at=TEN_LEFT, state=running(3), problem="Prometheus is down")
    workload = spec(ceilings=monthly("1000"), precedence=Precedence.COST)
    assert desired(decide(workload, seen, Memory(spend=spent))[0]) == 3
