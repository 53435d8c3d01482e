"""An hour by segment, from a real Prometheus with known history: what is counted, told apart, and missing."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.prometheus import make_spec
from support.real_prometheus import History, serve

from flyball.core.money.segment_bill import LabelTraffic, clean
from flyball.core.names import Indicator
from flyball.core.ports import Unavailable
from flyball.core.service.latency import LatencySource
from flyball.core.service.own_counts import OwnCounts, TokenCount
from flyball.core.spec import TelemetrySource, WorkloadSpec
from flyball.telemetry.dimensions import DIMENSIONS, labels_of
from flyball.telemetry.segment_counts import MOST_VALUES, Counts, SegmentMetrics, sources, traffic
from flyball.telemetry.settings import PrometheusSettings

NOW = 1_700_000_000.0 // 3600 * 3600
TIMES = [NOW - 3660 + 30 * step for step in range(124)]
ODD = 'quo"ted\\'
REQUESTS, INPUT, OUTPUT = (f"litellm_{name}_total" for name in (
    "proxy_total_requests_metric", "input_tokens_metric", "output_tokens_metric",
))  # fmt: skip


def rising(history: History, metric: str, per_second: float, **labels: str) -> None:
    escaped = {key: value.replace("\\", "\\\\").replace('"', '\\"') for key, value in labels.items()}
    history.add(metric, escaped, TIMES, lambda at: per_second * (at - TIMES[0]))


def build() -> History:
    """Through LiteLLM: acme 2/s of 100 + 10 tokens, an odd team 1/s of 200 + 50, and 0.5/s of no team. At a gateway of
    another kind tenant n of 260 has n/100 requests/s. What a user counts has templates.
    """
    history = History()
    for team, rate, prompt, output in (("acme", 2.0, 100, 10), (ODD, 1.0, 200, 50), ("", 0.5, 100, 10)):
        labels = {"namespace": "gateway", "pod": "litellm-0", "model": "chat", **({"team": team} if team else {})}
        rising(history, REQUESTS, rate, **labels)
        rising(history, INPUT, rate * prompt, **labels)
        rising(history, OUTPUT, rate * output, **labels)
        rising(history, REQUESTS, 7.0, **labels | {"model": "another"})
    for number in range(1, 261):
        labels = {"namespace": "team-a", "pod": "gateway-0", "tenant": f"t{number:03}"}
        rising(history, "gateway_seconds_count", number / 100, **labels)
    for template, rate in (("greet", 1.0), ("sum", 3.0)):
        for name, each in (("asked", 1.0), ("read", 100.0), ("written", 10.0)):
            rising(history, f"app_{name}_total", rate * each, namespace="team-a", template=template)
    return history


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(build(), tmp_path_factory.mktemp("prometheus")) as address:
        yield address


THROUGH_LITELLM = make_spec(
    telemetry=TelemetrySource(gateway="LiteLLM", gateway_selector=(("model", "chat"),), segment_by=("team", "tier"))
)
BY_LATENCY = make_spec(
    telemetry=TelemetrySource(
        latencies=((Indicator.END_TO_END, LatencySource((("gateway_seconds", 1.0),), namespaced=True)),),
        segment_by=("tenant",),
    )
)
OWN = make_spec(
    telemetry=TelemetrySource(
        own=OwnCounts(
            tokens=tuple(
                (kind, f"sum by (template) (increase(app_{name}_total[$window]))")
                for kind, name in (
                    (TokenCount.REQUESTS, "asked"),
                    (TokenCount.INPUT, "read"),
                    (TokenCount.OUTPUT, "written"),
                )
            )
        )
    )
)


def read(url: str, spec: WorkloadSpec) -> list[LabelTraffic]:
    metrics = SegmentMetrics(PrometheusSettings(url))
    try:
        return list(asyncio.run(metrics.read_hour([spec], NOW))[spec.key])
    finally:
        metrics.close()


def test_requests_and_tokens_are_counted_at_the_gateway_of_its_own_series(url: str) -> None:
    """Of the label `tier`, which no series has, all is missing."""
    team, tier = read(url, THROUGH_LITELLM)
    named = {value: (each.requests, each.prompt_tokens, each.output_tokens) for value, each in team.named}
    assert named["acme"] == pytest.approx((7200, 720_000, 72_000), rel=1e-6)
    assert named[ODD] == pytest.approx((3600, 720_000, 180_000), rel=1e-6)
    assert (team.missing.requests, team.missing.output_tokens) == pytest.approx((1800, 18_000), rel=1e-6)
    assert team.rest.requests == pytest.approx(0, abs=1e-6)
    assert (tier.named, tier.missing.requests) == ((), pytest.approx(12_600, rel=1e-6))


def test_without_a_gateway_s_profile_requests_are_those_of_a_latency_and_tokens_unknown(url: str) -> None:
    """Of 260 tenants the 200 largest are told apart, and the others are one: 1 + … + 60 of them, over 100, a second."""
    [found] = read(url, BY_LATENCY)
    assert len(found.named) == MOST_VALUES
    assert dict(found.named)["t260"].requests == pytest.approx(9360, rel=1e-6)
    assert found.rest.requests == pytest.approx(18.3 * 3600, rel=1e-6)
    assert {each.tokens for each in found.parts} == {None}


def test_what_users_count_is_split_by_their_templates(url: str) -> None:
    [found] = read(url, OWN)
    assert found.label == "template"
    assert dict(found.named)["sum"].tokens == pytest.approx((1_080_000, 108_000), rel=1e-6)


def test_a_source_that_does_not_answer_says_so() -> None:
    with pytest.raises(Unavailable):
        read("http://127.0.0.1:9", THROUGH_LITELLM)


def test_where_nothing_counts_there_is_nothing() -> None:
    assert sources(make_spec()) == {}
    own_query = replace(BY_LATENCY.telemetry, latencies=((Indicator.END_TO_END, LatencySource(query="x")),))
    assert sources(replace(BY_LATENCY, telemetry=own_query)) == {}


def test_values_that_one_of_the_counts_lacks_are_of_the_rest() -> None:
    tokens = Counts({"a": 10.0}, total=30.0, missing=5.0)
    found = traffic("tenant", Counts({"a": 1.0, "b": 2.0}, total=4.0, missing=0.5), tokens, tokens)
    assert [value for value, _ in found.named] == ["a"]
    assert (found.rest.requests, found.rest.tokens, found.missing.requests) == (2.5, (15.0, 15.0), 0.5)


@pytest.mark.parametrize(
    ("value", "kept"),
    [("acme", "acme"), ("Zürich", "Zürich"), ("x" * 200, "x" * 119), ("a\x00\n\x1b[2J", "a???[2J"), ("\ud800", "?")],
)
def test_values_are_kept_as_they_are_where_they_can_be_printed(value: str, kept: str) -> None:
    found = clean(value)
    assert found.startswith(kept)
    assert found.isprintable()
    assert (found == value) == (kept == value)
    assert len(found) <= 128


def test_words_mean_the_labels_of_gateways_and_others_mean_themselves() -> None:
    assert set(DIMENSIONS) == {"model", "tenant", "template", "route", "tier", "version"}
    assert {"tenant", "team_alias", "fairness_id"} <= set(labels_of("tenant"))
    assert labels_of("colour") == ("colour",)
