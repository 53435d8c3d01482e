"""`flyball explain`: a recorded status in words."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flyball.cli.main import main
from flyball.core.ports import Missing, PortError

STATUS = {
    "mode": "Auto",
    "conditions": [
        {"type": "Ready", "status": "True", "reason": "Reconciled", "message": "all is found"},
        {"type": "SLOMet", "status": "False", "reason": "Breached", "message": "breached: first-token"},
        {"type": "WithinBudget", "status": "Unknown", "reason": "Unknown", "message": "no price"},
        {"type": "FallbackActive", "status": "True", "reason": "Overflowing", "message": "50% of traffic overflows"},
    ],
    "targets": [
        {
            "name": "gpu",
            "current": 2,
            "desired": 4,
            "limitedBy": "maxReplicas",
            "reason": "9 requests/s arrive; 3 wait",
        },
        {"name": "spare", "current": 0, "desired": 0},
    ],
    "lastDecision": {"id": "5cec11d75187", "time": "2026-01-09T12:00:00Z"},
}


@pytest.fixture
def explain(monkeypatch: pytest.MonkeyPatch) -> Any:
    def invoke(found: dict[str, Any] | PortError, *options: str) -> Result:
        async def fetch(namespace: str, name: str) -> dict[str, Any]:
            assert (namespace, name) == ("team", "chat")
            if isinstance(found, PortError):
                raise found
            return found

        monkeypatch.setattr("flyball.cli.explain._fetch", fetch)
        return CliRunner().invoke(main, ["explain", "chat", "-n", "team", *options])

    return invoke


def test_says_why_and_what_is_not_as_it_should_be(explain: Any) -> None:
    done = explain({"status": STATUS})
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "decision 5cec11d75187 at 2026-01-09T12:00:00Z",
        "gpu: 2 now, 4 wanted (limited by maxReplicas)",
        "  because 9 requests/s arrive",
        "  because 3 wait",
        "spare: 0 now, 0 wanted",
        "SLOMet=False (Breached): breached: first-token",
        "WithinBudget=Unknown (Unknown): no price",
        "FallbackActive=True (Overflowing): 50% of traffic overflows",
    ]


def test_an_invalid_spec_has_no_targets_and_is_explained_all_the_same(explain: Any) -> None:
    condition = {"type": "Ready", "status": "False", "reason": "InvalidSpec", "message": "spec.targets: none"}
    done = explain({"status": {"conditions": [condition]}})
    assert done.output.splitlines() == ["Ready=False (InvalidSpec): spec.targets: none"]


def test_as_json(explain: Any) -> None:
    assert json.loads(explain({"status": STATUS}, "-o", "json").output) == STATUS


@pytest.mark.parametrize(
    ("found", "text"),
    [
        pytest.param({}, "has no status yet; is the operator running?", id="no status"),
        pytest.param(Missing("get workloadslos chat in namespace team: not found"), "not found", id="no such workload"),
    ],
)
def test_what_cannot_be_explained_fails(explain: Any, found: dict[str, Any] | PortError, text: str) -> None:
    done = explain(found)
    assert done.exit_code == 1
    assert text in done.output
