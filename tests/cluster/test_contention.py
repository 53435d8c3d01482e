"""Who else owns a replica count: from managedFields as API servers keep them, and from autoscalers' references."""

from typing import Any

import pytest
from support.objects import CHAT, autoscaler

from flyball.cluster.contention import HOLD_SECONDS, Takeovers, Write, autoscaler_of, scaler_by_hand
from flyball.core.spec import TargetRef

WRITE = Write(replicas=3, resource_version="100")
REPLICAS = {"f:spec": {"f:replicas": {}}}


def entry(manager: str, subresource: str = "scale", fields: dict[str, Any] = REPLICAS) -> dict[str, Any]:
    return {"manager": manager, "subresource": subresource, "fieldsV1": fields}


def managed(*entries: dict[str, Any], resource_version: str = "200") -> dict[str, Any]:
    return {"metadata": {"managedFields": list(entries), "resourceVersion": resource_version}}


BY_HAND = managed(entry("kubectl"))


@pytest.mark.parametrize(
    ("found", "replicas", "write", "expected"),
    [
        pytest.param(BY_HAND, 2, WRITE, "kubectl, which scaled it to 2", id="scaled by hand after us"),
        pytest.param(BY_HAND, 2, None, None, id="scaled by hand before we ever did"),
        pytest.param(managed(entry("kubectl"), resource_version="99"), 2, WRITE, None, id="read from before our write"),
        pytest.param(managed(entry("flyball")), 3, WRITE, None, id="our own write"),
        pytest.param(managed(entry("helm", "")), 2, WRITE, None, id="a roll-out with replicas"),
        pytest.param(managed(entry("kubectl", fields={"f:metadata": {}})), 3, WRITE, None, id="not the replicas"),
        pytest.param(managed(), 3, WRITE, None, id="nobody"),
        pytest.param(managed(), 0, WRITE, "somebody, who scaled it to 0", id="zero after we asked for three"),
        pytest.param(managed(), 0, Write(0, "100"), None, id="zero as we asked for"),
        pytest.param(managed(resource_version="99"), 0, WRITE, None, id="zero from before our write"),
    ],
)
def test_scaled_by_hand(found: dict[str, Any], replicas: int, write: Write | None, expected: str | None) -> None:
    assert scaler_by_hand(found, replicas, write) == expected


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param([(0, 2), (599, 2)], True, id="within ten minutes of the first sight"),
        pytest.param([(0, 2), (601, 2)], False, id="past ten minutes"),
        pytest.param([(0, 2), (500, 1), (1000, 1)], True, id="another change begins them anew"),
    ],
)
def test_a_hand_on_the_wheel_holds_for_ten_minutes(looks: list[tuple[float, int]], expected: bool) -> None:
    takeovers = Takeovers()
    seen = [takeovers.contender("chat", BY_HAND, replicas, WRITE, at) for at, replicas in looks]
    assert (seen[-1] is not None) is expected
    assert HOLD_SECONDS == 600


def test_a_second_takeover_holds_again() -> None:
    takeovers = Takeovers()
    takeovers.contender("chat", BY_HAND, 2, WRITE, 0.0)
    takeovers.contender("chat", managed(entry("flyball")), 3, WRITE, 700.0)
    assert takeovers.contender("chat", BY_HAND, 2, WRITE, 800.0) is not None


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
