"""The whole path under real traffic, told once and asserted verb by verb, as a user reads it through kubectl.

Calm load, a surge that more replicas than the ceiling allows would carry, calm load again. Nothing but load causes
anything in it.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from e2e.faults.audit import writes
from e2e.faults.stage import SYSTEM
from e2e.story import kit as tools
from e2e.story.watch import Snapshot, events, look, settled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2e.story.kit import Kit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

TICK_SECONDS = 5.0
SCRAPE_SECONDS = 5.0
STALL_SECONDS = 15.0
"""What a busy machine may add: it is the machine's, not Flyball's."""
CALM, SURGE = 0.045, 1.0
SURGE_SECONDS = 65


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that was seen: snapshots by phase, the Events, and what clients measured.

    What a surge brings about comes while it lasts, or on a busy machine after it: its queue lasts longer than itself.
    """

    calm: list[Snapshot]
    surge: list[Snapshot]
    after: list[Snapshot]
    events: list[dict[str, Any]]
    clients: list[dict[str, str]]
    surge_began: float

    @property
    def disturbed(self) -> list[Snapshot]:
        """All since the surge began."""
        return [*self.surge, *self.after]

    def reasons(self) -> list[str]:
        """Reasons of the Events in the order in which they came."""
        return [str(event["reason"]) for event in self.events]

    def note(self, reason: str) -> str:
        """The first note with that reason."""
        return str(next(event["note"] for event in self.events if event["reason"] == reason))


@pytest.fixture(scope="module")
def story(flyball: Kit, tmp_path_factory: pytest.TempPathFactory, leave: Callable[[str], None]) -> Iterator[Story]:
    """Tell the story once."""
    folder = tmp_path_factory.mktemp("load")
    tools.deploy_story(flyball)
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        loads = [stack.enter_context(flyball.load(CALM, "5m", "360s", folder, "calm"))]
        calm = _watch(flyball, started, 30)
        surge_began = time.time()
        loads.append(stack.enter_context(flyball.load(SURGE, "10m", f"{SURGE_SECONDS}s", folder, "surge")))
        surge = _watch(flyball, started, SURGE_SECONDS)
        after = _watch(flyball, started, 300, until=settled)
    clients = [row for load in loads for row in load.rows()]
    yield Story(calm, surge, after, events(flyball), clients, surge_began)
    leave("demo")


def _watch(kit: Kit, started: float, seconds: float, until: Any = None) -> list[Snapshot]:
    deadline, seen = time.monotonic() + seconds, []
    while time.monotonic() < deadline and not (until and seen and until(seen[-1])):
        seen.append(look(kit, started))
        time.sleep(2)
    return seen


def test_calm_load_needs_one_replica_or_a_spare_and_leaves_the_route_alone(story: Story) -> None:
    last = story.calm[-1]
    assert story.calm[0].replicas == 1
    assert last.replicas <= 2  # five requests in a rate window are few: a burst of them may ask for a spare
    assert last.weights == (1, 0)
    assert last.condition("Ready") == "True"
    assert last.condition("TelemetryHealthy") == "True"


def test_the_surge_scales_the_deployment_on_latency_queue_and_gpu_utilization(story: Story) -> None:
    assert max(s.replicas for s in story.disturbed) == 4
    assert max(s.ready for s in story.disturbed) == 4
    notes = " ".join(str(e["note"]) for e in story.events if e["reason"] == "ScaledUp")
    assert "requests/s arrive" in notes
    spoken = notes + " ".join(str(t.get("reason")) for s in story.disturbed for t in s.status.get("targets", ()))
    assert "wait" in spoken
    assert "busy" in spoken


def test_the_first_scale_up_comes_within_two_ticks_of_a_backlog_that_needs_it(
    flyball: Kit, story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    written = writes(Path(flyball.facts["auditLog"]), story.surge_began)
    first = min(write.at for write in written if (write.resource, write.namespace) == ("deployments/scale", "demo"))
    with capsys.disabled():
        print(f" load step to scale patch: {first - story.surge_began:.1f} s, a tick is {TICK_SECONDS:g} s ", end="")
    # A request that has just arrived is seen with the next scrape, and decided on with the tick after.
    assert first - story.surge_began < 2 * TICK_SECONDS + SCRAPE_SECONDS + STALL_SECONDS


def test_traffic_overflows_to_the_fallback_while_the_ceiling_binds_and_comes_back(story: Story) -> None:
    moved = {s.weights for s in story.disturbed if s.weights != (1, 0)}
    assert moved, "nothing overflowed"
    assert all(0 < fallback <= 50 and primary + fallback == 100 for primary, fallback in moved), moved
    assert story.after[-1].weights == (1, 0)
    reasons = story.reasons()
    assert reasons.index("FallbackActivated") < reasons.index("FallbackCleared")
    assert "hourly ceiling" in story.note("FallbackActivated") or "breached" in story.note("FallbackActivated")


def test_the_hourly_ceiling_is_never_exceeded_and_announced(story: Story) -> None:
    assert all(s.replicas * 0.80 <= 3.20 for s in (*story.calm, *story.disturbed))
    assert "BudgetCeilingReached" in story.reasons()
    assert "BudgetRecovered" in story.reasons()


def test_budgets_stand_on_the_deployment_as_annotations(story: Story) -> None:
    during = {s.annotations.get("flyball.dev/cost-per-hour") for s in story.disturbed}
    assert "3.20" in during
    last = story.after[-1].annotations
    assert last["flyball.dev/cost-per-hour"] == "0.80"
    assert float(last["flyball.dev/month-to-date"]) >= 0
    assert float(last["flyball.dev/budget-remaining"]) <= 900
    assert last["flyball.dev/governed-by"] == "WorkloadSLO/chat"


def test_the_roi_target_is_breached_by_the_overflow_and_met_again_without_it(story: Story) -> None:
    reasons = story.reasons()
    assert "ROITargetBreached" in reasons
    assert "worth-twice-its-cost" in story.note("ROITargetBreached")
    assert reasons.index("ROITargetBreached") < len(reasons) - 1 - reasons[::-1].index("ROITargetMet")
    assert story.after[-1].condition("ROIMet") == "True"


def test_without_the_load_everything_it_caused_is_gone(story: Story) -> None:
    last = story.after[-1]
    assert settled(last), last.status
    assert last.condition("FallbackActive") is None


def test_no_client_lost_a_request(story: Story) -> None:
    kinds = {row["error"] for row in story.clients if row["error"] not in ("", "cancelled")}
    assert kinds == set()
    assert sum(row["error"] == "" for row in story.clients) > 100


def test_the_table_answers_the_on_calls_first_question(flyball: Kit, story: Story) -> None:
    header, row = flyball.kubectl("-n", "demo", "get", "wslo").splitlines()[:2]
    for column in ("NAME", "MODE", "SLO", "COST", "REPLICAS", "ROI", "FALLBACK", "READY", "AGE"):
        assert column in header
    assert row.startswith("chat")
    assert "Auto" in row
    described = flyball.kubectl("-n", "demo", "describe", "wslo", "chat")
    assert "Last Decision" in described


def test_flyballs_own_metrics_are_scraped(flyball: Kit, story: Story) -> None:
    (pod,) = flyball.get("-n", SYSTEM, "pods", "-l", "app.kubernetes.io/component=operator")["items"]
    path = f"/api/v1/namespaces/{SYSTEM}/pods/{pod['metadata']['name']}:8080/proxy/metrics"
    raw = flyball.kubectl("get", "--raw", path)
    assert 'flyball_replicas_desired{namespace="demo",target="chat",workload="chat"}' in raw
    assert "flyball_ticks_failed_total 0.0" in raw
