"""From the version before to this one and back, with traffic running: no request is lost, and both decide.

What each version makes of the other's specs and statuses is tests/upgrade's subject; here its chart replaces the
other's on a real cluster.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from e2e.faults.stage import NAMESPACE, SYSTEM
from e2e.story import kit as tools
from e2e.story import versions

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.faults.stage import Stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture
def stage(stage: Stage, tmp_path: Path) -> Stage:
    """The version before, with a workload under load."""
    sources = tmp_path / "previous"
    if not versions.previous(sources):
        pytest.skip("the version before is not at hand: this is no clone, or a shallow one")
    tools.build_image("flyball:previous", sources)
    stage.set_up("image.tag=previous", chart=sources / "charts" / "flyball")
    return stage


def test_up_and_down_again_under_traffic(stage: Stage, tmp_path: Path) -> None:
    began, running = time.time(), [_image(stage)]
    with stage.load(tmp_path) as rows:
        stage.kit.install()
        running.append(_image(stage))
        stage.nudge()
        stage.kit.helm("rollback", "flyball", "-n", SYSTEM, "--wait", "--timeout", "3m")
        running.append(_image(stage))
        stage.nudge()
    assert running == ["flyball:previous", "flyball:dev", "flyball:previous"]
    assert len(rows) > 5
    assert [row for row in rows if row["error"] not in ("", "cancelled")] == []
    ours = [write for write in stage.audit(began) if write.namespace == NAMESPACE and write.code < 300]
    scaled = [write.name for write in ours if write.resource == "deployments/scale"]
    assert scaled == ["nudged", "nudged"], "what was asked for, once each, and the loaded workload stays as it is"
    assert not [write for write in ours if write.resource == "httproutes"]


def _image(stage: Stage) -> str:
    found = stage.kit.get("-n", SYSTEM, "deploy", "flyball")
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])
