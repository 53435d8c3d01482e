from dataclasses import replace

import pytest
from core.cases import observation, signals, spec

from flyball.core.memory import Memory
from flyball.core.observation import ABSENT, Reading
from flyball.core.told.causes import demand_cause, gpu_text, starved_text
from flyball.core.traffic.demand import Situation, assess


def situation(**readings: float | Reading) -> Situation:
    return assess(spec(), observation(signal=signals(**readings)), Memory())[0]


def test_demand_is_told_with_its_queue_and_with_what_a_replica_carries() -> None:
    cause = demand_cause(situation(rate=4.0, waiting=30.0), 5.5, 1.0)
    assert cause.text == (
        "4.00 requests/s arrive and 30 wait; in 1m15s 4.00 are expected, up to 5.50; one replica carries 5.00 "
        "(bound by the engine's batch limit, not measured yet)"
    )
    assert dict(cause.numbers)["insured_per_second"] == 5.5


def test_a_measured_capacity_is_told_without_reserve() -> None:
    found = situation(rate=4.0)
    measured = tuple(replace(c, confident=True) for c in found.capacities if c)
    text = demand_cause(replace(found, capacities=measured), 4.4, 0.0).text
    assert text.endswith("(bound by the engine's batch limit)")
    assert "wait" not in text


@pytest.mark.parametrize(
    ("readings", "text"),
    [
        pytest.param({}, "60% busy, 0.0 waiting per replica, KV cache 40%", id="all that is known"),
        pytest.param(
            {"gpu_utilization": ABSENT, "kv_cache_usage": ABSENT}, "0.0 waiting per replica", id="and nothing else"
        ),
        pytest.param(
            {"gpu_utilization": ABSENT, "kv_cache_usage": ABSENT, "waiting": ABSENT},
            "GPU metrics unknown",
            id="or none",
        ),
    ],
)
def test_the_gpus_in_words(readings: dict[str, float | Reading], text: str) -> None:
    assert gpu_text(situation(**readings)) == text
    assert text in starved_text(situation(**readings))
