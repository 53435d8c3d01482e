from dataclasses import replace

import pytest
from core.cases import (
    BREACHED,
    BURNING,
    GOOD,
    START,
    codes,
    decided,
    desired,
    hourly,
    objective,
    observation,
    running,
    settled_memory,
    shares,
    signals,
    spec,
    texts,
    variant,
)

from flyball.core.decide import decide
from flyball.core.memory import Memory
from flyball.core.names import Enforcement, Precedence
from flyball.core.observation import ABSENT, ObjectiveReading, VariantState
from flyball.core.spec import Scaling

# Ten requests/s may be 11.9 when a replica ordered now serves: two (9.0) are not enough, three (13.7) are.
TEN = {"rate": 10.0, "running": 30.0, "gpu_utilization": 0.95}
THIRTY = {"rate": 30.0, "running": 150.0, "gpu_utilization": 0.95}
QUIET = {"rate": 1.0, "running": 2.0, "gpu_utilization": 0.5}


@pytest.mark.parametrize(
    ("rate", "waiting", "replicas"),
    [
        pytest.param(1.0, 0.0, 1, id="1.0, perhaps 1.5, are carried by one (4.3)"),
        pytest.param(6.0, 0.0, 2, id="6.0, perhaps 7.4, by two (9.0)"),
        pytest.param(10.0, 0.0, 3, id="10.0, perhaps 11.9, by three (13.7)"),
        pytest.param(10.0, 120.0, 4, id="120 waiting, drained within 30 s: 14.0, perhaps 15.9, by four (18.3)"),
        pytest.param(60.0, 0.0, 10, id="60 are beyond the maximum of ten"),
    ],
)
def test_what_may_arrive_is_staffed_for(rate: float, waiting: float, replicas: int) -> None:
    signal = signals(rate=rate, waiting=waiting, gpu_utilization=0.95)
    decision = decided(spec(), observation(signal=signal, state=running(1)))
    assert desired(decision) == replicas
    assert decision.variants[0].limited_by == ("maxReplicas" if rate == 60.0 else "")
    assert f"{rate:.2f} requests/s arrive" in texts(decision)


@pytest.mark.parametrize(
    ("utilization", "replicas", "code"),
    [
        pytest.param(0.95, 3, "SLOBurning", id="busy GPUs with breached latency: one more"),
        pytest.param(0.60, 2, "GPUsWouldNotHelp", id="half busy: another GPU would not help"),
        pytest.param(0.10, 2, "GPUsWouldNotHelp", id="idle: nor would it, and none goes while users suffer"),
        pytest.param(None, 3, "SLOBurning", id="unknown: the users' experience decides"),
    ],
)
def test_utilization_decides_where_latency_and_queue_are_equal(
    utilization: float | None, replicas: int, code: str
) -> None:
    """Two replicas for 6 requests/s, no queue, half the requests late: only the utilization differs."""
    signal = signals(rate=6.0, running=20.0, gpu_utilization=ABSENT if utilization is None else utilization)
    decision = decided(spec(), observation(signal=signal, objectives=BREACHED))
    assert desired(decision) == replicas
    assert code in codes(decision)


@pytest.mark.parametrize(
    ("utilization", "replicas", "code"),
    [
        pytest.param(0.95, 4, "Saturated", id="busy GPUs behind a queue: demand and queue are staffed for"),
        pytest.param(0.50, 3, "Starved", id="unbusy GPUs behind the same queue: something else is short"),
    ],
)
def test_utilization_decides_what_a_queue_means(utilization: float, replicas: int, code: str) -> None:
    """10 + 120/30 = 14 requests/s by four."""
    signal = signals(rate=10.0, running=30.0, waiting=120.0, gpu_utilization=utilization)
    decision = decided(spec(), observation(signal=signal, state=running(3)))
    assert (desired(decision), code in codes(decision)) == (replicas, True)


@pytest.mark.parametrize(
    ("utilization", "waiting", "replicas"),
    [
        pytest.param(0.95, 4.0, 4, id="saturated vetoes what demand alone would allow"),
        pytest.param(0.95, 0.0, 2, id="efficient without a queue allows it, by half where nothing was measured yet"),
        pytest.param(0.10, 0.0, 2, id="idle allows it"),
    ],
)
def test_saturated_never_goes_down(utilization: float, waiting: float, replicas: int) -> None:
    signal = signals(rate=1.0, waiting=waiting, gpu_utilization=utilization)
    assert desired(decided(spec(), observation(signal=signal, state=running(4)))) == replicas


def test_a_breach_that_the_model_does_not_explain_asks_for_a_quarter_more_and_then_waits_for_it() -> None:
    """8 replicas carry 30 requests/s; ⌈8/4⌉ = 2 more; while they start nothing is added to that."""
    busy = signals(**THIRTY)
    ten = decided(spec(variant(high=20)), observation(signal=busy, state=running(8), objectives=BREACHED))
    assert desired(ten) == 10
    coming = running(10, ready=8, starting=2)
    seen = observation(signal=busy, state=coming, objectives=BREACHED)
    decision = decided(spec(variant(high=20)), seen)
    assert desired(decision) == 10
    assert "waiting for 2 replicas on the way" in texts(decision)


def test_what_burns_only_in_the_shortest_window_is_left_to_the_model() -> None:
    decision = decided(
        spec(variant(high=20)), observation(signal=signals(**THIRTY), state=running(8), objectives=BURNING)
    )
    assert desired(decision) == 8
    assert "not for long enough to outrank the model" in texts(decision)


def test_where_the_model_asks_for_more_already_a_breach_adds_nothing() -> None:
    decision = decided(spec(), observation(signal=signals(**TEN), state=running(2), objectives=BREACHED))
    assert desired(decision) == 3
    assert "more are asked for" in texts(decision)


@pytest.mark.parametrize(
    ("passed", "waiting", "replicas"),
    [
        pytest.param(59.0, 3.0, 3, id="a window must pass since the last replica came"),
        pytest.param(60.0, 3.0, 4, id="with a queue one is enough"),
        pytest.param(60.0, 0.0, 3, id="without a queue the window may only remember the one that is gone"),
        pytest.param(120.0, 0.0, 4, id="after two it is sure"),
    ],
)
def test_a_step_must_show_its_effect_before_the_next(passed: float, waiting: float, replicas: int) -> None:
    seen = observation(signal=signals(**TEN | {"waiting": waiting}), state=running(3), objectives=BREACHED)
    memory = settled_memory(spec(), replace(seen, at=START + 600.0 - passed))
    memory = replace(memory, variants=tuple(replace(v, ready_changed_at=START - passed) for v in memory.variants))
    assert desired(decide(spec(), seen, memory)[0]) == replicas


def test_what_only_stays_burning_for_want_of_proof_removes_and_adds_nothing() -> None:
    seen = observation(signal=signals(**TEN), state=running(4), objectives=shares((4, 40), (4, 40)))
    memory = replace(settled_memory(spec(), seen), states=(("objective/ttft", "Burning"),))
    decision, _ = decide(spec(), seen, memory)
    assert desired(decision) == 4
    assert "not for long enough to outrank the model" in texts(decision)


def test_replicas_that_carry_less_than_half_of_what_they_can_are_not_what_users_suffer_from() -> None:
    """2 of the 13.7 requests/s that three carry: another one would change nothing, and one may go."""
    seen = observation(signal=signals(gpu_utilization=0.9), state=running(3), objectives=BREACHED)
    decision = decided(spec(), seen)
    assert desired(decision) == 2
    assert "replicas carry less than half of what they can" in texts(decision)


def test_a_burning_workload_grows_where_there_is_room() -> None:
    """The cheap variant is at its maximum, so the step goes to the dear one."""
    workload = spec(variant("cheap", high=2, price="1"), variant("dear", price="3"))
    signal = (signals("cheap", rate=7.0, gpu_utilization=0.95), signals("dear", rate=7.0, gpu_utilization=0.95))
    state = (running(2, "cheap"), running(2, "dear"))
    decision = decided(workload, observation(signal=signal, state=state, objectives=BREACHED))
    assert {v.name: v.desired for v in decision.variants} == {"cheap": 2, "dear": 3}


def test_at_every_maximum_a_burning_workload_says_so() -> None:
    seen = observation(signal=signals(**TEN), state=running(3), objectives=BURNING)
    decision = decided(spec(variant(high=3)), seen)
    assert desired(decision) == 3
    assert "every target is at its maximum" in texts(decision)


def test_several_burning_objectives_are_named_in_one_sentence() -> None:
    workload = spec(objectives=(objective(), objective("gap")))
    both = (BURNING, ObjectiveReading("gap", BURNING.state, BURNING.shares))
    said = texts(decided(workload, observation(signal=signals(**TEN), state=running(3), objectives=both)))
    assert "ttft and gap burn their error budgets" in said


def test_a_latency_that_a_lone_request_breaks_is_not_answered_with_gpus() -> None:
    workload = spec(objectives=(objective(threshold_seconds=0.010),))
    seen = observation(signal=signals(rate=6.0, running=20.0, gpu_utilization=0.95), objectives=BREACHED)
    decision = decided(workload, seen)
    assert desired(decision) == 2
    assert "no number of replicas can meet TimeToFirstToken (a lone prompt takes 0.02 s)" in texts(decision)


@pytest.mark.parametrize(
    ("precedence", "objectives", "current", "replicas"),
    [
        pytest.param(Precedence.COST, GOOD, 1, 2, id="cost first: three are needed, two are paid for"),
        pytest.param(Precedence.COST, BREACHED, 3, 2, id="also when breached, and also from above"),
        pytest.param(Precedence.SLO, GOOD, 1, 2, id="objectives first: nothing is breached, so it holds as well"),
        pytest.param(Precedence.SLO, BREACHED, 1, 3, id="a breach lifts it"),
        pytest.param(Precedence.SLO, GOOD, 3, 3, id="and what is needed is not taken away when it is met again"),
    ],
)
def test_the_hourly_ceiling_yields_as_the_user_says(
    precedence: Precedence, objectives: ObjectiveReading, current: int, replicas: int
) -> None:
    """$4/h pay for two replicas at $2."""
    workload = spec(precedence=precedence, ceilings=hourly("4"))
    signal = signals(**TEN)
    memory = settled_memory(workload, observation(signal=signal, state=running(current)))
    seen = observation(signal=signal, state=running(current, ready=1, starting=current - 1), objectives=objectives)
    decision = decide(workload, seen, memory)[0]
    assert desired(decision) == replicas
    assert decision.variants[0].limited_by == ("cost.ceilings[Hour]" if replicas == 2 else "")


def test_a_ceiling_that_only_alerts_bounds_nothing() -> None:
    workload = spec(precedence=Precedence.COST, ceilings=hourly("2", Enforcement.ALERT))
    assert desired(decided(workload, observation(signal=signals(**TEN), state=running(1)))) == 3


def test_a_ceiling_with_precedence_cuts_through_the_hold_and_through_saturation() -> None:
    workload = spec(precedence=Precedence.COST, ceilings=hourly("4"))
    queue = signals(rate=20.0, waiting=30.0, gpu_utilization=0.99)
    seen = observation(signal=queue, state=running(6))
    memory = decide(workload, replace(seen, at=START - 15.0), settled_memory(workload, seen))[1]
    assert desired(decide(workload, seen, memory)[0]) == 2


def test_partial_data_removes_nothing_even_for_a_ceiling_with_precedence() -> None:
    workload = spec(precedence=Precedence.COST, ceilings=hourly("4"))
    silent = observation(signal=signals(**QUIET | {"reporting_replicas": 2.0}), state=running(3))
    assert desired(decided(workload, silent)) == 3


def test_what_partial_data_could_not_judge_was_needed_then() -> None:
    """After a minute of a silent replica the first whole looks still wait out the hold of 180 s."""
    whole, silent = signals(**QUIET), signals(**QUIET | {"reporting_replicas": 2.0})
    memory, counts = settled_memory(spec(), observation(signal=whole, state=running(3))), []
    for seconds, signal in (
        (0.0, silent),
        (15.0, silent),
        (45.0, silent),
        (60.0, whole),
        (224.0, whole),
        (225.0, whole),
    ):
        decision, memory = decide(spec(), observation(at=START + seconds, signal=signal, state=running(3)), memory)
        counts.append(desired(decision))
    assert counts == [3, 3, 3, 3, 3, 2]


def test_a_peak_holds_for_a_while_and_then_goes() -> None:
    """Start-up 30 s, so the shortest hold of 180 s: replicas needed at 0 stay at 179 and go at 180."""
    workload = spec()
    peak, quiet = signals(**TEN), signals(**QUIET)
    _, memory = decide(workload, observation(signal=peak, state=running(3)), settled_memory(workload, observation()))
    counts = []
    for seconds in (15.0, 179.0, 180.0):
        seen = observation(at=START + seconds, signal=quiet, state=running(3))
        decision, memory = decide(workload, seen, replace(memory, backlog=()))
        counts.append(desired(decision))
    assert counts == [3, 3, 2]


def test_what_ran_before_the_first_look_was_needed_for_all_that_is_known() -> None:
    seen = observation(signal=signals(**QUIET), state=running(5))
    decision, _ = decide(spec(), seen, Memory())
    assert desired(decision) == 5
    assert "5 replicas were needed within the last 180 s; waiting it out" in texts(decision)


@pytest.mark.parametrize(
    ("scaling", "signal", "current", "replicas", "limit"),
    [
        pytest.param(Scaling(up_max_step=1), signals(**TEN), 1, 2, "scaling.up.maxStep", id="one up at a time"),
        pytest.param(Scaling(down_max_step=1), signals(**QUIET), 5, 4, "scaling.down.maxStep", id="one down at a time"),
        pytest.param(Scaling(headroom=0.0), signals(rate=7.3), 1, 2, "", id="7.3 without headroom are carried by two"),
        pytest.param(Scaling(headroom=0.5), signals(rate=7.3), 1, 3, "", id="10.95 with half on top by three"),
        pytest.param(Scaling(down_stabilization_seconds=300.0), signals(**QUIET), 5, 3, "", id="a hold that is over"),
    ],
)
def test_the_users_own_limits(scaling: Scaling, signal: object, current: int, replicas: int, limit: str) -> None:
    decision = decided(spec(scaling=scaling), observation(signal=signal, state=running(current)))
    assert (desired(decision), decision.variants[0].limited_by) == (replicas, limit)


def test_up_stabilization_waits_until_the_need_has_lasted() -> None:
    workload = spec(scaling=Scaling(up_stabilization_seconds=30.0))
    quiet = observation(at=START - 15.0, signal=signals(**QUIET), state=running(1))
    _, memory = decide(workload, quiet, settled_memory(workload, quiet))
    counts = []
    for tick in range(4):
        seen = observation(at=START + 15.0 * tick, signal=signals(**TEN | {"running": 20.0}), state=running(1))
        decision, memory = decide(workload, seen, replace(memory, backlog=()))
        counts.append(desired(decision))
    assert counts == [1, 1, 3, 3]


@pytest.mark.parametrize(
    ("state", "limit"),
    [
        pytest.param(running(1, contender="HorizontalPodAutoscaler/chat"), "target", id="another scales it"),
        pytest.param(running(1, scalable=False), "target", id="it has no scale subresource"),
        pytest.param(VariantState("gpu", exists=False, scalable=False), "target", id="it is missing"),
        pytest.param(running(0), "zero", id="somebody scaled it to zero, and zero is allowed"),
    ],
)
def test_hands_off(state: VariantState, limit: str) -> None:
    decision = decided(spec(variant(low=0)), observation(signal=signals(**TEN), state=state))
    assert (desired(decision), decision.variants[0].limited_by) == (state.replicas, limit)


def test_a_target_at_zero_comes_when_needed_beside_one_that_always_stays() -> None:
    """10 requests/s: the dear replica stays, the cheap ones come from none."""
    workload = spec(variant("cheap", low=0, price="1"), variant("dear", price="3"))
    state = (running(0, "cheap"), running(1, "dear"))
    decision = decided(workload, observation(signal=(signals("dear", **TEN),), state=state))
    assert [v.desired for v in decision.variants if v.name == "cheap"] > [0]
    left_alone = decided(
        workload, observation(signal=(signals("dear", **TEN),), state=(state[0], replace(state[1], contender="HPA/x")))
    )
    assert [v.desired for v in left_alone.variants] == [0, 1], (
        "with nothing else that Flyball scales, it was switched off"
    )


def test_below_its_minimum_a_target_is_raised() -> None:
    decision = decided(spec(variant(low=2)), observation(signal=signals(**QUIET), state=running(1)))
    assert (desired(decision), decision.variants[0].limited_by) == (2, "")


def test_above_its_maximum_a_target_is_lowered_even_on_bad_data() -> None:
    decision = decided(spec(variant(high=3)), observation(problem="Prometheus is down", state=running(5)))
    assert (desired(decision), decision.variants[0].limited_by) == (3, "maxReplicas")


def test_a_variant_that_cannot_move_gives_its_share_to_the_other() -> None:
    """The cheap one is gone: the dear one carries all 10 requests/s and keeps its three."""
    workload = spec(variant("cheap", price="1"), variant("dear", price="3"))
    state = (VariantState("cheap", exists=False, scalable=False), running(3, "dear"))
    decision = decided(workload, observation(signal=(signals("dear", **TEN),), state=state))
    assert {v.name: v.desired for v in decision.variants} == {"cheap": 0, "dear": 3}


def test_a_variant_makes_room_only_once_the_other_serves() -> None:
    workload = spec(variant("cheap", price="1"), variant("dear", price="3"))
    found = (signals("cheap", rate=0.0), signals("dear", **TEN))

    def dear(cheap: VariantState) -> int:
        seen = observation(signal=found, state=(cheap, running(3, "dear")))
        return decided(workload, seen).variants[1].desired

    assert dear(running(3, "cheap", ready=0, starting=3)) == 3
    assert dear(running(3, "cheap", ready=0, unschedulable=3)) == 3
    assert dear(running(3, "cheap")) == 2
