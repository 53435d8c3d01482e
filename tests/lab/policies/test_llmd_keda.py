"""llm-d's two blueprints."""

import pytest
from lab.policies.views import Fleet, counts, observing, replica, sample, setting, view

from flyball.lab.fleet.samples import FIRST_TOKEN
from flyball.lab.policies.llmd_keda import QueueKeda, SloKeda, slo_replicas


@pytest.mark.parametrize(
    ("pressure", "replicas", "ready", "source", "fixed"),
    [
        pytest.param(0.5, 8, 8, 8, 8, id="between the thresholds"),
        pytest.param(1.1, 8, 8, 16, 16, id="twice the upper threshold: twice the replicas"),
        pytest.param(0.56, 8, 8, 9, 9, id="just above: one more"),
        pytest.param(0.2, 8, 8, 4, 4, id="half the lower threshold: half"),
        pytest.param(0.39, 8, 8, 8, 8, id="just below: floor(0.2) of a replica"),
        pytest.param(0.0, 8, 8, 0, 0, id="no pressure: none"),
        pytest.param(1.1, 8, 6, 12, 12, id="those that load are credited"),
        pytest.param(0.6, 8, 2, 3, 8, id="the credit asks for fewer in mid scale-up"),
        pytest.param(2.0, 8, 1, 4, 8, id="even at four times the objective"),
        pytest.param(1.1, 8, 0, 16, 16, id="none ready: no credit"),
    ],
)
def test_law(pressure: float, replicas: int, ready: int, source: int, fixed: int) -> None:
    assert slo_replicas(pressure, replicas, ready) == source
    assert slo_replicas(pressure, replicas, ready, fixed=True) == fixed


def slow(at: float, replicas: int, requests: float):
    """Replicas whose first tokens all took 2.5 to 5 s."""
    bucket = FIRST_TOKEN.edges.index(5.0)
    return [observing(replica(number), FIRST_TOKEN, bucket, requests) for number in range(replicas)]


def test_pressure_is_the_tail_over_the_objective_smoothed_and_clamped() -> None:
    policy = SloKeda(setting(objectives={"TimeToFirstToken": 10.0}))
    samples = [sample(15.0 * index, *slow(15.0 * index, 4, 10.0 * index)) for index in range(5)]
    # P90 lies at 2.5 + 0.9 * 2.5 = 4.75 s: 0.475 of the objective, between the thresholds.
    assert policy._pressure(view(60.0, counts(4), *samples), 0) == pytest.approx(0.475)


def test_up_waits_half_a_minute_then_goes_in_its_step() -> None:
    fleet = Fleet(SloKeda(setting(objectives={"TimeToFirstToken": 1.0})), replicas=4)
    asked = [fleet.step(*slow(fleet.now, 4, 10.0 * index), ready=4) for index in range(8)]
    # A rate needs two samples (15 s); at 30 s the window has forgotten the first count, and 100% are allowed; a minute
    # later 8 at 3.6 times the threshold, half of them credited, ask for 15.
    assert asked == [4, 4, 8, 8, 8, 8, 15, 15]


def test_missing_metrics_step_down_one_by_one_to_the_least() -> None:
    fleet = Fleet(SloKeda(setting()), replicas=4)
    asked = [fleet.step(lost=True) for _ in range(60)]
    # The window of 180 s, then one pod in 120 s.
    assert [asked.index(count) for count in (3, 2, 1)] == [12, 20, 28]


def test_law_passes_through_the_tolerance() -> None:
    # Ten replicas at a pressure of 0.6 ask for eleven, which the autoscaler swallows.
    assert slo_replicas(0.6, 10, 10) == 11
    policy = SloKeda(setting(objectives={"TimeToFirstToken": 5.0 * 0.95 / 0.6}))
    fleet = Fleet(policy, replicas=10)
    assert {fleet.step(*slow(fleet.now, 10, 10.0 * index), ready=10) for index in range(12)} == {10}


def test_queue_blueprint_takes_the_greater() -> None:
    policy = QueueKeda(setting())
    many = sample(0.0, replica(0, running=40, waiting=0), replica(1, running=24))
    assert policy.decide(view(0.0, counts(2), many))[0] == 4
    queued = sample(0.0, replica(0, running=16, waiting=3), replica(1, running=16))
    assert QueueKeda(setting()).decide(view(0.0, counts(2), queued))[0] == 3
