"""Two replicas of the operator under load: the one that acts is killed, frozen, told to end or cut off.

The same faults as `make faults` plays, which writes down what came of more of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from e2e.faults.cases import FAULTS, Fault

if TYPE_CHECKING:
    from e2e.faults.stage import Stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

# Those that cost little time. The others only stop what is stopped in test_trust.py, too.
HERE = ("leader killed", "leader drained", "leader paused")
TAKEOVER_SECONDS, TICK_SECONDS = 15.0, 5.0
STALL_SECONDS = 20.0
"""What a busy machine may add: it is the machine's, not Flyball's."""


@pytest.fixture(scope="module")
def stage(stage: Stage) -> Stage:
    """Two replicas of the operator, and workloads."""
    stage.set_up("replicaCount=2")
    return stage


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.name in HERE], ids=lambda fault: fault.name)
def test_another_one_takes_over_and_nobody_sees_it(stage: Stage, fault: Fault) -> None:
    seen = fault.run(stage)
    assert seen.lost == 0, seen.errors
    assert seen.sent > 0
    assert seen.stray == 0, "a replica wrote that did not hold the Lease"
    assert (seen.scaled, seen.repeated, seen.moved) == (0, 0, 0)
    assert seen.recovery < TAKEOVER_SECONDS + TICK_SECONDS + STALL_SECONDS
