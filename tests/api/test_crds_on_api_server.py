"""A real API server's judgement of the CRDs, and of the manifests that Python judges too (test_manifests.py)."""

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from requests import Response
from support.objects_api import ObjectsApi

from flyball.api.v1alpha1 import (
    CostStatus,
    DemandEventStatus,
    FallbackStatus,
    GPUPoolStatus,
    GpuStatus,
    LastDecision,
    ObjectiveStatus,
    OriginalWeights,
    RoiStatus,
    SignalStatus,
    StatusCondition,
    StatusSummary,
    TargetStatus,
    WorkloadSLOStatus,
)
from flyball.api.v1alpha1.advice import (
    PlannedLimit,
    PlannedLoad,
    PlannedNeed,
    PlannedPurchase,
    PlanStatus,
    RivalBill,
    RivalStatus,
    RivalTarget,
)
from flyball.api.v1alpha1.gpupool import PoolSummary, PoolWorkloadStatus, StockStatus

if TYPE_CHECKING:
    from flyball_cluster import ApiServer

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(1800)]  # the first start builds kube-apiserver

DATA = Path(__file__).parent / "data"


def kubectl(server: "ApiServer", *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*server.kubectl, *arguments], input=text, text=True, capture_output=True, check=False)


def said(answer: Response) -> str:
    """Why something was refused."""
    message: str = answer.json()["message"]
    return message


def test_accepts(objects: ObjectsApi, accepted: Any) -> None:
    answer = objects.dry_run(accepted.text)
    assert answer.ok, said(answer)


def test_accepts_the_samples(objects: ObjectsApi, sample: Path) -> None:
    answer = objects.dry_run(sample.read_text(encoding="utf-8"))
    assert answer.ok, said(answer)


def test_rejects_with_the_field_and_the_fix(objects: ObjectsApi, rejected: Any) -> None:
    answer = objects.dry_run(rejected.text)
    assert not answer.ok, "it was accepted"
    for fragment in rejected.server:
        assert fragment in said(answer)


def test_keeps_every_field_that_is_declared(objects: ObjectsApi) -> None:
    text = (DATA / "accept" / "every-field.yaml").read_text(encoding="utf-8")
    declared = yaml.safe_load(text)["spec"]
    stored = objects.dry_run(text).json()["spec"]
    waking = declared["scaling"]["scaleToZero"]["wakeUp"]
    for reference in (declared["targets"][1]["targetRef"], waking["fallbackTarget"]):
        reference |= {"apiVersion": "apps/v1", "kind": "Deployment"}
    for ceiling in declared["cost"]["ceilings"]:
        ceiling.setdefault("enforcement", "Alert")
    for target in declared["roiTargets"]:
        target.setdefault("baseline", "Absolute")
    assert stored == declared


def test_shows_the_defaults_that_a_user_must_see(objects: ObjectsApi) -> None:
    text = (DATA / "accept" / "five-lines.yaml").read_text(encoding="utf-8")
    assert objects.dry_run(text).json()["spec"] == {
        "workloadType": "SupportBot",
        "mode": "Recommend",
        "precedence": "SLO",
        "targets": [
            {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"},
                "minReplicas": 1,
                "maxReplicas": 8,
            }
        ],
    }


def test_an_unknown_field_is_named_when_validated_strictly(objects: ObjectsApi) -> None:
    text = (DATA / "accept" / "five-lines.yaml").read_text(encoding="utf-8") + "  objectivs: []\n"
    answer = objects.dry_run(text)
    assert not answer.ok
    assert 'unknown field "spec.objectivs"' in said(answer)


def test_a_spec_of_a_megabyte_is_refused(objects: ObjectsApi) -> None:
    manifest = yaml.safe_load((DATA / "accept" / "five-lines.yaml").read_text(encoding="utf-8"))
    manifest["spec"]["value"] = {"perRequest": "1", "source": "x" * 1_000_000}
    answer = objects.dry_run(yaml.safe_dump(manifest))
    assert not answer.ok
    assert "spec.value.source: Too long" in said(answer)


def test_explain_reads_well(server: "ApiServer") -> None:
    answer = kubectl(server, "explain", "workloadslos.spec.targets.pricePerGpuHour")
    assert "Dollars per GPU and hour" in answer.stdout


READY = StatusCondition(
    type="Ready",
    status="True",
    reason="Reconciled",
    message="the spec is in force",
    last_transition_time="2026-11-23T21:00:00Z",
    observed_generation=1,
)
FULL_STATUS = WorkloadSLOStatus(
    observed_generation=1,
    mode="Recommend",
    summary=StatusSummary(
        slo="1/1 met",
        budget="63%",
        cost="$12.30/h",
        replicas="3→5",
        roi="3.4x",
        fallback="Primary",
        reason="queue grows",
    ),
    conditions=(READY,),
    objectives=(
        ObjectiveStatus(
            name="first-token",
            indicator="TimeToFirstToken",
            threshold="500ms",
            target="95%",
            window="28d",
            state="Met",
            attained="97.2%",
            p50="120ms",
            p95="410ms",
            p99="800ms",
            burn_rate_short="0.6",
            burn_rate_long="0.5",
            budget_left="63%",
        ),
    ),
    targets=(
        TargetStatus(
            name="chat",
            current=3,
            desired=5,
            ready=3,
            reason="QueueGrows",
            limited_by="maxReplicas",
            accelerator="NVIDIA-L4",
            price_per_gpu_hour="0.80",
            price_source="PriceBook gpu-prices",
            startup_time="80s",
        ),
    ),
    gpu=GpuStatus(verdict="Saturated", utilization="97%", queue="12", running="64", kv_cache_usage="91%"),
    cost=CostStatus(
        per_hour="12.30",
        month_to_date="1200.50",
        as_of="2026-11-23T21:00:00Z",
        month_forecast="2400",
        per_request="0.004",
        per_million_tokens="1.2",
    ),
    roi=(
        RoiStatus(name="worth", metric="ValueCostRatio", value="3.4", low="3.1", high="3.7", target="3", state="Met"),
    ),
    fallback=FallbackStatus(
        state="Fallback",
        weight="30%",
        since="2026-11-23T21:00:00Z",
        reason="CapacityShort",
        original_weights=(OriginalWeights(http_route="chat", primary=1, fallback=0),),
    ),
    signals=(SignalStatus(name="chat/Waiting", state="Ok", age="12s", source="vllm", quality="Exact"),),
    plan=PlanStatus(
        state="Known",
        message="a single target is planned",
        as_of="2026-11-23T21:00:00Z",
        history="28d of 28d",
        load=PlannedLoad(mean="10.0", steady="9.5", busy="20.0", peak="31.0"),
        growth_per_day="+1.0% (+0.5% to +1.5%)",
        prompt_drift_per_day="+0.1% (-0.1% to +0.3%)",
        patterns=("daily: busiest at 14:00 UTC, 2.1 × the mean",),
        needs=(
            PlannedNeed(
                target="chat",
                accelerator="NVIDIA-L4",
                day="2026-12-23",
                why="growth",
                requests_per_second="40 (30 to 52)",
                replicas="9 (7 to 12)",
                gpus="9 (7 to 12)",
                cost_per_month="5184.00",
            ),
        ),
        limits=(PlannedLimit(target="chat", expected="2027-01-10", earliest="2026-12-20"),),
        purchase=PlannedPurchase(
            target="chat", peak_replicas=7, scaled_replicas="3.4", buying="4032.00", scaling="1958.40"
        ),
    ),
    shadow=(
        RivalStatus(
            name="hpa-queue",
            state="Running",
            message="reads what each tick reads",
            missing=("GPU utilization",),
            since="2026-11-23T21:00:00Z",
            targets=(RivalTarget(name="chat", desired=4),),
            last_hour=RivalBill(
                covered="1h", replica_hours="4.0", flyball_replica_hours="3.0", cost="3.20", flyball_cost="2.40"
            ),
            last_day=RivalBill(
                covered="2h", replica_hours="8.0", flyball_replica_hours="6.0", cost="6.40", flyball_cost="4.80"
            ),
        ),
    ),
    last_decision=LastDecision(id="01J", time="2026-11-23T21:00:00Z", summary="3→5"),
)


def test_every_field_of_the_status_survives_and_fills_the_columns(server: "ApiServer") -> None:
    text = (DATA / "accept" / "five-lines.yaml").read_text(encoding="utf-8")
    assert kubectl(server, "create", "--filename=-", text=text).returncode == 0
    try:
        manifest = yaml.safe_load(text) | {"status": FULL_STATUS.to_wire()}
        del manifest["spec"]
        answer = kubectl(
            server,
            *("apply", "--server-side", "--subresource=status", "--validate=strict", "--filename=-"),
            text=yaml.safe_dump(manifest),
        )
        assert answer.returncode == 0, answer.stderr
        stored = json.loads(kubectl(server, "get", "workloadslo", "chat", "--output=json").stdout)
        assert stored["status"] == FULL_STATUS.to_wire()
        assert WorkloadSLOStatus.model_validate(stored["status"]) == FULL_STATUS
        [header, row] = kubectl(server, "get", "wslo", "chat").stdout.splitlines()
        assert " ".join(header.split()) == "NAME MODE SLO BUDGET COST REPLICAS ROI FALLBACK READY AGE"
        for cell in ("Recommend", "1/1 met", "63%", "$12.30/h", "3→5", "3.4x", "Primary", "True"):
            assert cell in row
        assert "queue grows" in kubectl(server, "get", "wslo", "chat", "--output=wide").stdout
    finally:
        kubectl(server, "delete", "workloadslo", "chat")


FULL_POOL_STATUS = GPUPoolStatus(
    observed_generation=1,
    summary=PoolSummary(granted="16 of 16", asked="18", short="team/chat 2 of 4: 12 to team/search (priority 10)"),
    accelerators=(StockStatus(accelerator="NVIDIA-L4", capacity=18, reserve=2, granted=16, asked=18),),
    workloads=(
        PoolWorkloadStatus(
            namespace="team",
            name="chat",
            target="gpu",
            accelerator="NVIDIA-L4",
            priority=-5,
            granted=2,
            asked=4,
            reason="12 to team/search (priority 10)",
        ),
    ),
    workloads_not_shown=3,
    conditions=(READY,),
)
FULL_EVENT_STATUS = DemandEventStatus(
    observed_generation=1,
    phase="Upcoming",
    summary="2: chat, search",
    workloads=("chat", "search"),
    conditions=(READY,),
)


@pytest.mark.parametrize(
    ("manifest", "status", "header", "cells"),
    [
        pytest.param(
            "gpupool-every-field", FULL_POOL_STATUS, "NAME GRANTED ASKED SHORT AGE",
            ["16 of 16", "18", "team/chat 2 of 4: 12 to team/search (priority 10)"], id="GPUPool",
        ),
        pytest.param(
            "demandevent-every-field", FULL_EVENT_STATUS, "NAME PHASE MULTIPLE START END WORKLOADS AGE",
            ["Upcoming", "2.5", "2026-12-01T08:00:00Z", "2: chat, search"], id="DemandEvent",
        ),
    ],
)  # fmt: skip
def test_what_is_shared_keeps_its_spec_and_status_and_fills_its_columns(
    server: "ApiServer", manifest: str, status: Any, header: str, cells: list[str]
) -> None:
    text = (DATA / "accept" / f"{manifest}.yaml").read_text(encoding="utf-8")
    raw = yaml.safe_load(text)
    name = [raw["kind"].lower(), raw["metadata"]["name"]]
    assert kubectl(server, "create", "--filename=-", text=text).returncode == 0
    try:
        written = {key: raw[key] for key in ("apiVersion", "kind", "metadata")} | {"status": status.to_wire()}
        answer = kubectl(
            server,
            *("apply", "--server-side", "--subresource=status", "--validate=strict", "--filename=-"),
            text=yaml.safe_dump(written),
        )
        assert answer.returncode == 0, answer.stderr
        stored = json.loads(kubectl(server, "get", *name, "--output=json").stdout)
        assert (stored["spec"], stored["status"]) == (raw["spec"], status.to_wire())
        assert type(status).model_validate(stored["status"]) == status
        [first, row] = kubectl(server, "get", *name).stdout.splitlines()
        assert " ".join(first.split()) == header
        assert all(cell in row for cell in cells), row
    finally:
        kubectl(server, "delete", *name)
