"""Who wrote without the Lease, from an audit log."""

import json
from pathlib import Path
from typing import Any

import pytest
from e2e.faults.audit import strays, writes


def line(
    at: float, pod: str, resource: str = "deployments", name: str = "chat", namespace: str = "demo", **more: Any
) -> str:
    moment = f"2026-11-25T12:00:{at:09.6f}Z"
    entry = {
        "stage": "ResponseComplete",
        "verb": "patch",
        "user": {"username": "system:serviceaccount:s:f", "extra": {"authentication.kubernetes.io/pod-name": [pod]}},
        "objectRef": {"resource": resource, "namespace": namespace, "name": name},
        "responseStatus": {"code": 200},
        "requestReceivedTimestamp": moment,
        "stageTimestamp": moment,
        **more,
    }
    return json.dumps(entry)


def lease(at: float, pod: str, **more: Any) -> str:
    return line(at, pod, "leases", "flyball", "system", **more)


@pytest.mark.parametrize(
    ("lines", "stray"),
    [
        pytest.param([lease(1, "a"), line(2, "a"), lease(3, "b"), line(4, "b")], [], id="each in its own time"),
        pytest.param([lease(1, "a"), lease(3, "b"), line(4, "a")], [4.0], id="after another one took it"),
        pytest.param([line(1, "a"), lease(2, "a")], [1.0], id="before it was taken"),
        pytest.param(
            [lease(1, "a"), lease(2, "b", responseStatus={"code": 422}), line(3, "a")], [], id="one that was not taken"
        ),
        pytest.param(
            [lease(1, "a"), lease(3, "b"), line(4, "a", responseStatus={"code": 403})], [4.0], id="tried and refused"
        ),
        pytest.param([lease(1, "a"), lease(2, "b"), line(3, "user")], [], id="others are not operators"),
        pytest.param([lease(1, "a"), lease(2, "b"), line(3, "a", verb="get")], [], id="reading is no writing"),
    ],
)
def test_strays(tmp_path: Path, lines: list[str], stray: list[float]) -> None:
    log = tmp_path / "audit.log"
    log.write_text("\n".join(lines) + "\n")
    found = strays(writes(log), "system/flyball")
    assert [round(write.at % 60, 3) for write in found] == stray
