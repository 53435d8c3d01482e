"""What can be said of how pods end from their template alone."""

import pytest

from flyball.cluster.drain import ends_at_once

SLEEP = {"preStop": {"sleep": {"seconds": 15}}}
COMMAND = {"preStop": {"exec": {"command": ["sleep", "15"]}}}


@pytest.mark.parametrize(
    ("pod_spec", "expected"),
    [
        pytest.param({}, "no container has a preStop hook", id="nothing known"),
        pytest.param({"containers": [{"name": "a"}]}, "no container has a preStop hook", id="no lifecycle"),
        pytest.param(
            {"containers": [{"name": "a", "lifecycle": {"postStart": {"exec": {"command": ["true"]}}}}]},
            "no container has a preStop hook",
            id="only another hook",
        ),
        pytest.param({"containers": [{"name": "a", "lifecycle": SLEEP}]}, "", id="a sleep within the default of 30 s"),
        pytest.param({"containers": [{"name": "a", "lifecycle": COMMAND}]}, "", id="a command, however long"),
        pytest.param({"containers": [{"name": "a"}, {"name": "b", "lifecycle": SLEEP}]}, "", id="one of two"),
        pytest.param(
            {"containers": [{"name": "a", "lifecycle": SLEEP}], "terminationGracePeriodSeconds": 15},
            "preStop sleeps 15 s of the 15 s of terminationGracePeriodSeconds, and nothing can finish",
            id="no time is left to finish",
        ),
        pytest.param(
            {"containers": [{"name": "a", "lifecycle": SLEEP}], "terminationGracePeriodSeconds": 0},
            "preStop sleeps 15 s of the 0 s of terminationGracePeriodSeconds, and nothing can finish",
            id="killed at once",
        ),
        pytest.param(
            {"containers": [{"name": "a", "lifecycle": SLEEP}], "terminationGracePeriodSeconds": 16}, "", id="a second"
        ),
    ],
)
def test_a_template_says_whether_pods_serve_on_when_they_are_told_to_end(pod_spec, expected):
    assert ends_at_once(pod_spec) == expected
