"""What is concluded from samples of the operator's metrics."""

import pytest
from e2e.soak.probe import Sample, growth, missed_ticks


def samples(*values: dict[str, float], every: float = 10.0, process: str = "p/0") -> list[Sample]:
    return [Sample(1000.0 + every * number, process, found) for number, found in enumerate(values)]


def led(*ticks: float) -> list[dict[str, float]]:
    return [{"leads": 1.0, "ticks": count} for count in ticks]


@pytest.mark.parametrize(
    ("values", "faults", "missed"),
    [
        pytest.param(led(0, 12, 24), [], 0, id="every one is made"),
        pytest.param(led(0, 10, 20), [], 0, id="late by no more than a busy machine is"),
        pytest.param(led(0, 4, 16), [], 6, id="some are not made"),
        pytest.param(led(0, 4, 16), [(1010.0, 1020.0)], 0, id="in a fault"),
        pytest.param(led(0, 4, 16), [(1200.0, 1210.0)], 6, id="before a fault"),
        pytest.param([{"leads": 0.0, "ticks": 0.0}, *led(0, 12)], [], 0, id="a follower makes none"),
    ],
)
def test_missed_ticks(values: list[dict[str, float]], faults: list[tuple[float, float]], missed: int) -> None:
    assert missed_ticks(samples(*values, every=60.0), faults) == missed


@pytest.mark.parametrize(
    ("values", "grown"),
    [
        pytest.param([100.0] * 20, 0.0, id="flat"),
        pytest.param([10.0 * n for n in range(5)] + [100.0] * 16, 0.0, id="flat once it is warm"),
        pytest.param([100.0 + n for n in range(21)], 12.0, id="growing"),
        pytest.param([100.0, 200.0, 300.0], 0.0, id="too few to say"),
    ],
)
def test_growth(values: list[float], grown: float) -> None:
    assert growth(samples(*({"memory": value} for value in values)), "memory", 50.0) == pytest.approx(grown)


def test_a_process_is_compared_with_itself_alone() -> None:
    small, large = [{"files": 10.0}] * 20, [{"files": 90.0}] * 20
    assert growth([*samples(*small), *samples(*large, process="p/1")], "files", 0.0) == 0.0
