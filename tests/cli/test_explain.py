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


EFFICIENCY = {
    "reliability": {
        "window": "1h", "requests": "1234", "availability": "98.77%",
        "events": [{"event": "Timeout", "share": "1.00%"}, {"event": "RateLimited", "share": "0.00%"}],
        "clientMistakes": "12.50%", "retryAmplification": "1.20",
    },
    "tokens": {
        "mean": {"input": "1000", "cached": "400", "output": "200", "retrievalContext": "900"},
        "templates": [{"template": "faq", "requests": "75%", "tokens": {"input": "500"}}],
    },
    "promptTrend": {
        "state": "Growing", "tokens": "1000", "perDay": "2.0%", "low": "1.5%", "high": "2.4%", "days": 27,
    },
    "caches": [
        {
            "name": "engine-prefix", "kind": "Prefix", "state": "Counted", "hitRate": "40%", "perPoint": "0.0720",
            "saving": "4.32", "reckonedFrom": "Guessed",
        },
        {
            "name": "answers", "kind": "Response", "state": "GuardBroken", "hitRate": "25%", "perPoint": "0.1008",
            "reckonedFrom": "Measured", "reason": "what it serves is 2h old, more than 10m",
        },
        {"name": "vectors", "kind": "Retrieval", "state": "Unmeasured", "reason": "nothing was looked up"},
    ],
}  # fmt: skip


def test_tells_how_requests_end_what_they_are_made_of_and_what_caches_save(explain: Any) -> None:
    lines = explain({"status": STATUS | EFFICIENCY}).output.splitlines()
    begin = lines.index("spare: 0 now, 0 wanted") + 1
    assert lines[begin : begin + 7] == [
        (
            "requests: 1234 requests in 1h: 98.77% available, Timeout 1.00%, clients' mistakes 12.50% of all, not "
            "counted, retries make 1.20 requests of one"
        ),
        "tokens: 1000 in, 400 of them cached, 900 of them retrieved, 200 out per request",
        "  faq, 75% of requests: 500 in per request",
        "prompts: Growing, 2.0% a day (1.5% to 2.4%, 27 days), 1000 tokens now",
        "cache engine-prefix (Prefix): hit rate 40%, a point is worth $0.0720/h, by a guessed capacity, saves $4.32/h",
        (
            "cache answers (Response): hit rate 25%, a point is worth $0.1008/h, no saving: GuardBroken, "
            "what it serves is 2h old, more than 10m"
        ),
        "cache vectors (Retrieval): no saving: Unmeasured, nothing was looked up",
    ]


@pytest.mark.parametrize(
    ("gpu", "line"),
    [
        pytest.param(
            {
                "verdict": "Saturated", "utilization": "97%", "queue": "2.5", "running": "19.0", "kneeRunning": "20.0",
                "kvCacheUsage": "61%", "tokensPerSecond": "480", "kneeTokensPerSecond": "500",
            },
            "GPUs: Saturated (97% busy, 2.5 waiting per replica, 19.0 running per replica, KV cache 61%, "
            "480 tokens/s per GPU, at the knee 500 tokens/s and 20.0 running)",
            id="all numbers",
        ),
        pytest.param(
            {"verdict": "Unknown", "queue": "0.0"}, "GPUs: Unknown (0.0 waiting per replica)", id="what is known"
        ),
        pytest.param({"verdict": "Unknown"}, "GPUs: Unknown (nothing is known of them)", id="nothing"),
    ],
)  # fmt: skip
def test_tells_the_gpu_verdict_with_its_numbers(explain: Any, gpu: dict[str, str], line: str) -> None:
    assert line in explain({"status": STATUS | {"gpu": gpu}}).output.splitlines()


PLAN = {
    "state": "Known",
    "message": "days marked * lie farther ahead than the 28 days of history: trust their range only",
    "asOf": "2026-01-09T12:00:00Z",
    "history": "27d12h",
    "load": {"mean": "10", "steady": "9.8", "busy": "14.8", "peak": "18"},
    "growthPerDay": "+1.0% (+0.6% to +1.4%)",
    "patterns": ["daily: busiest at 14:00 UTC, 1.5 × the mean"],
    "needs": [
        {
            "target": "gpu", "accelerator": "NVIDIA-L4", "day": "2026-01-09", "why": "now",
            "requestsPerSecond": "18 (17 to 19)", "replicas": "5", "gpus": "5", "costPerMonth": "2880",
        },
        {
            "target": "spare", "day": "2026-02-08*", "why": "growth",
            "requestsPerSecond": "24 (20 to 30)", "replicas": "7 (6 to 9)", "gpus": "14 (12 to 18)",
        },
    ],
    "limits": [{"target": "gpu", "expected": "2026-03-01", "earliest": "2026-01-30"},
               {"target": "spare", "earliest": "2026-03-30"}],
    "purchase": {"target": "gpu", "peakReplicas": 5, "scaledReplicas": "3.4", "buying": "2880", "scaling": "1958"},
}  # fmt: skip
SHADOW = [
    {
        "name": "hpa-queue", "state": "Running", "since": "2026-01-09T12:00:00Z",
        "targets": [{"name": "gpu", "desired": 5}, {"name": "spare", "desired": 0}],
        "lastHour": {"covered": "1h", "replicaHours": "5.0", "flyballReplicaHours": "2.0", "cost": "4.00",
                     "flyballCost": "1.60"},
        "lastDay": {"covered": "2h", "replicaHours": "9.0", "flyballReplicaHours": "4.0"},
    },
    {
        "name": "kpa", "state": "Running", "since": "2026-01-09T12:00:15Z", "targets": [{"name": "gpu", "desired": 3}],
        "message": "its own collector reads every 2s, here each tick does",
    },
    {"name": "hpa-gpu", "state": "MetricMissing", "message": "no replica exports GPU utilization",
     "missing": ["GPU utilization"]},
]  # fmt: skip


def test_a_plan_is_told_with_its_ranges_and_its_money(explain: Any) -> None:
    lines = explain({"status": {"plan": PLAN}}).output.splitlines()
    assert lines == [
        "plan from 27d12h until 2026-01-09T12:00:00Z:",
        (
            "  load: 10 requests/s in the mean, 9.8 in the median hour, 14.8 in the busiest 20th, "
            "18 in the highest five minutes"
        ),
        "  growth a day: +1.0% (+0.6% to +1.4%)",
        "  daily: busiest at 14:00 UTC, 1.5 × the mean",
        "  day          why     target           peak requests/s  replicas    GPUs           30 days",
        "  2026-01-09   now     gpu (NVIDIA-L4)  18 (17 to 19)    5           5              $2880",
        "  2026-02-08*  growth  spare            24 (20 to 30)    7 (6 to 9)  14 (12 to 18)  unknown",
        "  gpu: maxReplicas will no longer do: expected 2026-03-01, 2026-01-30 at the earliest",
        "  spare: maxReplicas will no longer do: not expected within 90 days, 2026-03-30 at the earliest",
        (
            "  30 days on gpu: bought for the peak 5 replicas, $2880; scaled to each hour's peak 3.4 in the mean, "
            "$1958 (32% less)"
        ),
        "  note: days marked * lie farther ahead than the 28 days of history: trust their range only",
    ]


@pytest.mark.parametrize("state", ["Insufficient", "Unavailable"])
def test_no_plan_says_why(explain: Any, state: str) -> None:
    done = explain({"status": {"plan": {"state": state, "message": "2 h of 24 h"}}})
    assert done.output.splitlines() == [f"plan: {state}: 2 h of 24 h"]


def test_rivals_are_told_beside_flyball(explain: Any) -> None:
    lines = explain({"status": {"shadow": SHADOW}}).output.splitlines()
    assert lines == [
        "rivals, asked and not obeyed:",
        "             now             last hour    flyball      last day  flyball  asked since",
        "  hpa-queue  gpu 5, spare 0  5.0 h $4.00  2.0 h $1.60  9.0 h     4.0 h    2026-01-09T12:00:00Z",
        "  kpa        gpu 3                                                        2026-01-09T12:00:15Z",
        "  kpa: its own collector reads every 2s, here each tick does",
        "  hpa-gpu: MetricMissing: no replica exports GPU utilization",
    ]


def test_rivals_of_which_none_runs_have_no_table(explain: Any) -> None:
    lines = explain({"status": {"shadow": SHADOW[2:]}}).output.splitlines()
    assert lines[1:] == ["  hpa-gpu: MetricMissing: no replica exports GPU utilization"]


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
