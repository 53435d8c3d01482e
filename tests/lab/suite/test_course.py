from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flyball.lab.policies.kpa import Kpa
from flyball.lab.scenario import Scenario, parse_scenario
from flyball.lab.suite.conclusion import Conclusion
from flyball.lab.suite.course import Effort, scenario_course
from flyball.lab.suite.pool import run_courses
from flyball.lab.suite.results import Role
from flyball.lab.suite.store import Store

EFFORT = Effort(sweep_points=2, sweep_seeds=1, oracle_seconds=0.0)


def scenario(folder: Path, policies: Sequence[str], **changes: Any) -> Scenario:
    document = {
        "name": "tiny",
        "trace": {"path": "generate:conversation?rate=3&duration=20m&burst=0.2&step=10m:2", "warmup": "3m"},
        "variants": [{"name": "l4", "engine": "l4_8b", "startup": "60s", "pricePerGpuHour": "0.80"}],
        "objectives": [
            {"indicator": "TimeToFirstToken", "threshold": "2s", "target": "90%"},
            {"indicator": "InterTokenLatency", "threshold": "200ms", "target": "90%"},
        ],
        "seeds": 2,
        "policies": list(policies),
    }
    return parse_scenario(document | changes, folder)


def run(folder: Path, asked: Scenario, effort: Effort = EFFORT) -> Conclusion:
    return run_courses([scenario_course(asked, effort)], Store(folder / "kept"), workers=1)[0]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Conclusion:
    folder = tmp_path_factory.mktemp("course")
    policies = ["hpa-queue", "kpa-default", "static-peak", "oracle", "floor"]
    return run(folder, scenario(folder, policies, tune="hindsight"))


def runs_of(conclusion: Conclusion, policy: str, role: Role) -> list[int]:
    return [run.seed for run in conclusion.runs if run.policy == policy and run.role is role]


def test_every_policy_is_played_on_every_seed_with_its_bounds(played: Conclusion) -> None:
    assert played.faults == ()
    for policy in ("hpa-queue", "kpa-default", "static-peak", "oracle"):
        assert runs_of(played, policy, Role.DEFAULT) == [1, 2]
        assert set(played.series[policy]) == {"seconds", "requestsPerSecond", "replicas", "ttftP95Seconds"}
    assert runs_of(played, "floor", Role.BOUND) == [1, 2]
    for policy in ("static-peak", "oracle"):
        line = played.line(policy)
        assert line is not None
        assert line.meets
        assert line.floor_ratio is not None
        assert line.floor_ratio > 1.0


def test_a_rival_is_tuned_and_its_star_is_no_worse_than_its_default(played: Conclusion) -> None:
    default, tuned = played.line("hpa-queue"), played.line("hpa-queue*")
    assert default is not None
    assert tuned is not None
    assert runs_of(played, "hpa-queue*", Role.TUNED) == [1, 2]
    assert set(tuned.knobs) == {"target", "stabilization_seconds"}
    assert tuned.meets or tuned.margin >= default.margin
    assert not default.meets or tuned.cost <= default.cost


def test_frontiers_are_swept_on_the_seeds_asked_for(played: Conclusion) -> None:
    assert set(runs_of(played, "kpa-default", Role.SWEEP)) == {1}
    knobs = [run.knobs for run in played.runs if run.policy == "kpa-default" and run.role is Role.SWEEP]
    # Two points at most; the one that is the default is not played again.
    assert knobs == [{"stable_seconds": 30.0}, {"stable_seconds": 600.0}]
    main = [run.knob for run in played.runs if run.policy == "kpa-default" and run.role is Role.DEFAULT]
    assert main == [60.0, 60.0]


def test_all_policies_meet_the_same_requests(played: Conclusion) -> None:
    for seed in (1, 2):
        assert len({run.requests for run in played.runs if run.seed == seed and run.policy != "floor"}) == 1


def test_without_tuning_and_sweeps_only_the_defaults_are_played(tmp_path: Path) -> None:
    found = run(tmp_path, scenario(tmp_path, ["hpa-queue"], seeds=1), Effort(sweep_points=0))
    assert [(run.policy, run.role, run.seed) for run in found.runs] == [("hpa-queue", Role.DEFAULT, 1)]


def test_a_finished_scenario_is_read_and_not_played_again(tmp_path: Path) -> None:
    asked = scenario(tmp_path, ["hpa-queue"], seeds=1)
    first = run(tmp_path, asked)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()}
    again = run(tmp_path, asked)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()} == kept
    assert again == first
    run(tmp_path, scenario(tmp_path, ["hpa-queue"], seeds=1, routing="random"))
    assert len(list((tmp_path / "kept").iterdir())) == 2 * len(kept)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param(
            {"objectives": [{"indicator": "TimeToFirstToken", "threshold": "50ms", "target": "95%"}]},
            "TimeToFirstToken within 50ms for 95.0% cannot be met: alone on an idle replica 0.0% make it (the shortest "
            "threshold that could hold is 9",
            id="infeasible",
        ),
        pytest.param(
            {"variants": [{"name": "l4", "engine": "l4_8b", "startup": "20m"}]},
            "tiny: variants.startup: is 20m for l4, and the whole run lasts 20m: no order could ever help",
            id="a start-up as long as the run",
        ),
        pytest.param(
            {"trace": {"path": "generate:conversation?rate=0.001&duration=1m"}},
            "no request came in 1m; give a higher rate or a longer duration",
            id="an empty trace",
        ),
    ],
)
def test_what_cannot_be_played_says_why(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    found = run(tmp_path, scenario(tmp_path, ["hpa-queue"], **changes))
    assert complaint in found.skipped
    assert found.runs == ()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("", "line 1: column t_seconds, input_tokens, output_tokens is missing", id="empty"),
        pytest.param("t_seconds,input_tokens,output_tokens\n5,1,1\n0,1,1\n", "line 3, column t_seconds", id="unsorted"),
        pytest.param("t_seconds,input_tokens,output_tokens\n0,-1,1\n", "column input_tokens: is -1", id="negative"),
        pytest.param("t_seconds,input_tokens,output_tokens\n0,1e12,1\n", "no model takes more than", id="gigantic"),
        pytest.param("t_seconds,input_tokens,output_tokens\n0,5,5\n1,5", "only 2 fields", id="cut off"),
    ],
)
def test_a_broken_trace_is_named_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    found = run(tmp_path, scenario(tmp_path, ["hpa-queue"], trace={"path": "t.csv"}))
    assert "t.csv" in found.skipped
    assert complaint in found.skipped


def test_a_policy_that_breaks_is_reported_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("nobody thought of it")

    monkeypatch.setattr(Kpa, "decide", broken)
    asked = scenario(tmp_path, ["kpa", "hpa-queue"], seeds=1)
    found = run(tmp_path, asked, Effort(sweep_points=0))
    assert [run.policy for run in found.runs] == ["hpa-queue"]
    assert len(found.faults) == 1
    assert found.faults[0].startswith("tiny: kpa, seed 1: ZeroDivisionError: nobody thought of it (broken, line ")


def test_where_no_constant_fleet_is_enough_the_largest_is_shown(tmp_path: Path) -> None:
    variant = {"name": "l4", "engine": "l4_8b", "startup": "60s", "maxReplicas": 2}
    found = run(tmp_path, scenario(tmp_path, ["static-peak"], variants=[variant], seeds=1))
    line = found.line("static-peak")
    assert line is not None
    assert (line.meets, line.knobs, found.not_counted, found.faults) == (False, {"replicas": 2.0}, "", ())


@pytest.mark.parametrize(("least", "counted"), [pytest.param(1, False, id="one"), pytest.param(0, True, id="to zero")])
def test_a_scenario_that_a_constant_count_solves_is_a_sizing_check(tmp_path: Path, least: int, counted: bool) -> None:
    path = "generate:conversation?rate=0.4&duration=20m&burst=0"
    variant = {"name": "l4", "engine": "l4_8b", "startup": "60s", "minReplicas": least}
    changes = {"trace": {"path": path, "warmup": "3m"}, "variants": [variant], "seeds": 1}
    found = run(tmp_path, scenario(tmp_path, ["static-peak", "floor"], **changes))
    assert ("is within one replica of the floor's mean" in found.not_counted) is not counted
    assert {run.counted for run in found.runs} == {counted}
