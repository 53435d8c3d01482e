"""From the manifest to the core's view: defaults, units, prices, and Invalid for what cannot be acted on."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flyball.api.convert import read_workload
from flyball.api.defaults import default_objectives
from flyball.api.latencies import SPAN_METRICS
from flyball.api.parse import parse_resource
from flyball.api.presets import ENGINE_PRIORS, EnginePreset
from flyball.api.v1alpha1 import PriceBook, WorkloadType
from flyball.core.names import (
    Enforcement,
    FallbackKind,
    Indicator,
    Mode,
    Period,
    Precedence,
    RoiMetric,
    RouteKind,
    WorkloadKey,
)
from flyball.core.service.latency import LatencySource, Stage
from flyball.core.service.own_counts import OwnCounts
from flyball.core.spec import (
    Ceiling,
    EnginePrior,
    Fallback,
    FallbackBackend,
    FallbackRoute,
    Invalid,
    Objective,
    RoiTarget,
    Scaling,
    TargetRef,
    TelemetrySource,
    ToZero,
    Variant,
    WorkloadSpec,
)
from flyball.core.value.kpi import Guard

DATA = Path(__file__).parent / "data" / "accept"
UP = Objective("up", Indicator.AVAILABILITY, None, 0.95, 28 * 86400.0)
TARGET: dict[str, Any] = {"targetRef": {"name": "chat"}, "maxReplicas": 8}
NO_PRICE = "neither targets[].pricePerGpuHour nor cost.priceBookRef is set"


def book(**fields: Any) -> PriceBook:
    gpus = [{"accelerator": "NVIDIA-L4", "onDemand": "0.80", "spot": "0.35"}]
    parsed = parse_resource(PriceBook, {"metadata": {"name": "prices"}, "spec": {"gpus": gpus} | fields})
    assert isinstance(parsed, PriceBook)
    return parsed


def raw(target: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "chat", "namespace": "shop", "uid": "u-1", "generation": 3},
        "spec": {"workloadType": "SupportBot", "targets": [TARGET | (target or {})]} | fields,
    }


def read(manifest: dict[str, Any], **books: PriceBook) -> WorkloadSpec:
    found = read_workload(manifest, books)
    assert isinstance(found, WorkloadSpec), found
    return found


def span(**labels: str) -> LatencySource:
    return LatencySource(SPAN_METRICS, tuple(sorted(labels.items())))


def test_five_lines_are_a_whole_specification() -> None:
    assert read(raw()) == WorkloadSpec(
        key=WorkloadKey("shop", "chat"),
        uid="u-1",
        generation=3,
        workload_type="SupportBot",
        mode=Mode.RECOMMEND,
        precedence=Precedence.SLO,
        priority=0,
        variants=(Variant("chat", TargetRef("apps/v1", "Deployment", "chat"), 1, 8, price_source=NO_PRICE),),
        objectives=default_objectives(WorkloadType.SUPPORT_BOT),
    )


def test_every_part_that_is_acted_on_arrives_in_core_units() -> None:
    manifest = yaml.safe_load((DATA / "every-field.yaml").read_text(encoding="utf-8"))
    found = read(manifest, **{"gpu-prices": book()})
    assert (found.mode, found.precedence, found.priority) == (Mode.AUTO, Precedence.SLO, 10)
    h100, l4 = found.variants
    assert h100 == Variant(
        name="h100",
        target=TargetRef("apps/v1", "Deployment", "chat-h100"),
        min_replicas=1,
        max_replicas=6,
        accelerator="NVIDIA-H100-80GB-HBM3",
        gpus_per_replica=1,
        price_per_gpu_hour=Decimal("2.95"),
        price_source="pricePerGpuHour",
        startup_seconds=80.0,
        engine=ENGINE_PRIORS[EnginePreset.LLAMA_8B_ON_H100],
    )
    assert l4.engine == EnginePrior(0.077, 0.0003, 0.00064 / 1000, 0.000265, 38000, 64)
    assert replace(found.telemetry, own=OwnCounts()) == TelemetrySource(
        engine="Custom",
        selector=(("model_name", "llama-3-8b"),),
        overrides=(("Running", "sum(my_running)"), ("Waiting", "sum(my_queue_length)")),
        stale_after_seconds=45.0,
        latencies=(
            (Indicator.END_TO_END, span(service_name="shop", span_name="answer")),
            (Indicator.TIME_TO_FIRST_TOKEN, LatencySource((("gateway_first_token_seconds", 1.0),), (), True)),
        ),
        stages=(
            Stage("Retrieval", LatencySource(query="sum by (le) (rate(retrieval_seconds_bucket[5m]))")),
            Stage("Rerank", LatencySource((("rag:stage_ms", 0.001),), (("stage", "rerank"),), True)),
            Stage("Answering", span(env="live", service_name="shop", span_name="chat llama"), engine=True),
        ),
        segment_by=("tenant", "promptTemplate"),
        gateway="LiteLLM",
        gateway_selector=(("model_name", "llama-3-8b"),),
    )
    assert found.objectives == (
        Objective("first-token", Indicator.TIME_TO_FIRST_TOKEN, 0.5, 0.95, 28 * 86400.0),
        Objective("retrieval", Indicator.STAGE, 0.25, 0.95, 28 * 86400.0, stage="Retrieval"),
        Objective("acme", Indicator.END_TO_END, 10.0, 0.95, 28 * 86400.0, segment=(("tenant", "acme"),)),
    )
    assert found.ceilings == (
        Ceiling(Period.HOUR, Decimal(25), Enforcement.FALLBACK),
        Ceiling(Period.DAY, Decimal(500), Enforcement.ALERT),
        Ceiling(Period.MONTH, Decimal(12000), Enforcement.CLAMP),
        Ceiling(Period.REQUEST, Decimal("0.02"), Enforcement.ALERT),
        Ceiling(Period.MILLION_TOKENS, Decimal("1.50"), Enforcement.ALERT),
    )
    assert found.value_per_request == Decimal("0.12")
    assert found.roi_targets == (
        RoiTarget("worth", RoiMetric.VALUE_COST_RATIO, Decimal(3), 7 * 86400.0, by_ledger=True),
        RoiTarget("unit-cost", RoiMetric.COST_PER_REQUEST, Decimal("0.02"), 7 * 86400.0),
        RoiTarget("to-serve", RoiMetric.COST_TO_SERVE, Decimal("0.05"), 7 * 86400.0, relative=True, by_ledger=True),
        RoiTarget("contained", RoiMetric.KPI, Decimal("0.4"), 7 * 86400.0, kpi="contained", by_ledger=True),
    )
    assert [(kpi.name, kpi.worth, kpi.labor, kpi.labor_per_minute, bool(kpi.missing)) for kpi in found.value.kpis] == [
        ("contained", Decimal("0.32"), 0, 0, False),
        ("minutes", 0, 0, 0, True),
        ("escalated", 0, 0, 0, True),
        ("back", 0, 0, 0, False),
        ("handled", 0, 0, 0, True),
    ]
    assert found.value.guards[0] == Guard("away", 0.2, at_least=False, kpi="back", fewest=50.0)
    assert found.fallback == Fallback(
        routes=(FallbackRoute("chat", "chat", "hosted", "generate"),),
        max_overflow=0.5,
        trigger_for_seconds=45.0,
        min_hold_seconds=120.0,
        return_hold_seconds=60.0,
        price_per_request=Decimal("0.004"),
        labor_cost_per_request=Decimal(0),
        steps=(0.1, 0.25, 0.5),
    )
    query = 'sum(rate(gateway_requests_total{route="chat"}[1m]))'
    small = TargetRef("apps/v1", "Deployment", "chat-small")
    assert found.scaling == Scaling(0.0, 4, 300.0, 1, 0.15, 0.99, ToZero(1800.0, 300.0, query, small))
    assert found.shadow == ("hpa-queue", "llmd-keda")


def test_what_is_left_out_keeps_the_core_defaults() -> None:
    routes = [{"httpRoute": "chat", "primary": "a", "fallback": "b"}]
    found = read(raw(telemetry={}, scaling={"up": {}}, fallback={"routes": routes, "triggers": ["CapacityShort"]}))
    assert found.telemetry == TelemetrySource()
    assert found.scaling == Scaling()
    route = FallbackRoute("chat", "a", "b")
    assert found.fallback == Fallback((route,), on_objectives=False, on_capacity=True, on_ceiling=False)


def test_tiers_and_what_answers_them() -> None:
    routes = [
        {"httpRoute": "chat", "ruleName": "free", "primary": "a", "fallback": "small", "trafficShare": "60%"},
        {"grpcRoute": "ask", "primary": "a", "fallback": "queue", "order": 1},
        {"aiGatewayRoute": "talk", "primary": "a", "fallback": "small"},
    ]
    backends = [
        {"name": "small", "kind": "SmallerModel", "pricePerRequest": "0.001"},
        {"name": "queue", "kind": "HumanQueue", "laborCostPerRequest": "4", "maxRequestsPerSecond": "0.5"},
    ]
    found = read(raw(fallback={"routes": routes, "backends": backends, "maxCostPerHour": "100"}))
    assert found.fallback == Fallback(
        (
            FallbackRoute("chat", "a", "small", "free", RouteKind.HTTP, 0, 0.6),
            FallbackRoute("ask", "a", "queue", None, RouteKind.GRPC, 1),
            FallbackRoute("talk", "a", "small", None, RouteKind.AI_GATEWAY),
        ),
        backends=(
            FallbackBackend("small", FallbackKind.SMALLER_MODEL, Decimal("0.001")),
            FallbackBackend("queue", FallbackKind.HUMAN_QUEUE, None, Decimal(4), 0.5),
        ),
        max_cost_per_hour=Decimal(100),
    )


@pytest.mark.parametrize(
    ("target", "cost", "price", "source"),
    [
        pytest.param({}, {}, None, NO_PRICE, id="no price anywhere"),
        pytest.param({"pricePerGpuHour": "2.5"}, {}, "2.5", "pricePerGpuHour", id="inline"),
        pytest.param(
            {"pricePerGpuHour": "2.5", "accelerator": "NVIDIA-L4"},
            {"priceBookRef": {"name": "prices"}},
            "2.5",
            "pricePerGpuHour",
            id="inline wins over the book",
        ),
        pytest.param(
            {"accelerator": "NVIDIA-L4"},
            {"priceBookRef": {"name": "prices"}},
            "0.80",
            "PriceBook prices: NVIDIA-L4, OnDemand",
            id="the book's price on demand by default",
        ),
        pytest.param(
            {"accelerator": "NVIDIA-L4", "capacityType": "Spot"},
            {"priceBookRef": {"name": "prices"}},
            "0.35",
            "PriceBook prices: NVIDIA-L4, Spot",
            id="the book's spot price",
        ),
        pytest.param(
            {"accelerator": "NVIDIA-L4", "capacityType": "Reserved"},
            {"priceBookRef": {"name": "prices"}},
            None,
            "PriceBook prices holds no Reserved price for NVIDIA-L4",
            id="a capacity type without price is missing, not on demand",
        ),
        pytest.param(
            {"accelerator": "NVIDIA-B200"},
            {"priceBookRef": {"name": "prices"}},
            None,
            "PriceBook prices holds no OnDemand price for NVIDIA-B200",
            id="an accelerator without price",
        ),
        pytest.param(
            {"accelerator": "NVIDIA-L4"},
            {"priceBookRef": {"name": "other"}},
            None,
            "PriceBook other does not exist or is invalid",
            id="an absent book",
        ),
        pytest.param(
            {},
            {"priceBookRef": {"name": "prices"}},
            None,
            "the accelerator to look up in PriceBook prices is not known; set targets[].accelerator",
            id="an unknown accelerator",
        ),
    ],
)
def test_prices_are_found_or_named_as_missing(
    target: dict[str, Any], cost: dict[str, Any], price: str | None, source: str
) -> None:
    [variant] = read(raw(target, cost=cost), prices=book()).variants
    assert variant.price_per_gpu_hour == (None if price is None else Decimal(price))
    assert variant.price_source == source


def test_an_accelerator_seen_in_the_cluster_finds_the_price_where_none_is_declared() -> None:
    manifest = raw(cost={"priceBookRef": {"name": "prices"}})
    found = read_workload(manifest, {"prices": book()}, accelerators={"chat": "NVIDIA-L4"})
    assert isinstance(found, WorkloadSpec)
    assert found.variants[0].price_per_gpu_hour == Decimal("0.80")


def test_a_declared_accelerator_outranks_the_one_seen() -> None:
    manifest = raw({"accelerator": "NVIDIA-L4"}, cost={"priceBookRef": {"name": "prices"}})
    found = read_workload(manifest, {"prices": book()}, accelerators={"chat": "NVIDIA-B200"})
    assert isinstance(found, WorkloadSpec)
    assert found.variants[0].price_per_gpu_hour == Decimal("0.80")


@pytest.mark.parametrize(
    ("objectives", "expected"),
    [
        pytest.param(
            [{"name": "x", "indicator": "EndToEnd", "threshold": "3s"}],
            (Objective("x", Indicator.END_TO_END, 3.0, 0.95, 28 * 86400.0),),
            id="declared ones replace the defaults, with 95% over 28 days",
        ),
        pytest.param(
            [
                {"name": "x", "indicator": "QueueTime", "threshold": "500ms", "target": "99.5%", "window": "7d"},
                {"name": "up", "indicator": "Availability"},
            ],
            (Objective("x", Indicator.QUEUE_TIME, 0.5, 0.995, 7 * 86400.0), UP),
            id="how requests end beside a latency",
        ),
        pytest.param(
            [{"name": "up", "indicator": "Availability"}],
            (UP, *default_objectives(WorkloadType.SUPPORT_BOT)),
            id="the defaults apply beside what says nothing of latency",
        ),
    ],
)
def test_objectives(objectives: list[dict[str, Any]], expected: tuple[Objective, ...]) -> None:
    assert read(raw(objectives=objectives)).objectives == expected


def test_a_bad_object_becomes_data_with_its_identity() -> None:
    found = read_workload(raw({"minReplicas": 9}), {})
    assert isinstance(found, Invalid)
    assert (found.key, found.uid, found.generation) == (WorkloadKey("shop", "chat"), "u-1", 3)
    assert str(found) == (
        "spec.targets[0].minReplicas: minReplicas is greater than maxReplicas; lower minReplicas or raise maxReplicas"
    )


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param({}, id="an empty object"),
        pytest.param({"metadata": [], "spec": []}, id="lists in place of objects"),
        pytest.param({"metadata": {"generation": "x"}, "spec": None}, id="a null spec"),
    ],
)
def test_an_object_of_another_shape_is_invalid(manifest: dict[str, Any]) -> None:
    assert isinstance(read_workload(manifest, {}), Invalid)


def test_accepted_manifests_convert(accepted: Any) -> None:
    manifest = yaml.safe_load(accepted.text)
    if manifest["kind"] == "WorkloadSLO":
        assert isinstance(read_workload(manifest, {}), WorkloadSpec)


@given(st.text(alphabet="0123456789.smhdw", max_size=16), st.text(alphabet="0123456789.%", max_size=8))
def test_whatever_text_the_schema_lets_through_can_be_converted(duration: str, percent: str) -> None:
    objective = {"name": "x", "indicator": "EndToEnd", "threshold": duration, "target": percent, "window": duration}
    found = read_workload(raw(objectives=[objective], scaling={"down": {"stabilization": duration}}), {})
    assert isinstance(found, WorkloadSpec | Invalid)


@given(st.from_regex(r"[0-9]{1,12}(\.[0-9]{1,9})?", fullmatch=True))
def test_money_is_never_rounded(amount: str) -> None:
    found = read_workload(raw({"pricePerGpuHour": amount}), {})
    if isinstance(found, WorkloadSpec):
        assert found.variants[0].price_per_gpu_hour == Decimal(amount)
    else:
        assert Decimal(amount) == 0


@pytest.mark.parametrize(
    ("target", "spot", "risk"),
    [
        pytest.param({}, False, 0.0, id="on demand by default"),
        pytest.param({"capacityType": "OnDemand"}, False, 0.0, id="on demand"),
        pytest.param({"capacityType": "Spot"}, True, 0.0, id="what reclaims amount to is measured"),
        pytest.param({"capacityType": "Spot", "spotRisk": "20%"}, True, 0.2, id="declared"),
    ],
)
def test_spot_capacity_and_its_risk(target: dict[str, str], spot: bool, risk: float) -> None:
    (found,) = read(raw(target)).variants
    assert (found.spot, found.spot_risk) == (spot, risk)
