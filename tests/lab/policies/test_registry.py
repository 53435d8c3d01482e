"""Every rival: built by name, deterministic, within bounds; and the knobs as data."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lab.policies.views import Fleet, observing, replica, setting, variant

from flyball.lab.fleet.samples import FIRST_TOKEN, TOKEN_TIME
from flyball.lab.policies.registry import ELSEWHERE, KNOBS, RIVALS, build, default_knobs, names


@pytest.mark.parametrize("name", RIVALS)
def test_built_under_its_name_with_its_clocks(name: str) -> None:
    policy = build(name, setting())
    assert policy.name == name
    assert policy.period_seconds > 0
    assert policy.collector_seconds is None or 0 < policy.collector_seconds <= policy.period_seconds


@pytest.mark.parametrize("name", RIVALS)
def test_every_knob_of_grid_and_sweep_can_be_set(name: str) -> None:
    knobs = KNOBS[name]
    assert knobs.main in default_knobs(name)
    for value in knobs.sweep:
        build(name, setting(), {knobs.main: value})
    combinations = list(knobs.combinations())
    assert len({tuple(each.items()) for each in combinations}) == len(combinations) <= 40
    for each in combinations:
        build(name, setting(), each)


@pytest.mark.parametrize("name", [name for name in RIVALS if name not in ("static", "kpa-default", "ray-default")])
def test_the_sweep_and_the_grid_hold_the_published_value(name: str) -> None:
    knobs, default = KNOBS[name], default_knobs(name)
    assert default[knobs.main] in knobs.sweep
    assert all(default[knob] in values for knob, values in knobs.grid.items())


@pytest.mark.parametrize(
    ("name", "knobs", "message"),
    [
        ("hpa", {}, "there is no policy 'hpa'; choose from static, hpa-gpu"),
        ("oracle", {}, "policy 'oracle' is not a rival; pass the factory"),
        ("hpa-gpu", {"target": 3}, "policy 'hpa-gpu' has no knob 'target'; its knobs are target_percent"),
        ("aibrix-apa", {"fixed": True}, "has no knob 'fixed'"),
        ("hpa-queue", {"target": 0}, "is too small; give more than 0"),
        ("hpa-queue", {"target": "5"}, "is no number"),
        ("hpa-queue", {"target": None}, "is no number"),
        ("hpa-queue", {"target": float("nan")}, "is no number"),
        ("hpa-queue", {"target": True}, "is no number"),
        ("ray", {"upscale_delay_seconds": -1}, "is too small; give 0 or more"),
        ("keda-concurrency", {"ignore_null_values": 1}, "is no true or false"),
        ("dynamo", {"predictor": 1}, "is no word"),
    ],
)
def test_bad_names_and_knobs(name: str, knobs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(name, setting(), knobs)


def test_others_are_built_by_whoever_has_them() -> None:
    built = build("static", setting())
    assert set(ELSEWHERE) < set(names())
    assert build("flyball", setting(), {"maxInsurance": 0.9}, {"flyball": lambda setting, knobs: built}) is built


def play(name: str, loads: list[tuple[int, int, bool]], least: int = 1) -> list[int]:
    """What the policy asks for, before any bounds but the fleet's, on a fleet that serves the same load everywhere."""
    fleet = Fleet(build(name, setting(variant(min_replicas=least, max_replicas=12))), max(least, 2), (least, 12))
    asked = []
    for index, (load, held, lost) in enumerate(loads):
        rows = []
        for number in range(fleet.asked):
            row = replica(
                number,
                running=load,
                waiting=load // 3,
                kv_usage=min(1.0, load / 50),
                busy_seconds=fleet.now * min(1.0, load / 20),
                finished=index,
                finished_prompt_tokens=1000 * index,
                finished_output_tokens=50 * index,
                prompt_tokens=1000 * index,
            )
            observing(row, FIRST_TOKEN, min(load // 4, 20), index)
            rows.append(observing(row, TOKEN_TIME, min(load // 4, 15), index))
        asked.append(fleet.step(*rows, held=held, arrived=load * index, lost=lost))
    return asked


LOADS = st.lists(st.tuples(st.integers(0, 80), st.integers(0, 60), st.booleans()), max_size=60)


@pytest.mark.parametrize("least", [0, 1])
@pytest.mark.parametrize("name", RIVALS)
@settings(max_examples=8)
@given(LOADS)
def test_deterministic_whole_and_within_bounds(name: str, least: int, loads: list) -> None:
    asked = play(name, loads, least)
    assert asked == play(name, loads, least)
    assert all(isinstance(count, int) and least <= count <= 12 for count in asked)


ANSWERS = [name for name in RIVALS if name != "static"]


@pytest.mark.parametrize("name", ANSWERS)
def test_a_load_that_no_two_replicas_bear_is_answered(name: str) -> None:
    assert max(play(name, [(0, 0, False)] * 4 + [(80, 60, False)] * 60)) > 2
