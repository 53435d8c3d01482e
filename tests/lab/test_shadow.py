"""The lab's rivals on an operator's samples: what each asks for by hand, what it lacks, and that nothing is done."""

import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

import pytest
from core import cases
from hypothesis import given
from hypothesis import strategies as st

from flyball.api.v1alpha1.words import ShadowPolicy
from flyball.core.advice.shadow import LoadTest, ReplicaSample, ReplicaSignal, RivalReply, Sight
from flyball.core.fleet.capacity import RequestShape, start_fit
from flyball.core.memory import Memory, VariantMemory
from flyball.core.observation import WorkloadState
from flyball.core.spec import WorkloadSpec
from flyball.lab.fleet.samples import FIRST_TOKEN, Column
from flyball.lab.policies import registry
from flyball.lab.shadow import NEEDS, LabRivals, RivalsBeside, _rebucketed

S = ReplicaSignal
TICK = 15.0
FIT = start_fit(cases.ENGINE)
MEMORY = Memory(shape=RequestShape(100.0, 100.0, 100.0), variants=(VariantMemory("gpu", replace(FIT, samples=9)),))
EVERYTHING = {
    S.RUNNING: 8.0, S.WAITING: 2.0, S.KV_CACHE: 0.4, S.GPU: 0.6,
    S.COMPLETIONS: 100.0, S.PROMPT_LENGTH: 1e4, S.OUTPUT_LENGTH: 1e4,
}  # fmt: skip
FAST = ((0.25, 100.0), (1.0, 100.0), (math.inf, 100.0))
SLOW = ((0.25, 0.0), (1.0, 100.0), (math.inf, 100.0))
BUCKETS = {S.FIRST_TOKEN: FAST, S.TOKEN_TIME: FAST}
SPEC = cases.spec(cases.variant(high=60))
TESTED = LoadTest(4.0, 20.0)


def sight(
    at: float,
    *replicas: Mapping[ReplicaSignal, float],
    ready: int | None = None,
    buckets: Mapping[ReplicaSignal, tuple[tuple[float, float], ...]] = BUCKETS,
    spec: WorkloadSpec = SPEC,
    test: LoadTest | None = TESTED,
    lost: frozenset[ReplicaSignal] = frozenset(),
) -> Sight:
    """Replicas of the only variant that export everything but what is given or lost."""
    samples = tuple(
        ReplicaSample(
            "gpu",
            f"gpu-{index}",
            {signal: value for signal, value in {**EVERYTHING, **values}.items() if signal not in lost},
            {signal: found for signal, found in buckets.items() if signal not in lost},
        )
        for index, values in enumerate(replicas)
    )
    present = cases.running(len(replicas) if ready is None else ready)
    return Sight(at, spec, WorkloadState((present,)), MEMORY, (test,), samples)


def asked(rivals: RivalsBeside, rival: str, now: Sight) -> int | None:
    rivals.see(now)
    desired = rivals.ask(rival).desired
    return dict(desired)["gpu"] if desired else None


def fresh(spec: WorkloadSpec = SPEC) -> RivalsBeside:
    return LabRivals().beside(spec)


def test_the_api_offers_exactly_what_can_be_asked() -> None:
    assert {str(policy) for policy in ShadowPolicy} == set(NEEDS) <= set(registry.RIVALS)


@pytest.mark.parametrize("rival", [name for name in NEEDS if not NEEDS[name].never])
def test_every_rival_answers_for_an_hour_within_bounds_and_its_fleet_stays(rival: str) -> None:
    rivals = fresh()
    for index in range(240):
        load = 8 + 6 * math.sin(index / 20)
        values = {S.RUNNING: load, S.COMPLETIONS: 100.0 + 30 * index, S.PROMPT_LENGTH: 1e4 + 3e3 * index}
        found = asked(rivals, rival, sight(TICK * index, values, values, buckets={
            S.FIRST_TOKEN: tuple((edge, count * (1 + index)) for edge, count in FAST),
            S.TOKEN_TIME: tuple((edge, count * (1 + index)) for edge, count in FAST),
        }))  # fmt: skip
        assert found is not None
        assert 1 <= found <= 60


@pytest.mark.parametrize(
    ("rival", "values", "expected"),
    [
        pytest.param("hpa-queue", {S.WAITING: 10.0}, 4, id="20 wait, 5 a replica"),
        pytest.param("llmd-queue", {S.WAITING: 0.0, S.RUNNING: 40.0}, 4, id="80 run: doubled, as its behavior allows"),
        pytest.param("keda-concurrency", {S.RUNNING: 20.0, S.WAITING: 1.0}, 3, id="42 in flight, 14 a replica"),
        pytest.param("aibrix-apa", {S.KV_CACHE: 0.75}, 3, id="75% of the cache, 50% aimed at"),
        pytest.param("ray-default", {}, 2, id="waits 30 s before it adds"),
    ],
)
def test_what_a_rival_asks_for_at_first_sight(rival: str, values: Mapping[ReplicaSignal, float], expected: int) -> None:
    assert asked(fresh(), rival, sight(0.0, values, values)) == expected


def test_gpu_utilization_is_read_over_two_looks() -> None:
    rivals = fresh()
    busy = {S.GPU: 0.96}
    assert asked(rivals, "hpa-gpu", sight(0.0, busy, busy)) == 2, "one sample has no rate yet"
    assert asked(rivals, "hpa-gpu", sight(TICK, busy, busy)) == 3, "96% of 2 replicas at 80%"


def test_latencies_of_the_last_minute_drive_llmd() -> None:
    rivals = fresh()
    seen = []
    for index in range(8):
        late = tuple((edge, count * (1 + index)) for edge, count in SLOW)
        seen.append(asked(rivals, "llmd-keda", sight(TICK * index, {}, {}, buckets={S.FIRST_TOKEN: late})))
    assert seen[0] == 2, "no pressure is known from one sample, and the window for steps down holds"
    # P90 of the first token is 0.925 s where 0.5 s are promised: pressure above 0.55, smoothed over 45 s.
    assert seen[-1] is not None
    assert seen[-1] > 2


@pytest.mark.parametrize(
    ("rival", "lost", "missing"),
    [
        pytest.param("hpa-gpu", S.GPU, ("GPU utilization",), id="no GPU exporter"),
        pytest.param("aibrix-apa", S.KV_CACHE, ("KV cache usage",), id="no KV cache"),
        pytest.param("llmd-keda", S.FIRST_TOKEN, ("time to first token",), id="no latency"),
        pytest.param("llmd-keda", S.TOKEN_TIME, (), id="a latency without an objective"),
        pytest.param("hpa-queue", S.GPU, (), id="what it does not read"),
    ],
)
def test_what_no_replica_exports_is_missing(rival: str, lost: ReplicaSignal, missing: tuple[str, ...]) -> None:
    rivals = fresh()
    rivals.see(sight(0.0, {}, {}, lost=frozenset({lost})))
    reply = rivals.ask(rival)
    assert (reply.missing, reply.desired is None) == (missing, bool(missing))


def test_what_no_engine_exports_is_always_missing() -> None:
    rivals = fresh()
    rivals.see(sight(0.0, {}, {}))
    assert rivals.ask("dynamo") == RivalReply(
        None, missing=("queued prompt tokens (its workers' forward-pass metrics)",)
    )


def test_a_target_by_load_test_waits_for_the_measurement_and_keeps_it() -> None:
    rivals = fresh()
    rivals.see(sight(0.0, {}, {}, test=None))
    assert rivals.ask("kpa").waits_for == "its target is what one replica carries, which is not measured yet"
    assert asked(rivals, "kpa", sight(TICK, {}, {})) is not None
    assert asked(rivals, "kpa", sight(2 * TICK, {}, {}, test=None)) is not None


def test_ready_replicas_without_metrics_are_waited_for_and_an_empty_fleet_is_not() -> None:
    rivals = fresh()
    rivals.see(sight(0.0, ready=2))
    assert rivals.ask("hpa-queue").waits_for == "no replica exports metrics yet"
    assert asked(rivals, "hpa-queue", sight(TICK, ready=0)) is not None


def test_a_name_that_is_none_names_those_that_are() -> None:
    with pytest.raises(ValueError, match="choose from hpa-gpu, hpa-queue, keda-concurrency"):
        fresh().ask("wva")


def test_a_wish_that_nobody_fulfils_is_asked_for_again_and_again() -> None:
    """The fleet stays at two: rate limits that count own steps must not turn the wish into its opposite."""
    rivals, loaded = fresh(), {S.WAITING: 10.0}
    seen = [asked(rivals, "llmd-queue", sight(TICK * index, loaded, loaded)) for index in range(20)]
    assert set(seen) == {4}


def test_a_restarted_pod_is_another_replica_and_no_fall_of_a_counter() -> None:
    rivals = fresh()
    for index in range(4):
        rivals.see(sight(TICK * index, {S.COMPLETIONS: 1000.0 + 15 * index}))
    rivals.see(sight(TICK * 4, {S.COMPLETIONS: 0.0}))
    for index in range(5, 9):
        rivals.see(sight(TICK * index, {S.COMPLETIONS: 15.0 * (index - 4)}))
    history = rivals._seen.history
    assert history.rate(Column.FINISHED, 60.0) == pytest.approx(1.0, rel=0.1)


def test_after_a_long_silence_everybody_begins_anew() -> None:
    rivals = fresh()
    loaded, idle = {S.WAITING: 10.0}, {S.WAITING: 0.0}
    asked(rivals, "hpa-queue", sight(0.0, loaded, loaded))
    assert asked(rivals, "hpa-queue", sight(TICK, idle, idle)) == 4, "its window of 300 s remembers"
    assert asked(rivals, "hpa-queue", sight(400.0, idle, idle)) == 2, "nothing is remembered"


def test_a_fast_clock_strikes_as_often_as_it_would_have() -> None:
    rivals = fresh()
    rivals.see(sight(0.0, {}))
    rivals.ask("kpa-default")
    playing = rivals._playing["kpa-default"]
    decided = []
    original = playing.policy.decide
    playing.policy.decide = lambda view: decided.append(view.now) or original(view)  # type: ignore[method-assign]
    for index in range(1, 5):
        rivals.see(sight(TICK * index, {}))
        rivals.ask("kpa-default")
    assert len(decided) == 4 * TICK / playing.policy.period_seconds


@given(st.lists(st.tuples(st.floats(0.01, 100), st.floats(0, 50)), min_size=1, max_size=12), st.floats(0, 10))
def test_rebucketing_keeps_every_observation(edges: list[tuple[float, float]], above: float) -> None:
    counts, buckets = 0.0, []
    for edge, count in sorted(dict(edges).items()):
        counts += count
        buckets.append((edge, counts))
    buckets.append((math.inf, counts + above))
    found = _rebucketed(buckets, FIRST_TOKEN)
    assert found.sum() == pytest.approx(counts + above)
    assert (found >= -1e-9).all()


def test_neither_numba_nor_scipy_is_needed() -> None:
    """The operator's image has neither."""
    script = (
        "import sys\n"
        "for name in ('numba', 'scipy', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "import flyball.lab.shadow\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
