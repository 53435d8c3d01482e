"""Which change of a status is written when, and in what words a log says why."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest

from flyball.runtime.news import LARGE_MOVE_SECONDS, REFRESH_SECONDS, Figure, Shown, Status, news

BEFORE: Status = {
    "observedGeneration": 3,
    "mode": "Auto",
    "summary": {"slo": "1/1 met", "reason": "2.00 requests/s arrive"},
    "conditions": [
        {"type": "TelemetryHealthy", "status": "False", "reason": "Absent", "message": "Prometheus is down for 15 s",
         "lastTransitionTime": "2026-01-09T12:00:00Z", "observedGeneration": 3},
    ],
    "objectives": [{"name": "first", "state": "Met", "p50": "200ms", "p95": "400ms", "p99": "1m30s",
                    "attained": "99.90%", "burnRateShort": "0.40", "burnRateLong": "0.20", "budgetLeft": "60.0%"}],
    "targets": [{"name": "gpu", "current": 2, "desired": 2, "ready": 2, "reason": "2.00 requests/s arrive",
                 "pricePerGpuHour": "0.80"}],
    "gpu": {"verdict": "Efficient", "utilization": "60%", "queue": "0.0", "running": "8.0"},
    "cost": {"perHour": "1.6000", "monthToDate": "12.000000", "asOf": "2026-01-09T12:00:00Z", "monthForecast": "900",
             "perRequest": "0.002000"},
    "signals": [{"name": "Running", "quality": "Exact", "source": "VLLM vllm:num_requests_running", "age": "<60s"}],
    "roi": [{"name": "worth", "state": "Met", "value": "3.1", "low": "2.9", "high": "3.3", "target": "2"}],
    "fallback": {"state": "Fallback", "weight": "50%", "since": "2026-01-09T12:00:00Z"},
    "lastDecision": {"id": "abc", "time": "2026-01-09T12:00:00Z"},
}  # fmt: skip


def change(path: str, value: object) -> Callable[[Status], None]:
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]

    def apply(status: Status) -> None:
        found: Any = status
        for part in parents:
            found = found[part]
        found[last] = value

    return apply


SATURATED = {"verdict": "Saturated", "utilization": "99%", "queue": "0.0", "running": "8.0"}
AT_ONCE, MINUTE, HOUR, NEVER = "at once", "a minute later", "an hour later", "never"
TIMES = {1.0: AT_ONCE, LARGE_MOVE_SECONDS: MINUTE, REFRESH_SECONDS: HOUR}


def written(before: Shown, now: Shown) -> str:
    """How long after the last write this one comes."""
    return next((when for seconds, when in TIMES.items() if news(before, now, seconds)), NEVER)


@pytest.mark.parametrize(
    ("path", "value", "when"),
    [
        pytest.param("observedGeneration", 4, AT_ONCE, id="another generation"),
        pytest.param("mode", "Paused", AT_ONCE, id="another mode"),
        pytest.param("signals.0.quality", "Stale", MINUTE, id="a signal that is no longer exact"),
        pytest.param("signals.0.source", "SGLang sglang:num_running_reqs", MINUTE, id="a signal from elsewhere"),
        pytest.param("signals.0.age", "<5m", HOUR, id="a signal that is older"),
        pytest.param("conditions.0.status", "True", AT_ONCE, id="a condition turns"),
        pytest.param("conditions.0.reason", "Stale", AT_ONCE, id="a condition's reason changes"),
        pytest.param("conditions.0.message", "Prometheus answers 401", MINUTE, id="a condition has another cause"),
        pytest.param("conditions.0.message", "Prometheus is down for 90 s", HOUR, id="a count in a message"),
        pytest.param("conditions", [], AT_ONCE, id="a condition ends"),
        pytest.param("objectives.0.state", "Breached", AT_ONCE, id="an objective is breached"),
        pytest.param("objectives.0.p99", "9s", HOUR, id="the last percentile"),
        pytest.param("objectives.0.attained", "99.10%", HOUR, id="the share attained"),
        pytest.param("targets.0.current", 3, AT_ONCE, id="replicas"),
        pytest.param("targets.0.desired", 3, AT_ONCE, id="replicas wanted"),
        pytest.param("targets.0.ready", 1, AT_ONCE, id="replicas ready"),
        pytest.param("targets.0.limitedBy", "maxReplicas", AT_ONCE, id="a bound"),
        pytest.param("targets.0.pricePerGpuHour", "0.90", AT_ONCE, id="a price"),
        pytest.param("targets.0.reason", "2.10 requests/s arrive", HOUR, id="figures in a reason"),
        pytest.param("gpu", SATURATED | {"queue": "5.0"}, AT_ONCE, id="GPUs are saturated"),
        pytest.param("gpu", SATURATED | {"queue": "1.0"}, HOUR, id="one request waits at one scrape"),
        pytest.param("gpu", SATURATED | {"kvCacheUsage": "97%"}, AT_ONCE, id="the KV cache is full"),
        pytest.param("gpu.verdict", "Unknown", AT_ONCE, id="nothing is known of the GPUs"),
        pytest.param("gpu.verdict", "Headroom", HOUR, id="a calm verdict after another"),
        pytest.param("gpu.utilization", "75%", HOUR, id="utilization"),
        pytest.param("cost.perHour", "2.4000", AT_ONCE, id="dollars per hour"),
        pytest.param("cost.monthToDate", "12.400000", HOUR, id="money that ran on at the announced rate"),
        pytest.param("cost.asOf", "2026-01-09T13:00:00Z", NEVER, id="the time alone"),
        pytest.param("roi.0.state", "AtRisk", AT_ONCE, id="an ROI target's state"),
        pytest.param("fallback.state", "Primary", AT_ONCE, id="the fallback's state"),
        pytest.param("fallback.weight", "95%", AT_ONCE, id="the fallback's share"),
        pytest.param("summary.reason", "2.20 requests/s arrive", HOUR, id="the summary"),
        pytest.param("lastDecision.id", "def", NEVER, id="the decision's id"),
    ],
)
def test_which_change_is_written_when(path: str, value: object, when: str) -> None:
    now = copy.deepcopy(BEFORE)
    change(path, value)(now)
    assert written(Shown(BEFORE, {}), Shown(now, {})) == when


HALF_A_SECOND = Figure(0.5, 0.4, 0.7, 0.05)


@pytest.mark.parametrize(
    ("before", "now", "when"),
    [
        pytest.param(HALF_A_SECOND, Figure(1.2, 0.9, 1.5, 0.05), MINUTE, id="it doubles, beyond chance"),
        pytest.param(HALF_A_SECOND, Figure(0.2, 0.1, 0.3, 0.05), MINUTE, id="or halves"),
        pytest.param(HALF_A_SECOND, Figure(1.2, 0.7, 1.5, 0.05), MINUTE, id="bounds that touch lie beside each other"),
        pytest.param(HALF_A_SECOND, Figure(1.2, 0.6, 3.0, 0.05), NEVER, id="it doubles, which may be chance"),
        pytest.param(HALF_A_SECOND, Figure(1.2, 0.0, math.inf, 0.05), NEVER, id="too few events for any bound"),
        pytest.param(HALF_A_SECOND, Figure(0.8, 0.7, 0.9, 0.05), NEVER, id="beyond chance, but not far"),
        pytest.param(Figure(0.001, 0, 0.002, 0.05), Figure(0.04, 0.03, 0.05, 0.05), NEVER, id="both are small"),
        pytest.param(None, HALF_A_SECOND, MINUTE, id="it was unknown"),
        pytest.param(HALF_A_SECOND, None, NEVER, id="it is unknown now"),
    ],
)
def test_a_figure_is_news_where_it_moved_far_and_beyond_chance(
    before: Figure | None, now: Figure | None, when: str
) -> None:
    old, new = ({"p95": figure} if figure else {} for figure in (before, now))
    assert written(Shown(BEFORE, old), Shown(BEFORE, new)) == when


def test_a_first_status_is_written() -> None:
    assert news(None, Shown(BEFORE, {}), 0.0)


def test_the_news_says_what_changed() -> None:
    now = copy.deepcopy(BEFORE)
    for path, value in (("objectives.0.state", "Breached"), ("targets.0.limitedBy", "maxReplicas")):
        change(path, value)(now)
    expected = "objective first: Met → Breached; target gpu limitedBy: none → maxReplicas"
    assert news(Shown(BEFORE, {}), Shown(now, {}), 1.0) == expected
    old, new = Shown(BEFORE, {"p95": HALF_A_SECOND}), Shown(BEFORE, {"p95": Figure(1.2, 0.9, 1.5, 0.05)})
    assert news(old, new, LARGE_MOVE_SECONDS) == "p95: 0.5 → 1.2"
