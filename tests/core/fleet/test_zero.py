"""To zero replicas and back: what lets the last one go, what holds it, what wakes it, and the laws of it all."""

import math
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from core import worlds
from core.cases import (
    LAW,
    START,
    TICK,
    condition,
    desired,
    fallback,
    observation,
    reasons,
    route,
    running,
    signals,
    texts,
    variant,
)
from core.cases import spec as workload
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.core.decide import decide
from flyball.core.decision import Decision
from flyball.core.fleet.zero import BLIND_SECONDS
from flyball.core.memory import Memory
from flyball.core.names import Enforcement, Mode, Precedence
from flyball.core.observation import ABSENT, Observation, Reading, RouteState, SignalState, VariantState, ok
from flyball.core.spec import Ceiling, Period, Scaling, TargetRef, ToZero, WorkloadSpec
from flyball.core.traffic.demand_events import DemandWindow

IDLE_AFTER, START_UP = 120.0, 30.0
QUIET: dict[str, Any] = {"rate": 0.0, "running": 0.0, "gpu_utilization": 0.0, "kv_cache_usage": 0.0}
NOBODY = ok(0.0)
BLIND = Reading(math.nan, SignalState.STALE, 90.0)


def declared(query: str = "sum(rate(gateway_requests_total[1m]))", **fields: Any) -> Scaling:
    return Scaling(to_zero=ToZero(IDLE_AFTER, query=query, **fields))


def idle_spec(*variants: Any, scaling: Scaling | None = None, **fields: Any) -> WorkloadSpec:
    return workload(*variants or (variant(low=0),), scaling=scaling or declared(), **fields)


@dataclass
class Play:
    """A small cluster: what is decided is done at once, replicas are ready `start_up` seconds later."""

    spec: WorkloadSpec
    replicas: int = 1
    ready: int = 1
    at: float = START
    memory: Memory = field(default_factory=Memory)
    route: RouteState | None = None
    due: float = math.inf

    def seen(self, wanted: Reading = NOBODY, **fields: Any) -> Observation:
        if self.replicas and self.at >= self.due:
            self.ready, self.due = self.replicas, math.inf
        given_signal = fields.pop("signal", signals(**QUIET))
        found = observation(
            at=self.at,
            signal=given_signal if self.ready else (),
            state=VariantState("gpu", replicas=self.replicas, ready=self.ready, starting=self.replicas - self.ready),
            routes=(replace(self.route, primary_ready_endpoints=self.ready),) if self.route else (),
            objectives=(),
            wanted=wanted,
            **{name: value for name, value in fields.items() if name != "expected"},
        )
        return replace(found, expected=fields.get("expected", ()))

    def tick(self, wanted: Reading = NOBODY, **fields: Any) -> Decision:
        decision, self.memory = decide(self.spec, self.seen(wanted, **fields), self.memory)
        count = desired(decision)
        if self.spec.mode is Mode.AUTO:
            if count > self.replicas == 0:
                self.due = self.at + START_UP
            self.replicas, self.ready = count, min(self.ready, count)
            if self.route and decision.routes:
                weights = decision.routes[0].weights
                self.route = replace(
                    self.route,
                    primary_weight=weights[0] if weights else 1,
                    fallback_weight=weights[1] if weights else 0,
                    original_weights=(1, 0) if weights else None,
                    applied_weights=weights,
                )
        self.at += TICK
        return decision

    def until_zero(self, most: float = 3600.0, **fields: Any) -> float:
        """Seconds of silence until no replica is wanted."""
        began = self.at
        while self.at - began < most:
            if desired(self.tick(**fields)) == 0:
                return self.at - TICK - began
        return math.inf


def asleep(spec: WorkloadSpec | None = None, **fields: Any) -> Play:
    play = Play(spec or idle_spec(), **fields)
    assert play.until_zero() < math.inf
    return play


def test_the_last_replica_goes_when_nobody_has_asked_for_long_enough() -> None:
    play = Play(idle_spec())
    assert play.until_zero() == IDLE_AFTER
    told = play.tick()
    assert condition(told, "ScaleToZero") == (True, "AtZero")
    assert "503 from the gateway until a replica is ready, in about 30s" in texts(told)
    assert condition(told, "TelemetryHealthy") == (True, "AtZero"), "what no pod exports is not stale"
    assert reasons(told) == []


def test_without_a_declaration_one_replica_stays() -> None:
    play = Play(workload(variant(low=0)))
    assert play.until_zero() == math.inf
    with pytest.raises(StopIteration):
        condition(play.tick(), "ScaleToZero")


BUSY = signals(rate=0.0, running=1.0, gpu_utilization=0.1)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param({"wanted": ok(0.1)}, id="somebody asks at the gateway"),
        pytest.param({"wanted": ABSENT}, id="the wake-up signal is absent"),
        pytest.param({"wanted": BLIND}, id="it is stale"),
        pytest.param({"wanted": Reading(math.nan, SignalState.OK)}, id="it is no number"),
        pytest.param({"wanted": Reading(-1.0, SignalState.OK)}, id="it cannot be"),
        pytest.param({"signal": BUSY}, id="a request runs"),
        pytest.param({"signal": signals(**QUIET | {"rate": 0.02})}, id="a request has just finished"),
        pytest.param({"signal": signals(**QUIET | {"waiting": 1.0})}, id="a request waits"),
        pytest.param({"signal": signals(**QUIET, waiting=ABSENT)}, id="nobody knows whether one waits"),
        pytest.param({"signal": ()}, id="the engine's metrics are lost"),
        pytest.param({"problem": "Prometheus is down"}, id="Prometheus is down"),
        pytest.param({"signal": signals(**QUIET, reporting_replicas=0.0)}, id="its pod does not report"),
        pytest.param({"cluster_problem": "the API server is down"}, id="the cluster was not seen"),
        pytest.param({"expected": (DemandWindow(START, START + 1e6, 3.0),)}, id="a DemandEvent is on"),
        pytest.param({"expected": (DemandWindow(START + IDLE_AFTER + 60, START + 1e6, 3.0),)}, id="or begins soon"),
    ],
)
def test_one_look_that_is_not_quiet_starts_the_wait_again(seen: dict[str, Any]) -> None:
    play = Play(idle_spec())
    play.tick()
    while play.at < START + IDLE_AFTER:
        assert desired(play.tick()) == 1
    assert desired(play.tick(**seen)) == 1
    assert play.until_zero() >= IDLE_AFTER - TICK


def test_a_gap_between_looks_may_have_held_a_request() -> None:
    play = Play(idle_spec())
    play.tick()
    play.at += IDLE_AFTER - 2 * TICK
    assert play.until_zero() == IDLE_AFTER


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        pytest.param({"wanted": ok(0.0)}, "AtZero", id="nobody asks"),
        pytest.param({"wanted": ok(0.02)}, "WokenUp", id="somebody asks"),
        pytest.param({"wanted": ABSENT}, "AtZero", id="one answer that is lost is no alarm"),
        pytest.param({"expected": (DemandWindow(START + 4000, START + 1e6, 3.0),)}, "AtZero", id="an event is far"),
        pytest.param({"expected": (DemandWindow(START + 200, START + 1e6, 3.0),)}, "WokenUp", id="an event is near"),
    ],
)
def test_what_wakes_it(seen: dict[str, Any], code: str) -> None:
    play = asleep()
    decision = play.tick(**seen)
    assert {cause.code for v in decision.variants for cause in v.causes} == {code}
    assert desired(decision) == (code == "WokenUp")


def test_where_nobody_could_be_heard_for_long_it_wakes_and_says_so() -> None:
    play = asleep()
    lost_at = play.at
    while desired(decision := play.tick(wanted=ABSENT)) == 0:
        pass
    assert decision.at - lost_at == BLIND_SECONDS
    assert condition(decision, "ScaleToZero") == (None, "WakeUpSignalLost")
    assert "must give 0, not nothing" in next(c.message for c in decision.conditions if c.type == "ScaleToZero")


def test_an_unreadable_signal_is_told_once_it_is_older_than_a_sample_may_be() -> None:
    play = asleep()
    told = [event for _ in range(20) for event in reasons(play.tick(wanted=ABSENT))]
    assert told == ["ScaleToZeroRefused"]


def test_the_least_time_at_zero_goes_before_whoever_asks() -> None:
    play = asleep(idle_spec(scaling=declared(min_hold_seconds=300.0)))
    began = play.at - TICK
    while desired(decision := play.tick(wanted=ok(1.0))) == 0:
        assert "stays at zero for scaleToZero.minHold first" in texts(decision)
    assert decision.at - began == 300.0


@pytest.mark.parametrize(
    ("made", "code", "fix"),
    [
        pytest.param(idle_spec(scaling=declared(query="")), "NoWakeUpSignal", "wakeUp.query", id="nothing tells"),
        pytest.param(idle_spec(variant(low=1)), "MinReplicas", "set it to 0", id="a minimum"),
        pytest.param(
            idle_spec(variant("gpu", low=0), variant("b", low=0)), "NotHandled", "cannot scale b", id="a missing target"
        ),
    ],
)
def test_what_is_refused_stays_and_names_the_fix(made: WorkloadSpec, code: str, fix: str) -> None:
    play = Play(made)
    decision = play.tick()
    assert condition(decision, "ScaleToZero") == (False, code)
    assert fix in next(c.message for c in decision.conditions if c.type == "ScaleToZero")
    assert "ScaleToZeroRefused" in reasons(decision)
    assert play.until_zero(600.0) == math.inf


def test_a_fallback_target_tells_as_well_as_a_query() -> None:
    small = TargetRef("apps/v1", "Deployment", "small")
    assert Play(idle_spec(scaling=declared(query="", fallback_target=small))).until_zero() == IDLE_AFTER


def test_found_at_zero_where_it_may_not_be_it_is_woken() -> None:
    play = Play(idle_spec(scaling=declared(query="")), replicas=0, ready=0)
    assert desired(play.tick()) == 1


def test_it_is_woken_when_the_declaration_goes_and_left_alone_where_people_switched_it_off() -> None:
    play = asleep()
    play.spec = workload(variant(low=0))
    assert desired(play.tick()) == 1
    by_hand = Play(workload(variant(low=0)), replicas=0, ready=0)
    assert desired(by_hand.tick()) == 0


def overflowing(**fields: Any) -> Play:
    hosted = fallback(trigger_for_seconds=30.0, min_hold_seconds=60.0, return_hold_seconds=30.0)
    return Play(idle_spec(fallback=hosted, **fields), route=route())


def test_traffic_is_on_the_fallback_before_the_last_replica_goes_and_back_after_one_is_ready() -> None:
    play = overflowing()
    went: list[tuple[int, tuple[int, int] | None]] = []
    for _ in range(20):
        decision = play.tick()
        went.append((desired(decision), decision.routes[0].weights))
    steps = list(dict.fromkeys(went))
    assert steps == [(1, None), (1, (0, 100)), (0, (0, 100))]
    assert "meanwhile chat-hosted serves what comes" in texts(decision)
    assert decision.fallback is not None
    assert decision.fallback.cause == "nobody has asked for it, so no replica is kept"
    came = []
    for _ in range(60):
        decision = play.tick(wanted=ok(1.0))
        came.append((desired(decision), play.ready, decision.routes[0].weights))
    assert came[0] == (1, 0, (0, 100))
    assert all(weights == (0, 100) for _, ready, weights in came if not ready)
    assert (1, 1, (5, 95)) in came, "it served nothing for long, so it is tried with a little traffic first"
    assert came[-1] == (1, 1, None)


def test_while_the_traffic_leaves_a_request_calls_it_all_off() -> None:
    play = overflowing()
    while play.tick().routes[0].weights is None:
        pass
    decision = play.tick(wanted=ok(1.0))
    assert (desired(decision), decision.routes[0].weights) == (1, (50, 50)), "maxOverflow holds again"
    assert play.until_zero() >= IDLE_AFTER - TICK


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param({"fallback_ready_endpoints": 0}, id="it has no endpoint"),
        pytest.param({"problem": "no such rule"}, id="its route is not found"),
        pytest.param({"applied_weights": (50, 50)}, id="somebody else moves its weights"),
    ],
)
def test_without_a_fallback_that_works_the_last_replica_stays_and_comes_back(trouble: dict[str, Any]) -> None:
    play = overflowing()
    broken = replace(play.route or route(), **trouble)
    decision = Play(play.spec, route=broken).tick()
    assert condition(decision, "ScaleToZero") == (False, "FallbackBlocked")
    assert play.until_zero() < math.inf
    play.route = replace(play.route or route(), **trouble)
    assert desired(play.tick()) == 1


def test_a_fallback_that_serves_outlasts_a_lost_signal() -> None:
    play = overflowing()
    assert play.until_zero() < math.inf
    assert [desired(play.tick(wanted=ABSENT)) for _ in range(30)] == [0] * 30


def test_recommend_shows_it_and_moves_nothing() -> None:
    play = overflowing(mode=Mode.RECOMMEND)
    assert play.until_zero() == IDLE_AFTER
    decision = play.tick()
    assert (desired(decision), decision.routes[0].weights) == (0, None)


def test_what_waits_costs_is_weighed_against_the_replica() -> None:
    """One request of $1 waits for a replica of $2/h: worth 1800 s of it, and 30 s to start."""
    assert Play(idle_spec(value_per_request=Decimal(1))).until_zero() == 1830.0
    dear = fallback(price_per_request=Decimal("0.50"), trigger_for_seconds=0.0)
    assert Play(idle_spec(fallback=dear), route=route()).until_zero() == pytest.approx(930.0, abs=2 * TICK)


def test_gaps_that_were_seen_teach_how_long_to_keep_it() -> None:
    """Requests every four minutes, where a new replica would cost 330 s: it is kept through such gaps."""
    play = Play(idle_spec(variant(low=0, startup_seconds=330.0)))
    for _ in range(8):
        for _ in range(16):
            assert desired(play.tick()) == 1
        play.tick(wanted=ok(1.0))
    assert play.memory.zero.gaps[-5:] == (255.0,) * 5
    assert play.until_zero() == pytest.approx(255.0 + 330.0, abs=TICK + 5.0)


def test_the_variant_that_is_there_soonest_is_woken_and_a_ceiling_that_outranks_is_kept() -> None:
    two = (variant("slow", low=0, startup_seconds=300.0, price="1"), variant("gpu", low=0, startup_seconds=30.0))

    def woken(**fields: Any) -> dict[str, int]:
        made = idle_spec(*two, **fields)
        seen = replace(Play(made, replicas=0, ready=0).seen(ok(1.0)), at=START)
        state = replace(seen.state, variants=(running(0, "slow"), running(0, "gpu")))
        return {v.name: v.desired for v in decide(made, replace(seen, state=state), Memory())[0].variants}

    assert woken() == {"slow": 0, "gpu": 1}
    low = (Ceiling(Period.HOUR, Decimal("1.50"), Enforcement.CLAMP),)
    assert woken(ceilings=low, precedence=Precedence.COST) == {"slow": 0, "gpu": 0}


EVENTS: dict[str, dict[str, Any]] = {
    "quiet": {},
    "asks": {"wanted": ok(0.5)},
    "busy": {"signal": BUSY},
    "deaf": {"wanted": ABSENT},
    "stale": {"wanted": BLIND},
    "lost": {"signal": ()},
    "down": {"problem": "Prometheus is down", "wanted": ABSENT},
}
HOLD = 60.0


@dataclass(frozen=True)
class Look:
    """One tick of a story: what happened, what stood before it, and what was decided."""

    at: float
    event: str
    replicas: int
    ready: int
    desired: int


@st.composite
def stories(draw: st.DrawFn) -> list[Look]:
    stretches = draw(st.lists(st.tuples(st.sampled_from([*EVENTS, "quiet", "quiet"]), st.integers(1, 16)), max_size=8))
    hosted = draw(st.booleans())
    made = idle_spec(variant(low=0, high=3), scaling=declared(min_hold_seconds=HOLD))
    play = Play(replace(made, fallback=fallback(trigger_for_seconds=0.0)) if hosted else made)
    play.route = route() if hosted else None
    looks = []
    for event in [name for name, times in stretches for _ in range(times)]:
        play.seen()
        at, replicas, ready = play.at, play.replicas, play.ready
        looks.append(Look(at, event, replicas, ready, desired(play.tick(**EVENTS[event]))))
    last, memory = play.seen(), play.memory
    decision = play.tick()
    assert decide(play.spec, last, memory) == (decision, play.memory), "deciding twice is deciding once"
    return looks


@settings(LAW, max_examples=40)
@given(stories())
def test_it_goes_to_zero_only_after_silence_that_was_seen(looks: list[Look]) -> None:
    for index, look in enumerate(looks):
        if look.desired < look.replicas:
            watched = [one for one in looks[: index + 1] if one.at > look.at - IDLE_AFTER]
            assert all(one.event == "quiet" and one.ready for one in watched)
            assert look.at - looks[0].at >= IDLE_AFTER


@settings(LAW, max_examples=40)
@given(stories())
def test_it_wakes_within_the_tick_that_hears_somebody_and_not_before_its_least_time_at_zero(looks: list[Look]) -> None:
    asleep_since: float | None = None
    for look in looks:
        if look.replicas == 0:
            assert asleep_since is not None
            held = look.at - asleep_since < HOLD
            assert (look.event == "asks" and not held) <= (look.desired == 1)
            assert not held or look.desired == 0
        if look.desired == 0 and look.replicas:
            asleep_since = look.at


@settings(LAW, max_examples=40)
@given(stories())
def test_it_turns_no_faster_than_its_holds_and_stays_within_its_bounds(looks: list[Look]) -> None:
    turns = [look for look in looks if (look.desired == 0) != (look.replicas == 0)]
    for before, after in pairwise(turns):
        assert after.at - before.at >= (HOLD if after.desired else IDLE_AFTER)
    assert all(0 <= look.desired <= 3 for look in looks)


@settings(LAW, max_examples=40)
@given(worlds.stories(worlds.wild), st.lists(worlds.reading, min_size=5, max_size=5))
def test_whatever_a_port_hands_in_it_stays_within_bounds_and_removes_nothing_unseen(
    ticks: list[worlds.Tick], wanted: list[Reading]
) -> None:
    memory = Memory()
    for tick, asked in zip(ticks, wanted, strict=False):
        made = replace(tick.spec, scaling=replace(tick.spec.scaling, to_zero=ToZero(1.0, query="q")))
        seen = replace(tick.seen, signals=replace(tick.seen.signals, wanted=asked))
        decision, memory = decide(made, seen, memory)
        for own, found in zip(made.variants, decision.variants, strict=True):
            state = seen.state.variant(own.name)
            if not state.manageable or seen.state.problem:
                assert found.desired == state.replicas, "hands off"
            else:
                assert own.min_replicas <= found.desired <= own.max_replicas
                left = any(decided.desired for decided in decision.variants)
                assert asked.ok or left or not state.replicas, "a variant may go where another stays"
