import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from flyball.lab.fleet.model import Fallback, FleetVariant
from flyball.lab.fleet.outcome import Outcome, PaidReplicas, ScaleAction
from flyball.lab.policies.model import Objective
from flyball.lab.presets import PRESETS
from flyball.lab.scenario import Scenario
from flyball.lab.suite.figures import run_figures, run_series, undone
from flyball.lab.trace import Trace
from flyball.lab.traffic import TraceSource

VARIANT = FleetVariant("a", PRESETS["a100_8b"].parameters, 120.0, Decimal("2.50"), gpus_per_replica=2)
NEVER = math.nan


def scenario(*variants: FleetVariant, warmup: float = 0.0) -> Scenario:
    return Scenario(
        "made",
        TraceSource("generate:code", warmup_seconds=warmup),
        variants,
        (Objective("TimeToFirstToken", 1.0, 0.5),),
    )


def trace(times: list[float], inputs: int = 100, outputs: int = 11) -> Trace:
    count = len(times)
    return Trace("made", np.array(times, float), np.full(count, inputs), np.full(count, outputs), float(times[-1]))


def outcome(made: Trace, first: list[float], rest: float = 1.0, **changes: object) -> Outcome:
    """First tokens so many seconds after their arrivals, ends `rest` after them."""
    waits = np.array(first, float)
    nothing = np.zeros(len(made), dtype=bool)
    found = Outcome(
        until=float(made.t_seconds[-1]) + 3600.0,
        arrived_at=made.t_seconds,
        first_token_at=made.t_seconds + waits,
        finished_at=made.t_seconds + waits + rest,
        rejected=nothing,
        dropped=nothing,
        cold=nothing,
        variants=(VARIANT,),
        paid=(PaidReplicas(np.array([0.0]), np.array([1.0])),),
        actions=(),
        reclaims=0,
        failed_starts=0,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def test_service_is_of_requests_after_warm_up_and_cost_from_then_to_the_last_arrival() -> None:
    made = trace([0, 700, 800, 4200])
    paid = PaidReplicas(np.array([0.0, 600.0, 2400.0]), np.array([9.0, 1.0, 3.0]))
    found = run_figures(scenario(VARIANT, warmup=600.0), made, outcome(made, [9, 0.5, 2, 0.5], paid=(paid,)))
    assert (found["requests"], found["completed"]) == (3, 3)
    assert found["attainment"]["TimeToFirstToken"] == pytest.approx(2 / 3)
    assert found["marginMin"] == pytest.approx(1 / 6)
    # Half an hour with one replica and half an hour with three, of two GPUs each.
    assert found["gpuHours"] == pytest.approx(4.0)
    assert found["cost"] == pytest.approx(10.0)
    assert found["costPerRequest"] == pytest.approx(10 / 3)
    assert found["costPerMillionTokens"] == pytest.approx(10 / (3 * 111) * 1e6)
    assert (found["meanReplicas"], found["peakReplicas"]) == (pytest.approx(2.0), 3)


def test_each_variant_costs_its_own_price() -> None:
    made = trace([0, 3600])
    cheap = replace(VARIANT, name="b", price_per_gpu_hour=Decimal("0.50"), gpus_per_replica=1)
    paid = (PaidReplicas(np.array([0.0]), np.array([1.0])), PaidReplicas(np.array([0.0, 1800.0]), np.array([4.0, 0.0])))
    found = run_figures(scenario(VARIANT, cheap), made, outcome(made, [0, 0], variants=(VARIANT, cheap), paid=paid))
    assert found["gpuHours"] == pytest.approx(2.0 + 2.0)
    assert found["cost"] == pytest.approx(5.0 + 1.0)
    assert found["peakReplicas"] == 5


def test_latencies_are_of_completed_requests_and_the_lost_are_counted() -> None:
    made = trace([0, 10, 20, 30])
    flags = [np.array(row, bool) for row in ([0, 0, 0, 1], [0, 0, 1, 0], [1, 1, 0, 0])]
    lost = outcome(made, [0.5, 0.7, NEVER, NEVER], rejected=flags[0], dropped=flags[1], cold=flags[2])
    found = run_figures(scenario(VARIANT), made, lost)
    assert (found["requests"], found["completed"], found["rejected"], found["dropped"]) == (4, 2, 1, 1)
    assert found["coldHits"] == 2
    assert found["attainment"]["all"] == pytest.approx(2 / 3)
    assert found["ttftSeconds"]["p50"] == pytest.approx(0.6)
    assert found["itlSeconds"]["p99"] == pytest.approx(0.1)
    assert found["e2eSeconds"]["p50"] == pytest.approx(1.6)


def test_where_nothing_completes_nothing_is_known() -> None:
    made = trace([0, 10])
    found = run_figures(scenario(VARIANT), made, outcome(made, [NEVER, NEVER]))
    assert found["costPerRequest"] is None
    assert found["ttftSeconds"] == {"p50": None, "p95": None, "p99": None}
    assert found["attainment"] == {"TimeToFirstToken": 0.0, "all": 0.0}


def action(at: float, change: int, variant: int = 0) -> ScaleAction:
    return ScaleAction(at, variant, 5, 5 + change)


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        pytest.param([], 0, id="none"),
        pytest.param([action(0, 1), action(120, -1)], 1, id="within the start-up time"),
        pytest.param([action(0, 1), action(121, -1)], 0, id="after it"),
        pytest.param([action(0, 1), action(60, 1), action(90, -2)], 2, id="one step down undoes two up"),
        pytest.param([action(0, 1), action(60, -1), action(90, 1)], 2, id="to and fro"),
        pytest.param([action(0, 1), action(60, -1, variant=1)], 0, id="another variant"),
    ],
)
def test_actions_are_undone_by_their_opposite(actions: list[ScaleAction], expected: int) -> None:
    assert undone(actions, (VARIANT, VARIANT)) == expected


def test_actions_before_the_end_of_warm_up_and_after_the_last_arrival_are_left_out() -> None:
    made = trace([0, 1000, 2000])
    asked = (action(50, 1), action(1000, 2), action(1500, -1), action(2001, -1))
    found = run_figures(scenario(VARIANT, warmup=600.0), made, outcome(made, [0, 0, 0], actions=asked))
    assert (found["scaleUps"], found["scaleDowns"], found["undoneActions"]) == (1, 1, 0)


def test_a_series_has_load_replicas_and_latency_by_the_minute() -> None:
    made = trace([0, 10, 20, 130, 180])
    paid = PaidReplicas(np.array([0.0, 90.0]), np.array([2.0, 4.0]))
    series = run_series(made, outcome(made, [1, 2, 3, NEVER, 1], paid=(paid,)))
    assert series["seconds"] == [0.0, 60.0, 120.0]
    assert series["requestsPerSecond"] == [0.05, 0.0, pytest.approx(2 / 60, abs=1e-4)]
    assert series["replicas"] == [2.0, 3.0, 4.0]
    assert series["ttftP95Seconds"] == [3.0, None, None]


def test_a_long_series_is_no_longer_than_a_picture_needs() -> None:
    made = trace([0, 7 * 86_400])
    series = run_series(made, outcome(made, [1, 1]))
    assert 180 < len(series["seconds"]) <= 360
    assert len({len(values) for values in series.values()}) == 1


def test_what_a_fallback_answers_is_paid_for() -> None:
    """One replica of two GPUs for an hour, and three requests after warm-up at the fallback for half a dollar each."""
    made = trace([0, 700, 800, 900, 3600])
    cold = np.array([True, True, True, True, False])
    held = scenario(VARIANT, warmup=600.0)
    elsewhere = replace(held, options=replace(held.options, fallback=Fallback(0.5, 0.01, Decimal("0.50"))))
    found = [run_figures(each, made, outcome(made, [0] * 5, cold=cold)) for each in (held, elsewhere)]
    assert found[1]["cost"] - found[0]["cost"] == pytest.approx(1.50)
    assert [figures["coldHits"] for figures in found] == [3, 3]
