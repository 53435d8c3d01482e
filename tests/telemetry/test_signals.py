"""Hand-written answers become readings with the right state, and no answer can break the reading of them."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.prometheus import make_objective, make_spec, make_variant

from flyball.core.names import Indicator
from flyball.core.observation import BucketEdges, Reading, SignalState, WorkloadSignals
from flyball.core.spec import TelemetrySource, WorkloadSpec
from flyball.telemetry import bucket_queries, queries
from flyball.telemetry.answers import Answer, MalformedAnswer, Row, Table, parse_rows
from flyball.telemetry.objectives import EngineLatencies, needed_edges
from flyball.telemetry.pods import GROUP_LABEL
from flyball.telemetry.profiles import ENGINES
from flyball.telemetry.promql import SERIES_LABEL
from flyball.telemetry.signals import Answers, read_workload

NOW = 1000.0
VLLM = ENGINES["VLLM"]
TTFT = bucket_queries.buckets(Indicator.TIME_TO_FIRST_TOKEN, 0)
PACE = bucket_queries.buckets(Indicator.INTER_TOKEN_LATENCY, 0)
SPEC = make_spec(objectives=(make_objective(threshold=1.0),))
PLAN = queries.plan([SPEC], 60.0)


def row(part: str, value: float, **labels: str) -> Row:
    return Row({SERIES_LABEL: part, "namespace": "team-a", GROUP_LABEL: "llm/*"} | labels, value)


def gauges(pod: str, sampled: float = NOW, running: float = 1.0, waiting: float = 0.0) -> list[Row]:
    return [
        row(queries.SAMPLED_AT, sampled, pod=pod),
        row(queries.RUNNING, running, pod=pod),
        row(queries.WAITING, waiting, pod=pod),
    ]


def read(first: Mapping[str, list[Row]], further: Mapping[float, list[Row]] = {}) -> WorkloadSignals:
    return read_spec(SPEC, first, further)


def read_spec(
    spec: WorkloadSpec, first: Mapping[str, list[Row]], further: Mapping[float, list[Row]] = {}
) -> WorkloadSignals:
    tables = {name: Table(Answer(tuple(rows))) for name, rows in first.items()}
    windows = {window: Table(Answer(tuple(rows))) for window, rows in further.items()}
    latencies = EngineLatencies(spec, VLLM, tables)
    return read_workload(latencies, VLLM, queries.plan([spec], 60.0), Answers(NOW, tables, windows))


@pytest.mark.parametrize(
    ("rows", "state", "value"),
    [
        pytest.param([], SignalState.ABSENT, math.nan, id="no pod was ever seen"),
        pytest.param(gauges("a", running=3), SignalState.OK, 3.0, id="one pod"),
        pytest.param(gauges("a", running=0), SignalState.OK, 0.0, id="zero is a number"),
        pytest.param([*gauges("a"), *gauges("b", running=2)], SignalState.OK, 3.0, id="pods are summed"),
        pytest.param(gauges("a", NOW - 61), SignalState.STALE, math.nan, id="past staleAfter"),
        pytest.param(gauges("a", NOW - 60), SignalState.OK, 1.0, id="just within staleAfter"),
        pytest.param([*gauges("a"), *gauges("b", NOW - 90)], SignalState.OK, 1.0, id="a silent pod does not count"),
        pytest.param(gauges("a", running=math.nan), SignalState.INVALID, math.nan, id="NaN"),
        pytest.param([*gauges("a"), *gauges("b", running=-3)], SignalState.INVALID, -3.0, id="one negative among good"),
        pytest.param(
            [*gauges("a", running=1e308), *gauges("b", running=1e308)], SignalState.INVALID, math.inf, id="an overflow"
        ),
        pytest.param(gauges("a", sampled=math.nan), SignalState.ABSENT, math.nan, id="a time that is no number"),
        pytest.param(gauges("a")[:1], SignalState.ABSENT, math.nan, id="a pod without the metric"),
    ],
)
def test_running(rows: list[Row], state: SignalState, value: float) -> None:
    running = read({queries.GAUGES: rows}).variant("main").running
    assert running.state is state
    assert running.value == pytest.approx(value, nan_ok=True)


def test_the_age_is_that_of_the_oldest_sample_in_use() -> None:
    rows = [*gauges("a", NOW - 5), *gauges("b", NOW - 20), *gauges("c", NOW - 500)]
    main = read({queries.GAUGES: rows}).variant("main")
    assert main.running.age_seconds == 20.0
    assert main.reporting_replicas.value == 2.0


def test_rates_are_stale_when_no_pod_is_fresh() -> None:
    first = {queries.GAUGES: gauges("a", NOW - 100), queries.RATES: [row(queries.COMPLETIONS, 2.0)]}
    assert read(first).variant("main").completions_per_second.state is SignalState.STALE


@pytest.mark.parametrize(
    ("rates", "field", "state"),
    [
        pytest.param({"prompt_length_sum": 0, "prompt_length_count": 0}, "prompt_tokens_per_request", "Insufficient"),
        pytest.param({"prompt_length_count": 1}, "prompt_tokens_per_request", "Absent"),
        pytest.param({"prompt_length_sum": 9, "prompt_length_count": 3}, "prompt_tokens_per_request", "Ok"),
        pytest.param({"cached_0_part": 5, "cached_0_whole": 4}, "cached_prompt_share", "Invalid"),
        pytest.param({"cached_1_part": 1, "cached_1_whole": 4}, "cached_prompt_share", "Ok"),
        pytest.param({"completions": math.inf}, "completions_per_second", "Invalid"),
    ],
)
def test_means_and_shares(rates: dict[str, float], field: str, state: str) -> None:
    first = {queries.GAUGES: gauges("a"), queries.RATES: [row(part, value) for part, value in rates.items()]}
    assert getattr(read(first).variant("main"), field).state == state


def histogram(**counts: float) -> list[Row]:
    return [row(TTFT, count, le=edge) for edge, count in counts.items()]


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        pytest.param([], "Absent", id="not exported"),
        pytest.param(histogram(**{"1": 5, "+Inf": 9}), "Ok", id="counted"),
        pytest.param(histogram(**{"1": 0, "+Inf": 0}), "Insufficient", id="no events"),
        pytest.param(histogram(**{"1": 9, "+Inf": 5}), "Invalid", id="more good than all"),
        pytest.param(histogram(**{"1": math.nan, "+Inf": 5}), "Invalid", id="NaN"),
        pytest.param(histogram(**{"one": 4, "+Inf": 5}), "Invalid", id="an edge that is no number"),
        pytest.param(histogram(**{"1": 4}), "Absent", id="without +Inf"),
    ],
)
def test_objective(rows: list[Row], state: str) -> None:
    assert read({queries.GAUGES: gauges("a"), TTFT: rows}).objectives[0].state == state


def test_a_window_without_an_answer_is_left_out() -> None:
    buckets = histogram(**{"1": 5, "+Inf": 9})
    reading = read({queries.GAUGES: gauges("a"), TTFT: buckets}, {3600.0: buckets}).objectives[0]
    assert [share.window_seconds for share in reading.shares] == [60.0, 3600.0]


def test_history_counts_where_no_pod_runs_now() -> None:
    reading = read({}, {3600.0: histogram(**{"1.0": 5, "+Inf": 9})}).objectives[0]
    assert reading.state is SignalState.ABSENT
    assert [(share.good, share.total) for share in reading.shares] == [(5.0, 9.0)]


def test_variants_are_told_apart_and_their_buckets_summed() -> None:
    spec = make_spec(
        variants=(make_variant("big", "llm"), make_variant("small", "llm-l4")), objectives=(make_objective(),)
    )
    other = {GROUP_LABEL: "llm-l4/*"}
    first = {
        queries.GAUGES: [*gauges("a"), *(Row(r.labels | other, 7.0 if r.value == 1 else r.value) for r in gauges("b"))],
        TTFT: [
            *histogram(**{"1": 5, "+Inf": 9}),
            *(Row(r.labels | other, 1.0) for r in histogram(**{"1": 0, "+Inf": 0})),
        ],
    }
    signals = read_spec(spec, first)
    assert [signals.variant(name).running.value for name in ("big", "small")] == [1.0, 7.0]
    assert (signals.objectives[0].shares[0].good, signals.objectives[0].shares[0].total) == (6.0, 10.0)


@pytest.mark.parametrize(
    ("live", "threshold", "expected"),
    [
        pytest.param({"0.5": 0, "1": 0, "+Inf": 0}, 1.0, {"1", "+Inf"}, id="as it is spelled"),
        pytest.param({"0.5": 0, "1.0": 0, "1": 0, "+Inf": 0}, 1.0, {"1", "1.0", "+Inf"}, id="in all spellings seen"),
        pytest.param({"0.5": 0, "1": 0, "+Inf": 0}, 0.7, {"0.5", "1", "+Inf"}, id="both neighbours"),
        pytest.param({"0.5": 0, "1": 0, "+Inf": 0}, 9.0, set(), id="nothing for what cannot be measured"),
        pytest.param({}, 1.0, {"1", "1.0", "+Inf"}, id="from the profile where nothing is live"),
    ],
)
def test_only_the_edges_that_thresholds_need_are_asked_for(
    live: dict[str, float], threshold: float, expected: set[str]
) -> None:
    spec = make_spec(objectives=(make_objective(threshold=threshold),))
    needed = needed_edges([EngineLatencies(spec, VLLM, {TTFT: Table(Answer(tuple(histogram(**live))))})])
    assert set(needed.get((Indicator.TIME_TO_FIRST_TOKEN, 0), ())) == expected


def test_a_pace_is_counted_where_its_deadline_is() -> None:
    """A median first token of 0.5 s leaves 1.5 s of 2 s: three waits of answers that bear one at 60 ms per token, so
    means up to 220 ms are in time; between the edges 0.2 and 0.3 the 8 above fall to 2 by the power of 0.2.
    """
    pace = make_objective(Indicator.INTER_TOKEN_LATENCY, threshold=0.1)
    spec = make_spec(objectives=(make_objective(threshold=2.0), pace))
    counts = {"0.1": 80, "0.15": 85, "0.2": 92, "0.3": 98, "+Inf": 100}
    first = {
        queries.GAUGES: gauges("a"),
        TTFT: histogram(**{"0.25": 0, "0.5": 50, "2.5": 100, "+Inf": 100}),
        PACE: [row(PACE, count, le=edge) for edge, count in counts.items()],
        queries.RATES: [
            row(f"{queries.OUTPUT_LENGTH}_sum", 28.0),
            row(f"{queries.OUTPUT_LENGTH}_count", 1.0),
            row(f"{queries.DECODE}_sum", 27 * 0.06),
        ],
    }
    found = read_spec(spec, first).objectives[1]
    assert found.shares[0].good == pytest.approx(100 - 8 * (2 / 8) ** 0.2)
    assert (found.edges, found.shares[0].total) == (BucketEdges(exact=True, lower=0.1, upper=0.1), 100)
    tables = {name: Table(Answer(tuple(rows))) for name, rows in first.items()}
    needed = needed_edges([EngineLatencies(spec, VLLM, tables)])
    assert needed[Indicator.INTER_TOKEN_LATENCY, 0] == {"0.2", "0.3", "+Inf"}
    alone = read_spec(make_spec(objectives=(pace,)), {k: v for k, v in first.items() if k != TTFT}).objectives[0]
    assert alone.shares[0].good == 80, "without a promise for the first token, the mean itself is counted"


numbers = st.one_of(
    st.floats(), st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 0.0, 1e308, NOW, NOW - 30]), st.floats(0, 10)
)
parts = st.sampled_from(
    (
        *(queries.SAMPLED_AT, queries.RUNNING, queries.WAITING, queries.KV_CACHE, queries.COMPLETIONS, TTFT),
        *(queries.UTILIZATION, queries.PROMPT_TOKENS, "prompt_length_sum", "prompt_length_count", "cached_0_part", "x"),
        *("output_length_sum", "output_length_count", "decode_sum", PACE),
    )
)
labels = st.dictionaries(
    st.sampled_from(["pod", "le", "model_name", "namespace", GROUP_LABEL]),
    st.one_of(st.text(max_size=5), st.sampled_from(["1", "1.0", "+Inf", "NaN", "llm/*", "team-a", '"\n\\', "m"])),
    max_size=4,
)
rows = st.lists(st.builds(lambda part, value, extra: row(part, value, **extra), parts, numbers, labels), max_size=25)


@given(rows, rows, rows, rows, st.sampled_from([(), (("model_name", "m"),)]))
def test_no_answer_raises_or_yields_a_bad_number(
    first: list[Row], rates: list[Row], buckets: list[Row], further: list[Row], selector: tuple[tuple[str, str], ...]
) -> None:
    objectives = (*SPEC.objectives, make_objective(Indicator.INTER_TOKEN_LATENCY, threshold=0.1))
    spec = make_spec(objectives=objectives, telemetry=TelemetrySource(selector=selector))
    answers = {queries.GAUGES: first, queries.RATES: rates, queries.GPUS: rates, TTFT: buckets, PACE: buckets}
    signals = read_spec(spec, answers, {300.0: further, 3600.0: further})
    seen = Table(Answer(tuple(buckets)))
    tables = {TTFT: seen, PACE: seen, queries.RATES: Table(Answer(tuple(rates)))}
    needed_edges([EngineLatencies(spec, VLLM, tables)])
    for variant in signals.variants:
        readings = [value for name in variant.__slots__ if isinstance(value := getattr(variant, name), Reading)]
        believed = [reading for reading in readings if reading.state is SignalState.OK]
        assert all(math.isfinite(r.value) and r.value >= 0 and r.age_seconds >= 0 for r in believed)
        assert all(r.value <= 1 for r in (variant.kv_cache_usage, variant.gpu_utilization) if r.ok)
    for share in (share for objective in signals.objectives for share in objective.shares):
        assert 0 <= share.good <= share.total < math.inf
    assert all(math.isfinite(count) and count >= 0 for _, count in (*signals.completions, *signals.tokens))


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["metric", "value", "le"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_rows_or_malformed(result: object) -> None:
    try:
        found = parse_rows(result)
    except MalformedAnswer:
        return
    assert all(isinstance(one.value, float) for one in found)


def test_two_series_with_the_same_labels_are_malformed() -> None:
    entry = {"metric": {"pod": "a"}, "value": [0, "1"]}
    with pytest.raises(MalformedAnswer, match="same labels"):
        parse_rows([entry, entry])
