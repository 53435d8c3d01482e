"""The objectives of a workload that declares none."""

import pytest

from flyball.api.defaults import DEFAULT_OBJECTIVES, default_objectives
from flyball.api.v1alpha1 import WorkloadType
from flyball.core.names import Indicator
from flyball.core.units import parse_duration_seconds

TTFT, ITL, E2E = Indicator.TIME_TO_FIRST_TOKEN, Indicator.INTER_TOKEN_LATENCY, Indicator.END_TO_END

# vLLM's bucket edges in seconds, from vllm/v1/metrics/loggers.py.
EDGES = {
    TTFT: {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160},
    ITL: {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80},
    E2E: {0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680},
}


@pytest.mark.parametrize(
    ("workload_type", "expected"),
    [
        pytest.param(
            WorkloadType.SUPPORT_BOT,
            [(TTFT, 0.5, 0.95), (ITL, 0.05, 0.95), (E2E, 15.0, 0.95)],
            id="a support bot answers at once",
        ),
        pytest.param(WorkloadType.ASSISTANT, [(TTFT, 1.0, 0.95), (ITL, 0.05, 0.95)], id="an assistant answers soon"),
        pytest.param(
            WorkloadType.RESEARCH,
            [(TTFT, 5.0, 0.95), (ITL, 0.075, 0.95), (E2E, 240.0, 0.95)],
            id="research may think first",
        ),
        pytest.param(WorkloadType.AUTOMATION, [(E2E, 30.0, 0.95)], id="automation waits for the whole answer"),
        pytest.param(WorkloadType.BATCH, [(E2E, 480.0, 0.9)], id="batch has deadlines"),
    ],
)
def test_objectives_follow_the_workload_type(
    workload_type: WorkloadType, expected: list[tuple[Indicator, float, float]]
) -> None:
    objectives = default_objectives(workload_type)
    assert [(o.indicator, o.threshold_seconds, o.target) for o in objectives] == expected
    assert {objective.window_seconds for objective in objectives} == {28 * 86400.0}


def test_every_workload_type_has_objectives_with_reasons() -> None:
    assert set(DEFAULT_OBJECTIVES) == set(WorkloadType)
    for objectives in DEFAULT_OBJECTIVES.values():
        assert all(objective.reason for objective in objectives)
        assert len({objective.name for objective in objectives}) == len(objectives)


def test_every_default_threshold_is_a_bucket_edge_of_vllm() -> None:
    for objectives in DEFAULT_OBJECTIVES.values():
        for objective in objectives:
            assert parse_duration_seconds(objective.threshold) in EDGES[objective.indicator]
