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

from flyball.core.latency import Distribution, LatencySource, Stage, StageReading, WholeReading
from flyball.core.names import Indicator
from flyball.core.observation import Observation
from flyball.core.spec import TelemetrySource
from flyball.core.stages import lone_share, unavoidable

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
