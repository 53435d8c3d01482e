"""Which latencies are counted at the gateway in front of a workload."""

from dataclasses import replace

import pytest
from support.prometheus import make_objective, make_spec

from flyball.api.declared import told_by_gateway
from flyball.api.v1alpha1.words import GatewayProfile as GatewayWord
from flyball.core.names import Indicator
from flyball.core.service.latency import LatencySource
from flyball.core.spec import TelemetrySource
from flyball.telemetry import segments_query, stages_query
from flyball.telemetry.gateways import MEASURED_AT_GATEWAYS, with_gateway
from flyball.telemetry.profiles import ENGINES, GATEWAYS, EngineProfile

LABELS = (("requested_model", "chat"),)
AT_LITELLM = TelemetrySource(gateway="LiteLLM", gateway_selector=LABELS)
TTFT, E2E, QUEUE = Indicator.TIME_TO_FIRST_TOKEN, Indicator.END_TO_END, Indicator.QUEUE_TIME
OWN = LatencySource((("shop_seconds", 1.0),))


@pytest.mark.parametrize(
    ("engines", "expected"),
    [
        pytest.param([ENGINES["VLLM"]], {E2E}, id="an engine that measures all"),
        pytest.param([ENGINES["TGI"]], {E2E, TTFT}, id="one without first tokens"),
        pytest.param([ENGINES["NIM"]], {E2E, QUEUE}, id="one without queue times"),
        pytest.param([ENGINES["VLLM"], ENGINES["TGI"]], {E2E, TTFT}, id="two, of which one measures less"),
        pytest.param([None], {E2E, TTFT, QUEUE}, id="an engine that users describe"),
    ],
)
def test_the_gateway_tells_what_the_engine_does_not(
    engines: list[EngineProfile | None], expected: set[Indicator]
) -> None:
    found = dict(with_gateway(make_spec(telemetry=AT_LITELLM), engines).telemetry.latencies)
    assert set(found) == expected
    assert found[E2E] == LatencySource((("litellm_request_total_latency_metric", 1.0),), LABELS)


def test_an_objective_about_a_segment_is_the_gateway_s() -> None:
    objective = replace(make_objective(TTFT), segment=(("team", "a"),))
    found = with_gateway(make_spec(objectives=(objective,), telemetry=AT_LITELLM), [ENGINES["VLLM"]])
    assert set(dict(found.telemetry.latencies)) == {E2E, TTFT}


def test_the_wait_in_a_gateway_s_queue_is_told_by_tier_where_the_engine_s_is_counted() -> None:
    source = TelemetrySource(gateway="EndpointPicker", gateway_selector=(("model_name", "m"),))
    plain, split = (
        with_gateway(make_spec(telemetry=replace(source, segment_by=by)), [ENGINES["VLLM"]])
        for by in ((), ("priority",))
    )
    assert QUEUE not in dict(split.telemetry.latencies)
    assert plain.telemetry.split == ()
    assert {indicator for indicator, _ in split.telemetry.split} == {E2E, QUEUE}
    assert "flow_control_request_queue_duration_seconds" in segments_query.query([split], 300.0)
    assert stages_query.counted(split) == []


def test_what_users_name_themselves_stays() -> None:
    source = replace(AT_LITELLM, latencies=((E2E, OWN),), overrides=((str(TTFT), "vector(1)"),))
    found = with_gateway(make_spec(telemetry=source), [ENGINES["TGI"]])
    assert found.telemetry.latencies == ((E2E, OWN),)


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_the_api_says_of_a_gateway_what_its_profile_has(gateway: str) -> None:
    assert told_by_gateway(GatewayWord(gateway)) == GATEWAYS[gateway].latencies.keys() & set(MEASURED_AT_GATEWAYS)


@pytest.mark.parametrize("gateway", ["", "Custom"])
def test_without_a_profile_nothing_changes(gateway: str) -> None:
    spec = make_spec(telemetry=TelemetrySource(gateway=gateway))
    assert with_gateway(spec, [None]) is spec
