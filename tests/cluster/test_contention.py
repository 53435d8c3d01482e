"""Who else owns a replica count: from managedFields as API servers write them, and from autoscalers' references."""

from datetime import UTC, datetime
from typing import Any

import pytest
from support.objects import CHAT, autoscaler

from flyball.cluster.contention import HOLD_SECONDS, Write, autoscaler_of, scaler_by_hand, zeroed_by_others
from flyball.core.spec import TargetRef

WROTE = datetime(2026, 11, 23, 12, 0, 0, 700_000, tzinfo=UTC).timestamp()
WRITE = Write(WROTE, replicas=3, resource_version="100")
REPLICAS = {"f:spec": {"f:replicas": {}}}


def entry(manager: str, time: str, subresource: str = "scale", fields: dict[str, Any] = REPLICAS) -> dict[str, Any]:
    return {"manager": manager, "time": time, "subresource": subresource, "fieldsV1": fields}


def managed(*entries: dict[str, Any], resource_version: str = "200") -> dict[str, Any]:
    return {"metadata": {"managedFields": list(entries), "resourceVersion": resource_version}}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(managed(entry("kubectl", "2026-11-23T12:00:30Z")), "kubectl", id="scaled by hand after us"),
        pytest.param(managed(entry("kubectl", "2026-11-23T12:00:00Z")), "kubectl", id="in the same second"),
        pytest.param(managed(entry("kubectl", "2026-11-23T11:59:00Z")), "", id="scaled by hand before us"),
        pytest.param(managed(entry("flyball", "2026-11-23T12:00:30Z")), "", id="our own write"),
        pytest.param(managed(entry("helm", "2026-11-23T12:00:30Z", "")), "", id="a roll-out with replicas"),
        pytest.param(
            managed(entry("kubectl", "2026-11-23T12:00:30Z", fields={"f:metadata": {}})), "", id="not the replicas"
        ),
        pytest.param(managed(), "", id="nobody"),
    ],
)
def test_scaled_by_hand(found: dict[str, Any], expected: str) -> None:
    contender = scaler_by_hand(found, WRITE, WROTE + 60)
    assert (contender or "").partition(",")[0] == expected


def test_a_fresh_target_scaled_by_hand_is_no_contention() -> None:
    assert scaler_by_hand(managed(entry("kubectl", "2026-11-23T12:00:30Z")), None, WROTE + 60) is None


@pytest.mark.parametrize(("after", "held"), [(599.0, True), (601.0, False)], ids=["within", "past ten minutes"])
def test_a_hand_on_the_wheel_holds_for_ten_minutes(after: float, held: bool) -> None:
    at = WROTE - 0.7
    found = managed(entry("kubectl", "2026-11-23T12:00:00Z"))
    assert (scaler_by_hand(found, WRITE, at + after) is not None) is held
    assert (scaler_by_hand(managed(), WRITE, at + after, zero_since=at) is not None) is held
    assert HOLD_SECONDS == 600


@pytest.mark.parametrize(
    ("replicas", "write", "resource_version", "expected"),
    [
        pytest.param(0, WRITE, "101", True, id="zero after we asked for three"),
        pytest.param(0, WRITE, "99", False, id="read from before our write"),
        pytest.param(1, WRITE, "101", False, id="some replicas"),
        pytest.param(0, Write(WROTE, 0, "100"), "101", False, id="we asked for zero"),
        pytest.param(0, None, "101", False, id="we never wrote"),
    ],
)
def test_scaled_to_zero_by_others(replicas: int, write: Write | None, resource_version: str, expected: bool) -> None:
    assert zeroed_by_others(managed(resource_version=resource_version), replicas, write) is expected


def scaled_object(name: str, target: str = "chat", kind: str | None = None, **annotations: str) -> dict[str, Any]:
    reference = {"name": target} | ({"kind": kind} if kind else {})
    return {"metadata": {"name": name, "annotations": annotations}, "spec": {"scaleTargetRef": reference}}


KEDA = autoscaler("keda-hpa-llm", labels={"scaledobject.keda.sh/name": "llm"})
PAUSED = scaled_object("llm", **{"autoscaling.keda.sh/paused": "true"})


@pytest.mark.parametrize(
    ("autoscalers", "scaled_objects", "expected"),
    [
        pytest.param([autoscaler("cpu")], [], "HorizontalPodAutoscaler/cpu", id="an HPA on the target"),
        pytest.param([autoscaler("cpu", TargetRef("apps/v1", "StatefulSet", "chat"))], [], None, id="another kind"),
        pytest.param([autoscaler("cpu", TargetRef("apps/v1", "Deployment", "search"))], [], None, id="another name"),
        pytest.param(
            [autoscaler("cpu", TargetRef("example.com/v1", "Deployment", "chat"))], [], None, id="another group"
        ),
        pytest.param([KEDA], [], "ScaledObject/llm", id="KEDA's own HPA is its ScaledObject"),
        pytest.param([], [scaled_object("llm")], "ScaledObject/llm", id="a ScaledObject that has no HPA yet"),
        pytest.param([], [scaled_object("llm", kind="StatefulSet")], None, id="a ScaledObject of another kind"),
        pytest.param([], [PAUSED], None, id="a paused ScaledObject"),
        pytest.param([], [], None, id="none"),
    ],
)
def test_autoscalers(
    autoscalers: list[dict[str, Any]], scaled_objects: list[dict[str, Any]], expected: str | None
) -> None:
    assert autoscaler_of(CHAT, autoscalers, scaled_objects) == expected
