"""A batch asks for what is needed, once, however many workloads there are."""

from dataclasses import replace

from support.prometheus import make_objective, make_spec

from flyball.core.names import Indicator
from flyball.core.spec import TelemetrySource
from flyball.telemetry import queries
from flyball.telemetry.profiles import ENGINES, GPU

VLLM = ENGINES["VLLM"]
DAY = 86400.0
TTFT, E2E = Indicator.TIME_TO_FIRST_TOKEN, Indicator.END_TO_END
SPEC = make_spec(objectives=(make_objective(TTFT, 1.0, DAY), make_objective(E2E, 10.0, 3600.0)))


def test_one_query_for_each_latency_in_use() -> None:
    names = queries.first_queries(VLLM, GPU, queries.plan([SPEC], 60.0))
    assert set(names) == {"gauges", "rates", "gpus", "TimeToFirstToken_0", "EndToEnd_0"}


def test_an_estimate_is_asked_for_only_where_the_exact_histogram_is_missing() -> None:
    spec = make_spec(objectives=(make_objective(Indicator.INTER_TOKEN_LATENCY, 0.05),))
    plan = queries.plan([spec], 60.0)
    first = queries.first_queries(VLLM, GPU, plan)
    assert "unless on (namespace, pod)" not in first["InterTokenLatency_0"]
    assert "InterTokenLatency_1" not in first
    assert queries.later_queries(VLLM, plan, ()) == {}
    later = queries.later_queries(VLLM, plan, [Indicator.INTER_TOKEN_LATENCY])["InterTokenLatency_1"]
    assert "unless on (namespace, pod) (last_over_time(vllm:request_time_per_output_token" in later


def test_only_the_gpus_without_a_profile() -> None:
    assert set(queries.first_queries(None, GPU, queries.plan([SPEC], 60.0))) == {"gpus"}


def test_a_window_is_asked_for_the_latencies_and_edges_that_need_it() -> None:
    plan = queries.plan([SPEC], 60.0)
    edges = {(TTFT, 0): {"1.0", "+Inf"}, (E2E, 0): {"10.0", "+Inf"}}
    asked = {window: queries.window_query(VLLM, plan, window, edges) for window in plan.further_windows()}
    assert set(asked) == {300.0, 3600.0, DAY}
    assert "e2e_request" in asked[3600.0]
    assert "e2e_request" not in asked[DAY]
    assert "request_success" in asked[3600.0]
    assert "request_success" not in asked[DAY]
    assert r'le=~"\\+Inf|1\\.0"' in asked[DAY]


def test_a_window_that_nothing_can_be_measured_over_is_not_asked_for() -> None:
    plan = queries.plan([SPEC], 60.0)
    assert queries.window_query(VLLM, plan, 900.0, {}) == ""


def test_values_that_no_selector_asks_for_are_folded_into_one() -> None:
    one = replace(SPEC, telemetry=TelemetrySource(selector=(("model_name", 'a"b'),)))
    two = replace(SPEC, telemetry=TelemetrySource(selector=(("model_name", "c|d"),)))
    asked = queries.first_queries(VLLM, GPU, queries.plan([SPEC, one, two], 60.0))
    assert "sum by (namespace, flyball_pods, flyball_of_model_name, le)" in asked["TimeToFirstToken_0"]
    assert r'"=$1", "model_name", "(a\"b|c\\|d)"' in asked["gauges"]
    assert '"flyball_of_model_name", "!", "model_name", "(?s:.+)"' in asked["gauges"]
