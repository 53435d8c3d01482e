from dataclasses import replace

import pytest
from core.cases import (
    FULL_REPLICA,
    GARBAGE,
    START,
    objective,
    observation,
    overflowing,
    running,
    signals,
    spec,
    variant,
)

from flyball.core.fleet.capacity import ReplicaLimits, RequestShape, replica_capacity, start_fit
from flyball.core.memory import Memory
from flyball.core.names import GpuVerdict, Indicator
from flyball.core.observation import ABSENT, Reading, SignalState, VariantSignals, VariantState
from flyball.core.spec import EnginePrior
from flyball.core.traffic.demand import SHAPE_HALF_LIFE_SECONDS, assess, limits_of, mean_shape

STALE = Reading(1.0, SignalState.STALE, 300.0)
REQUIRED = ("running", "waiting", "completions_per_second")


@pytest.mark.parametrize(
    ("readings", "problem"),
    [
        pytest.param({"running": STALE}, "requests running is 300 s old, older than staleAfter 60 s", id="stale"),
        pytest.param({"waiting": ABSENT}, "requests waiting is not in Prometheus", id="absent"),
        pytest.param({"completions_per_second": -1.0}, "completions is -1.0, which cannot be", id="negative"),
    ],
)
def test_bad_telemetry_is_named_with_its_cause(readings: dict[str, float | Reading], problem: str) -> None:
    situation, _ = assess(spec(), observation(signal=signals(**readings)), Memory())
    assert problem in situation.trust.problem
    assert situation.demand is None


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", GARBAGE)
def test_numbers_that_cannot_be_are_distrusted_even_if_called_ok(name: str, value: float) -> None:
    bad = replace(signals(), **{name: Reading(value, SignalState.OK)})
    situation, _ = assess(spec(), observation(signal=bad), Memory())
    assert situation.trust.state is SignalState.INVALID


@pytest.mark.parametrize(
    ("signal", "partial"),
    [
        pytest.param(signals(reporting_replicas=1.0), "only 1 of 2 ready replicas report", id="a replica is silent"),
        pytest.param(signals(gpu_utilization=STALE), "GPU utilization is 300 s old", id="a helpful signal is stale"),
        pytest.param(signals(kv_cache_usage=-0.5), "KV cache usage is -0.5", id="or cannot be"),
        pytest.param(signals(kv_cache_usage=ABSENT), "", id="one that was never there is not missed"),
        pytest.param(signals(reporting_replicas=3.0), "", id="one replica too many is just going"),
    ],
)
def test_partial_telemetry_is_told_apart(signal: VariantSignals, partial: str) -> None:
    situation, _ = assess(spec(), observation(signal=signal), Memory())
    assert partial in situation.trust.partial
    assert bool(situation.trust.partial) == bool(partial)
    assert (situation.trust.problem, situation.demand) == ("", 2.0)


def test_where_nothing_serves_nothing_is_missed() -> None:
    seen = observation(
        signal=VariantSignals("gpu"), state=running(1, ready=0, starting=1), problem="Prometheus is down"
    )
    situation, _ = assess(spec(), seen, Memory())
    assert situation.trust.problem == ""
    assert situation.gpu.verdict is GpuVerdict.UNKNOWN


def test_completions_that_are_missing_are_not_none_even_where_nothing_is_ready() -> None:
    seen = observation(signal=signals(completions_per_second=ABSENT), state=running(2, ready=0))
    situation, _ = assess(spec(), seen, Memory())
    assert (situation.trust.problem, situation.demand) == ("", None)


@pytest.mark.parametrize("problem", ["Prometheus is down", "401 Unauthorized"])
def test_a_source_that_failed_is_said_in_its_own_words(problem: str) -> None:
    assert assess(spec(), observation(problem=problem), Memory())[0].trust.problem == problem
    assert assess(spec(), observation(cluster_problem=problem), Memory())[0].trust.problem == problem


def test_the_shape_is_weighted_by_completions_and_cached_prompts_are_not_prefilled() -> None:
    """3 of 4 requests have 100 + 100 tokens, one has 500 + 300 of which half is cached."""
    other = signals("b", 1.0, prompt_tokens_per_request=500.0, output_tokens_per_request=300.0, cached_prompt_share=0.5)
    workload = spec(variant(), variant("b"))
    _, memory = assess(
        workload, observation(signal=(signals(rate=3.0), other), state=(running(), running(1, "b"))), Memory()
    )
    assert memory.shape == pytest.approx(RequestShape(137.5, 200.0, 150.0))


def test_answers_still_being_written_count_as_long_ones() -> None:
    """2/s finish with 100 tokens each while 500 tokens/s are written: what finished is the short ones."""
    _, memory = assess(spec(), observation(signal=signals(output_tokens_per_second=500.0)), Memory())
    assert memory.shape is not None
    assert memory.shape.output_tokens == pytest.approx(250.0)


def test_a_rate_of_next_to_nothing_makes_no_endless_answers() -> None:
    """Tokens over completions would have no end, and be remembered."""
    told = signals(rate=1e-320, output_tokens_per_second=200.0)
    seen = observation(signal=told, state=running(2))
    _, memory = assess(spec(), seen, Memory())
    assert memory.shape is not None
    assert memory.shape.output_tokens == 100.0


def test_the_shape_moves_with_the_requests_that_tell_it() -> None:
    """A minute at 2/s weighs 120; 60 s later that is 120 × 2^(−60/300) = 104.5 against 120 new ones: 53.5% new."""
    _, memory = assess(spec(), observation(), Memory())
    longer = signals(output_tokens_per_request=200.0)
    _, memory = assess(spec(), observation(at=START + 60.0, signal=longer), memory)
    kept = 120.0 * 0.5 ** (60.0 / SHAPE_HALF_LIFE_SECONDS)
    assert memory.shape is not None
    assert memory.shape.output_tokens == pytest.approx((kept * 100 + 120 * 200) / (kept + 120))


@pytest.mark.parametrize(
    ("output", "share"),
    [
        pytest.param(130.0, 30.0 / (30.0 + 120.0 * 2 ** (-15 / 300)), id="chance may bring 30% more in 30 requests"),
        pytest.param(300.0, 0.5, id="three times as long is another workload: half of what is known from now on"),
    ],
)
def test_lengths_that_shift_beyond_chance_are_learned_at_once(output: float, share: float) -> None:
    """2 requests/s: a minute of them is known, 15 s are new; the bound is 5 / √30 = 91%."""
    _, memory = assess(spec(), observation(), Memory())
    longer = signals(output_tokens_per_request=output)
    _, memory = assess(spec(), observation(at=START + 15.0, signal=longer), memory)
    assert memory.shape is not None
    assert memory.shape.output_tokens == pytest.approx(100.0 + share * (output - 100.0))


def test_without_requests_the_last_shape_stays() -> None:
    _, memory = assess(spec(), observation(), Memory())
    quiet = signals(rate=0.0, prompt_tokens_per_request=ABSENT, output_tokens_per_request=ABSENT)
    situation, after = assess(spec(), observation(at=START + 15.0, signal=quiet), memory)
    assert after.shape == memory.shape
    assert situation.capacities[0] is not None
    assert situation.capacities[0].requests_per_second == pytest.approx(FULL_REPLICA)


@pytest.mark.parametrize(
    ("passed", "demand"),
    [
        pytest.param(0.0, 2.0, id="just moved: the last minute's rate is still that of everybody"),
        pytest.param(30.0, 2.0 / 0.75, id="half a minute: a quarter of the window's requests went elsewhere"),
        pytest.param(60.0, 4.0, id="a minute: half of them did"),
        pytest.param(600.0, 4.0, id="and so it stays"),
    ],
)
def test_what_overflows_is_part_of_the_demand_as_far_as_the_window_missed_it(passed: float, demand: float) -> None:
    moved = overflowing(moved_before=0.0, moved_at=START)
    situation, _ = assess(spec(), observation(at=START + passed), Memory(fallback=moved))
    assert situation.demand == pytest.approx(demand)


def test_where_everything_overflows_the_demand_is_unknown() -> None:
    moved = overflowing(1.0, moved_before=1.0, moved_at=START)
    assert assess(spec(), observation(), Memory(fallback=moved))[0].demand is None


@pytest.mark.parametrize(
    ("state", "passed", "taught"),
    [
        pytest.param(running(2), 120.0, 1, id="settled for two windows it learns"),
        pytest.param(running(2), 119.0, 0, id="young replicas do not teach"),
        pytest.param(running(3, ready=2, starting=1), 120.0, 0, id="nor while one starts"),
    ],
)
def test_only_settled_replicas_teach_the_fit(state: VariantState, passed: float, taught: int) -> None:
    signal = signals(seconds_per_output_token=0.022)
    _, memory = assess(spec(), observation(signal=signal), Memory())
    _, memory = assess(spec(), observation(at=START + passed, signal=signal, state=state), memory)
    fit = memory.variant("gpu").fit
    assert fit is not None
    assert fit.samples == taught


def test_hardly_a_request_running_teaches_nothing() -> None:
    signal = signals(running=0.9, seconds_per_output_token=0.022)
    _, memory = assess(spec(), observation(signal=signal), Memory())
    _, memory = assess(spec(), observation(at=START + 600.0, signal=signal), memory)
    fit = memory.variant("gpu").fit
    assert fit is not None
    assert fit.samples == 0


def test_a_starved_look_right_after_replicas_came_is_only_a_queue_not_yet_shared() -> None:
    queue = signals(waiting=20.0, gpu_utilization=0.5)
    situation, memory = assess(spec(), observation(signal=queue), Memory())
    assert situation.gpu.verdict is GpuVerdict.SATURATED
    situation, _ = assess(spec(), observation(at=START + 120.0, signal=queue), memory)
    assert situation.gpu.verdict is GpuVerdict.STARVED


def test_the_tightest_threshold_of_each_latency_bounds_the_batch() -> None:
    def latency(indicator: Indicator, seconds: float) -> object:
        return objective(f"{indicator}-{seconds}", indicator=indicator, threshold_seconds=seconds)

    workload = spec(
        objectives=(
            latency(Indicator.TIME_TO_FIRST_TOKEN, 1.0),
            latency(Indicator.TIME_TO_FIRST_TOKEN, 0.5),
            latency(Indicator.INTER_TOKEN_LATENCY, 0.05),
            objective("available", indicator=Indicator.AVAILABILITY, threshold_seconds=None),
        )
    )
    limits = limits_of(workload)
    assert (limits.first_token, limits.per_token, limits.end_to_end) == (0.5, 0.05, None)


def test_images_enter_the_estimate_of_work_by_the_prompt_tokens_that_engines_count_them_as() -> None:
    """A question of 100 tokens about an image of 1500, which the engine counts as a prompt of 1600: per output token a
    sequence holds 1650 tokens of context in place of 150, and is prefilled with 16 times as many.
    """
    engine = EnginePrior(0.010, 1e-4, 2e-7, 5e-5, 200_000, 64)
    text, image = (mean_shape([signals(prompt_tokens_per_request=tokens)]) for tokens in (100.0, 1600.0))
    assert text is not None
    assert image is not None
    assert (image.prompt_tokens, image.prefill_tokens) == (1600.0, 1600.0)
    carried = [
        replica_capacity(start_fit(engine), shape, ReplicaLimits()).requests_per_second for shape in (text, image)
    ]
    iterations = [
        0.010 + 65 * (1e-4 + 2e-7 * context) + 0.64 * 5e-5 * prompt for context, prompt in ((150, 100), (1650, 1600))
    ]
    assert carried == pytest.approx([64 / (100 * seconds) for seconds in iterations], rel=1e-3)
    assert carried[0] > 3 * carried[1]
