"""`flyball plan` from a trace: what is printed, the same as JSON, and what is said of input that cannot work."""

import json
import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from lab.backtest.pasts import SPEC

from flyball.cli.main import main
from flyball.cli.plan import _past
from flyball.core.traffic.trends import DAY_SECONDS, busiest, daily, season
from flyball.lab.backtest.recorded import measured_of_trace
from flyball.lab.trace import Trace

MANIFEST = {
    "apiVersion": "flyball.dev/v1alpha1",
    "kind": "WorkloadSLO",
    "metadata": {"name": "chat", "namespace": "team"},
    "spec": {
        "workloadType": "Assistant",
        "objectives": [{"name": "first-token", "indicator": "TimeToFirstToken", "threshold": "1s", "target": "95%"}],
        "targets": [
            {
                "name": "small",
                "targetRef": {"name": "a"},
                "maxReplicas": 4,
                "pricePerGpuHour": "0.80",
                "gpusPerReplica": 1,
            },
            {
                "name": "large",
                "targetRef": {"name": "b"},
                "maxReplicas": 4,
                "pricePerGpuHour": "4",
                "gpusPerReplica": 8,
            },
        ],
    },
}
EVENT = {
    "apiVersion": "flyball.dev/v1alpha1",
    "kind": "DemandEvent",
    "metadata": {"name": "launch", "namespace": "team"},
    "spec": {
        "start": "2026-01-20T09:00:00Z", "end": "2026-01-20T18:00:00Z", "multiple": "3", "workloads": ["chat"],
    },
}  # fmt: skip
WEEK = "generate:conversation?rate=0.2&duration=7d&daily=0.6"
ONE_HOUR = "generate:conversation?rate=2&duration=1h"


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    path = tmp_path / "wslo.yaml"
    path.write_text(yaml.safe_dump(MANIFEST))
    return str(path)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["plan", *arguments])


def test_a_week_tells_growth_pattern_and_needs_of_every_target(manifest: str) -> None:
    done = invoke("--trace", WEEK, "--file", manifest, "--no-simulate", "--horizon", "60d")
    assert done.exit_code == 0, done.output
    assert "team/chat, 7d until 2026-01-12 00:00 UTC" in done.output
    assert "from 7 days" in done.output
    assert "daily pattern: busiest at" in done.output
    rows = [line.split() for line in done.output.splitlines() if line.startswith(("small", "large"))]
    assert [row[0] for row in rows] == ["small"] * 3 + ["large"] * 3
    assert "each target is planned as if it served all of the load alone" in done.output
    assert "days marked * lie farther ahead than the history's 7 days" in done.output


def test_json_holds_the_needs_the_event_and_the_range(manifest: str, tmp_path: Path) -> None:
    events = tmp_path / "events.yaml"
    events.write_text(yaml.safe_dump(EVENT))
    done = invoke("--trace", WEEK, "--file", manifest, "--no-simulate", "--events", str(events), "-o", "json")
    document = json.loads(done.stdout)
    event = next(need for need in document["needs"] if need["why"] == "event")
    now = document["needs"][0]
    assert event["day"] == "2026-01-20"
    assert event["peakRequestsPerSecond"]["expected"] > 2 * now["peakRequestsPerSecond"]["expected"]
    assert now["gpus"]["low"] <= now["gpus"]["expected"] <= now["gpus"]["high"]
    assert document["cheapest"] == "small"
    assert (document["bill"], document["patterns"][0]["periodHours"]) == (None, 24)


def test_buying_for_the_peak_is_shown_as_money_against_scaling(manifest: str) -> None:
    done = invoke("--trace", ONE_HOUR, "--file", manifest)
    assert done.exit_code == 0, done.output
    assert "buying for the peak, 30 days: " in done.output
    assert "scaling, 30 days like the last 1h: " in done.output
    assert "simulated: first-token " in done.output
    assert "fewer than five full days: no growth is known" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--file", "{manifest}"], "say where the past is: --prometheus-url, or --trace", id="no past"),
        pytest.param(["--trace", ONE_HOUR], "name the WorkloadSLO, or give its manifest", id="no workload"),
        pytest.param(["--trace", "nowhere.csv", "--file", "{manifest}"], "nowhere.csv: no such file", id="no trace"),
        pytest.param(
            ["--trace", ONE_HOUR, "--file", "{manifest}", "--step", "3h"], "shorter than a step", id="a long step"
        ),
        pytest.param(
            ["--trace", ONE_HOUR, "--file", "{manifest}", "--events", "{manifest}"],
            "holds no DemandEvent whose workloads name team/chat",
            id="no event",
        ),
        pytest.param(["--trace", ONE_HOUR, "--file", "{manifest}", "--horizon", "1h"], "too short", id="no horizon"),
    ],
)
def test_what_cannot_be_planned_is_explained(manifest: str, arguments: list[str], message: str) -> None:
    done = invoke(*(argument.format(manifest=manifest) for argument in arguments))
    assert done.exit_code in (1, 2), done.output
    assert message in " ".join(done.output.split())


def test_a_wrong_event_is_told_by_field(manifest: str, tmp_path: Path) -> None:
    events = tmp_path / "events.yaml"
    events.write_text(yaml.safe_dump({**EVENT, "spec": {**EVENT["spec"], "end": "2026-01-19T09:00:00Z"}}))
    done = invoke("--trace", ONE_HOUR, "--file", manifest, "--events", str(events), "--no-simulate")
    assert done.exit_code == 2
    assert "the event ends before it begins" in done.output


@pytest.mark.parametrize("month", [3, 10], ids=["clocks go forward", "clocks go back"])
def test_a_change_of_clocks_moves_no_peak_and_loses_no_day(month: int) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime(2026, month, 23, tzinfo=berlin).timestamp()
    hours = start + 3600.0 * np.arange(10 * 24)
    local = np.array([datetime.fromtimestamp(at, berlin).hour for at in hours.tolist()])
    trace = Trace("ten days", np.array([0.0]), np.array([1]), np.array([1]), float(3600 * len(hours)))
    measured = measured_of_trace(trace, SPEC, 3600.0, start)
    past = _past(replace(measured, arrivals=1000 * (2 + np.cos(2 * math.pi * (local - 14) / 24))), berlin)
    found = season(past.local, past.rates, 3600.0, DAY_SECONDS)
    assert found is not None
    assert busiest(found, 1) == [14]
    days, _ = daily(past.local, past.rates, 3600.0)
    assert len(days) >= 9
