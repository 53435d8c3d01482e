"""Events as a real API server keeps them and kubectl shows them."""

from typing import Any

import pytest
from support.api_server import Kubectl
from support.objects import workload_slo

from flyball.cluster.client import ApiServer
from flyball.cluster.events import EventRecorder
from flyball.core.decision import Event
from flyball.core.names import EventReason, WorkloadKey
from flyball.core.ports import Missing, Rejected

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(1800)]

AT = 1_795_000_000.25
BREACHED = Event(EventReason.SLO_BREACHED, "94.1% of 95% within 800ms", "Evaluate", warning=True)
SCALED = Event(EventReason.SCALED_UP, "scaled Deployment/chat from 2 to 3 replicas", "Scale")


@pytest.fixture
def recorder(api: ApiServer) -> EventRecorder:
    return EventRecorder(api, instance="flyball-0")


@pytest.fixture
def key(namespace: str) -> WorkloadKey:
    return WorkloadKey(namespace, "chat")


def events(kubectl: Kubectl) -> list[dict[str, Any]]:
    return kubectl.get_all("events.v1.events.k8s.io")


async def test_an_event_tells_who_what_and_why(kubectl: Kubectl, recorder: EventRecorder, key: WorkloadKey) -> None:
    await recorder.publish(key, "uid", BREACHED, AT)
    (found,) = events(kubectl)
    assert found["regarding"] == {
        "apiVersion": "flyball.dev/v1alpha1",
        "kind": "WorkloadSLO",
        "name": "chat",
        "namespace": key.namespace,
        "uid": "uid",
    }
    assert (found["type"], found["reason"], found["action"]) == ("Warning", "SLOBreached", "Evaluate")
    assert found["note"] == "94.1% of 95% within 800ms"
    assert (found["reportingController"], found["reportingInstance"]) == ("flyball.dev/flyball", "flyball-0")
    assert found["eventTime"] == "2026-11-18T11:06:40.250000Z"
    assert "series" not in found


async def test_a_repeat_becomes_a_series(kubectl: Kubectl, recorder: EventRecorder, key: WorkloadKey) -> None:
    for seconds in range(3):
        await recorder.publish(key, "uid", BREACHED, AT + seconds)
    await recorder.publish(key, "uid", SCALED, AT + 3)
    breached, scaled = sorted(events(kubectl), key=lambda found: found["type"], reverse=True)
    assert breached["series"] == {"count": 3, "lastObservedTime": "2026-11-18T11:06:42.250000Z"}
    assert scaled["type"] == "Normal"


async def test_another_process_goes_on_with_the_series(
    kubectl: Kubectl, recorder: EventRecorder, api: ApiServer, key: WorkloadKey
) -> None:
    await recorder.publish(key, "uid", BREACHED, AT)
    await recorder.publish(key, "uid", BREACHED, AT + 1)
    await EventRecorder(api, instance="flyball-1").publish(key, "uid", BREACHED, AT + 2)
    (found,) = events(kubectl)
    assert found["series"]["count"] == 3


async def test_an_expired_event_is_written_anew(kubectl: Kubectl, recorder: EventRecorder, key: WorkloadKey) -> None:
    await recorder.publish(key, "uid", BREACHED, AT)
    kubectl("delete", "events", "--all")
    await recorder.publish(key, "uid", BREACHED, AT + 1)
    assert len(events(kubectl)) == 1
    await recorder.publish(key, "uid", BREACHED, AT + 2)
    assert events(kubectl)[0]["series"]["count"] == 3


async def test_a_flood_is_cut(
    kubectl: Kubectl, recorder: EventRecorder, key: WorkloadKey, writes: list[tuple[str, str]]
) -> None:
    for number in range(30):
        event = Event(EventReason.SCALED_UP, f"to {number} replicas", "Scale")
        await recorder.publish(key, "uid", event, AT)
    assert len(events(kubectl)) == 5
    assert recorder.dropped == 25
    assert writes == [("events", "create")] * 5


async def test_a_long_note_is_cut_to_a_kilobyte(kubectl: Kubectl, recorder: EventRecorder, key: WorkloadKey) -> None:
    await recorder.publish(key, "uid", Event(EventReason.INVALID_SPEC, "–" * 2000, "Validate", warning=True), AT)
    (found,) = events(kubectl)
    assert len(found["note"].encode()) <= 1024
    assert found["note"].endswith("–…")


async def test_what_cannot_be_written_is_told_and_tried_again(
    kubectl: Kubectl, recorder: EventRecorder, key: WorkloadKey
) -> None:
    with pytest.raises(Missing):
        await recorder.publish(WorkloadKey("no-such-namespace", "chat"), "uid", BREACHED, AT)
    with pytest.raises(Rejected):
        await recorder.publish(key, "uid", Event(EventReason.SCALED_UP, "up", action=""), AT)
    assert events(kubectl) == []


async def test_kubectl_describe_shows_it(kubectl: Kubectl, recorder: EventRecorder, key: WorkloadKey) -> None:
    kubectl.create(workload_slo())
    uid = kubectl.get("workloadslo", "chat")["metadata"]["uid"]
    await recorder.publish(key, uid, BREACHED, AT)
    await recorder.publish(key, uid, BREACHED, AT + 60)
    described = kubectl("describe", "workloadslo", "chat")
    assert "SLOBreached" in described
    assert "94.1% of 95% within 800ms" in described
    assert "x2 over" in described
