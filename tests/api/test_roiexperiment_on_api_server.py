"""What a real API server holds ROIExperiments to: columns, status, and that what was registered stays."""

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from flyball.api.v1alpha1 import ROIExperimentStatus
from flyball.api.v1alpha1.roiexperiment import EffectStatus, GuardStatus, KpiGuardStatus
from flyball.api.v1alpha1.status import StatusCondition

if TYPE_CHECKING:
    from flyball_cluster import ApiServer

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(1800)]  # the first start builds kube-apiserver

TEXT = (Path(__file__).parent / "data" / "accept" / "roiexperiment-every-field.yaml").read_text(encoding="utf-8")
STATUS = ROIExperimentStatus(
    observed_generation=1,
    phase="Running",
    started_at="2026-12-01T00:00:00Z",
    spec_hash="0" * 64,
    first_block_at="2026-12-01T01:00:00Z",
    arm="Treatment",
    arm_until="2026-12-01T02:00:00Z",
    pairs=4,
    unusable_pairs=1,
    effect=EffectStatus(estimate="-21.4%", low="-30.1%", high="-12.0%"),
    guards=(GuardStatus(objective="first-token", state="Held", target="95%", treatment="97.1%", baseline="96.4%"),),
    kpi_guards=(
        KpiGuardStatus(kpi="escalations", state="Held", wanted="not worse", treatment="8.0%", baseline="8.2%"),
    ),
    quality=KpiGuardStatus(kpi="came-back", state="Unknown", wanted="at most 20%"),
    evidence="Randomized",
    verdict="Running",
    reason="Collecting",
    summary="4 of at least 20 pairs",
    decided_at="2026-12-09T00:00:00Z",
    conditions=(
        StatusCondition(
            type="Ready", status="True", reason="Reconciled", message="it runs",
            last_transition_time="2026-12-01T00:00:00Z", observed_generation=1,
        ),
    ),
)  # fmt: skip


@pytest.fixture
def kubectl(server: "ApiServer") -> Any:
    """kubectl, with what the test created taken away in the end."""

    def run(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*server.kubectl, *arguments], input=text, text=True, capture_output=True, check=False)

    assert run("create", "--filename=-", text=TEXT).returncode == 0
    yield run
    run("delete", "roix", "quantized")


def written(status: ROIExperimentStatus) -> str:
    raw = yaml.safe_load(TEXT)
    return yaml.safe_dump({key: raw[key] for key in ("apiVersion", "kind", "metadata")} | {"status": status.to_wire()})


def edited(kubectl: Any) -> subprocess.CompletedProcess[str]:
    patch = json.dumps({"spec": {"hypothesis": {"by": "5%"}}})
    done: subprocess.CompletedProcess[str] = kubectl("patch", "roix", "quantized", "--type=merge", f"--patch={patch}")
    return done


def test_every_field_survives_and_fills_the_columns(kubectl: Any) -> None:
    apply = ("apply", "--server-side", "--subresource=status", "--validate=strict", "--filename=-")
    answer = kubectl(*apply, text=written(STATUS))
    assert answer.returncode == 0, answer.stderr
    stored = json.loads(kubectl("get", "roix", "quantized", "--output=json").stdout)
    assert (stored["spec"], stored["status"]) == (yaml.safe_load(TEXT)["spec"], STATUS.to_wire())
    [first, row] = kubectl("get", "roix", "quantized").stdout.splitlines()
    assert first.split() == ["NAME", "PHASE", "METRIC", "CLAIM", "EFFECT", "PAIRS", "VERDICT", "EVIDENCE", "AGE"]
    assert row.split()[1:8] == ["Running", "CostPerRequest", "18%", "-21.4%", "4", "Running", "Randomized"]


def test_a_spec_may_be_corrected_until_it_starts_and_stays_from_then_on(kubectl: Any) -> None:
    assert edited(kubectl).returncode == 0
    kubectl("patch", "roix", "quantized", "--type=merge", '--patch={"spec":{"hypothesis":{"by":"18%"}}}')
    kubectl("apply", "--server-side", "--subresource=status", "--filename=-", text=written(STATUS))
    refused = edited(kubectl)
    assert refused.returncode != 0
    assert "what was registered stays; delete it and create another one" in refused.stderr
    label = kubectl("label", "roix", "quantized", "team=search")
    assert label.returncode == 0, label.stderr
