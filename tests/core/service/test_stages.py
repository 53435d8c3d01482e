"""Which misses speak for more GPUs, and which stage is named: cases, and the two laws over made-up requests."""

import math
from dataclasses import replace

import pytest
from core.cases import (
    BREACHED,
    LAW,
    codes,
    condition,
    decided,
    desired,
    objective,
    observation,
    running,
    settled_memory,
    signals,
    spec,
    texts,
)
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.names import Indicator
from flyball.core.observation import Observation
from flyball.core.service.latency import Distribution, LatencySource, Stage, StageReading, WholeReading
from flyball.core.service.stages import lone_share, unavoidable
from flyball.core.spec import TelemetrySource

WIDTH = 0.1
EDGES = (*(round(WIDTH * step, 1) for step in range(1, 101)), math.inf)
SOURCE = LatencySource((("rag", 1.0),))


def histogram(seconds: list[float]) -> Distribution:
    return Distribution(EDGES, tuple(float(sum(each <= edge for each in seconds)) for edge in EDGES))


def share_above(seconds: list[float], threshold: float) -> float:
    return sum(each > threshold for each in seconds) / len(seconds)


times = st.floats(0.0, 4.0)
requests = st.lists(st.tuples(times, times), min_size=5, max_size=80)


@LAW
@given(requests, st.floats(0.5, 6.0), st.floats(0.05, 1.0))
def test_no_request_is_called_lost_that_gpus_would_save(
    both: list[tuple[float, float]], threshold: float, lone: float
) -> None:
    """The engine's time is as long as measured now, `lone` of it with all the GPUs in the world."""
    whole = histogram([elsewhere + engine for elsewhere, engine in both])
    found = unavoidable(threshold, whole, histogram([engine for _, engine in both]), lone)
    at_best = [elsewhere + lone * engine for elsewhere, engine in both]
    # A histogram knows a duration to within its bucket.
    assert found <= share_above(at_best, threshold - WIDTH) + 1e-9


@LAW
@given(st.lists(times, min_size=5, max_size=80), st.floats(0.1, 4.0))
def test_a_miss_that_the_engine_makes_is_never_called_lost(engine: list[float], threshold: float) -> None:
    assert unavoidable(threshold, histogram(engine), histogram(engine), 0.0) == 0.0


@LAW
@given(st.lists(st.floats(2.0, 4.0), min_size=20, max_size=80), st.floats(0.0, 0.5))
def test_a_miss_that_other_stages_make_alone_is_lost(elsewhere: list[float], engine: float) -> None:
    """Half a second in the engine at most, two elsewhere at least, and one allowed: no GPU saves such a request."""
    whole = histogram([each + engine for each in elsewhere])
    found = unavoidable(1.0, whole, histogram([engine] * len(elsewhere)), 0.0)
    assert found == pytest.approx(1.0)


def test_a_request_that_calls_the_engine_twice_may_owe_it_all_its_time() -> None:
    whole, calls = histogram([4.0] * 20), histogram([2.0] * 40)
    assert unavoidable(3.0, whole, calls, 0.0) == 0.0
    assert unavoidable(3.0, whole, histogram([2.0] * 20), 0.0) == 0.0
    assert unavoidable(1.5, whole, histogram([2.0] * 20), 0.0) == 1.0


ENDS = replace(objective("answer"), indicator=Indicator.END_TO_END, threshold_seconds=3.0)
STAGES = (Stage("Retrieval", SOURCE), Stage("Rerank", SOURCE), Stage("Decode", SOURCE, engine=True))
WORKLOAD = spec(
    objectives=(ENDS,), telemetry=TelemetrySource(latencies=((Indicator.END_TO_END, SOURCE),), stages=STAGES)
)
BUSY = signals(rate=5.5, running=14.0, gpu_utilization=0.95, seconds_per_output_token=0.026)
"""Of two replicas that carry 9 requests/s together: more than half loaded, and nothing waits."""


def missed(elsewhere: float, engine: float) -> Observation:
    """BREACHED because of requests that take so many seconds elsewhere and in the engine."""
    whole = WholeReading("answer", histogram([elsewhere + engine] * 100), histogram([engine] * 100), elsewhere + engine)
    stages = (
        StageReading("Retrieval", elsewhere, elsewhere, elsewhere, 100.0),
        StageReading("Rerank", 0.1, 0.1, 0.1, 100.0),
        StageReading("Decode", engine, engine, engine, 100.0),
    )
    return observation(
        signal=BUSY, objectives=replace(BREACHED, name="answer"), state=running(2), stages=stages, wholes=(whole,)
    )


def everything_missed(seen: Observation) -> Observation:
    shares = tuple(replace(share, good=0.0) for share in seen.signals.objectives[0].shares)
    reading = replace(seen.signals.objectives[0], shares=shares)
    return replace(seen, signals=replace(seen.signals, objectives=(reading,)))


def test_slow_retrieval_is_named_and_adds_no_gpu() -> None:
    decision = decided(WORKLOAD, everything_missed(missed(elsewhere=4.0, engine=0.5)))
    assert desired(decision) <= 2
    assert "SlowElsewhere" in codes(decision)
    assert "SLOBurning" not in codes(decision)
    assert "answer is slow because of Retrieval (p95 4s of 4.5s): more GPUs will not help" in texts(decision)
    assert decision.objectives[0].because == "Retrieval"
    assert condition(decision, "SLOMet") == (False, "Breached")
    (breach,) = [event.message for event in decision.events if event.reason == "SLOBreached"]
    assert "slow because of Retrieval" in breach


def test_a_slow_engine_behind_quick_stages_is_given_gpus_and_named() -> None:
    decision = decided(WORKLOAD, everything_missed(missed(elsewhere=0.2, engine=4.0)))
    assert desired(decision) > 2
    assert "SLOBurning" in codes(decision)
    assert decision.objectives[0].because == "Decode"
    assert not decision.objectives[0].elsewhere


def test_without_the_engines_part_nothing_is_excused() -> None:
    seen = everything_missed(missed(elsewhere=4.0, engine=0.5))
    blind = replace(seen.signals.wholes[0], engine=None)
    decision = decided(WORKLOAD, replace(seen, signals=replace(seen.signals, wholes=(blind,))))
    assert desired(decision) > 2
    assert not decision.objectives[0].because


def test_an_objective_of_a_stage_outside_of_the_engine_sizes_nothing() -> None:
    slow = replace(objective("search"), indicator=Indicator.STAGE, stage="Retrieval")
    seen = everything_missed(missed(elsewhere=4.0, engine=0.5))
    reading = replace(seen.signals.objectives[0], name="search")
    seen = replace(seen, signals=replace(seen.signals, objectives=(reading,), wholes=()))
    decision = decided(replace(WORKLOAD, objectives=(slow,)), seen)
    assert (decision.objectives[0].state, decision.objectives[0].elsewhere) == ("Breached", True)
    assert desired(decision) <= 2


def test_shares_are_of_the_whole_requests_p95() -> None:
    decision = decided(WORKLOAD, missed(elsewhere=3.0, engine=1.0))
    assert [(stage.name, stage.share) for stage in decision.stages] == [
        ("Retrieval", 0.75),
        ("Rerank", 0.025),
        ("Decode", 0.25),
    ]


def own(name: str, p95: float, least: float = 0.3, whole: float = 8.0) -> StageReading:
    """A stage by the engine's own histograms."""
    return StageReading(name, p95, p95, p95, 100.0, least=least, measured_by_engine=True, whole_p95=whole)


OWN = (own("Queue", 5.0), own("Prefill", 1.0), own("Decode", 6.0))


@pytest.mark.parametrize(
    ("indicator", "stages", "named"),
    [
        pytest.param(Indicator.END_TO_END, OWN, "Decode", id="the slowest of all"),
        pytest.param(Indicator.TIME_TO_FIRST_TOKEN, OWN, "Queue", id="of those up to the first token"),
        pytest.param(Indicator.QUEUE_TIME, OWN, "Queue", id="the queue alone"),
        pytest.param(Indicator.INTER_TOKEN_LATENCY, OWN, "", id="a pace is of one stage"),
        pytest.param(Indicator.END_TO_END, (own("Queue", 0.29),), "", id="nothing that is not told apart from nothing"),
        pytest.param(Indicator.END_TO_END, (own("Queue", 0.29), own("Prefill", 0.4)), "Prefill", id="what is told"),
    ],
)
def test_of_an_objective_that_the_engine_measures_its_own_stages_are_named(
    indicator: Indicator, stages: tuple[StageReading, ...], named: str
) -> None:
    ends = replace(ENDS, indicator=indicator)
    seen = observation(signal=BUSY, objectives=replace(BREACHED, name="answer"), state=running(2), stages=stages)
    decision = decided(spec(objectives=(ends,)), seen)
    assert (decision.objectives[0].because, decision.objectives[0].elsewhere) == (named, False)
    blind = decided(spec(objectives=(ends,)), replace(seen, signals=replace(seen.signals, stages=())))
    assert desired(decision) == desired(blind), "naming sizes nothing"
    (breach,) = [event.message for event in decision.events if event.reason == "SLOBreached"]
    assert (f"slow because of {named} (p95" in breach) == bool(named)


@pytest.mark.parametrize(
    ("stages", "named"),
    [
        pytest.param(STAGES, "Queue", id="the engine's part, told apart"),
        pytest.param(STAGES[:2], "Queue", id="the slowest of all, where the engine's part is not declared"),
    ],
)
def test_the_engines_part_is_named_by_its_own_stages(stages: tuple[Stage, ...], named: str) -> None:
    seen = everything_missed(missed(elsewhere=0.2, engine=4.0))
    kept = tuple(each for each in seen.signals.stages if each.name in {stage.name for stage in stages})
    more = (*kept, own("Queue", 3.0), own("Prefill", 1.0))
    workload = replace(WORKLOAD, telemetry=replace(WORKLOAD.telemetry, stages=stages))
    decision = decided(workload, replace(seen, signals=replace(seen.signals, stages=more)))
    assert decision.objectives[0].because == named


def test_retrieval_stays_named_beside_the_engines_own_stages() -> None:
    seen = everything_missed(missed(elsewhere=4.0, engine=0.5))
    more = (*seen.signals.stages, own("Queue", 7.0))
    decision = decided(WORKLOAD, replace(seen, signals=replace(seen.signals, stages=more)))
    assert (decision.objectives[0].because, decision.objectives[0].elsewhere) == ("Retrieval", True)


def test_shares_of_the_engines_own_stages_are_of_its_own_whole() -> None:
    seen = observation(signal=BUSY, state=running(2), stages=(own("Queue", 0.2), own("Decode", 6.0)))
    stages = decided(spec(), seen).stages
    assert [(stage.name, stage.share, stage.least) for stage in stages] == [("Queue", None, 0.3), ("Decode", 0.75, 0.3)]


@pytest.mark.parametrize(
    ("waiting", "samples", "share"),
    [
        pytest.param(0.0, 9, 20 / 26, id="of the time per token now, what a lone request takes"),
        pytest.param(4.0, 9, 0.0, id="a queue may be all of it"),
        pytest.param(0.0, 0, 0.0, id="a guess excuses nothing"),
    ],
)
def test_what_a_lone_request_would_take(waiting: float, samples: int, share: float) -> None:
    seen = observation(signal=signals(waiting=waiting, seconds_per_output_token=0.026), state=running(2))
    memory = settled_memory(spec(), seen)
    (known,) = memory.variants
    fit = replace(known.fit, samples=samples, terms=(0.019, 0.001, 0.0, 0.0))
    memory = replace(memory, variants=(replace(known, fit=fit),))
    assert lone_share(seen.signals, 2, memory) == pytest.approx(share)
