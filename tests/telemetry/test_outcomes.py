"""Outcomes by users' own PromQL: rates become counts by the hour, and what was not measured is left out."""

from collections.abc import Sequence
from typing import Any

import pytest

from flyball.core.ports import Unavailable
from flyball.telemetry.answers import Answer, RangeAnswer, Row
from flyball.telemetry.outcomes import HOUR_SECONDS, OutcomeMetrics
from flyball.telemetry.settings import PrometheusSettings

BEGIN = 1_800_000_000.0 // HOUR_SECONDS * HOUR_SECONDS


class Client:
    """Answers as given."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    def ask_range(self, *asked: Any) -> RangeAnswer:
        self.asked.append(asked)
        return self.answer  # type: ignore[no-any-return]

    def ask(self, *asked: Any) -> Answer:
        self.asked.append(asked)
        return self.answer  # type: ignore[no-any-return]


def source(answer: Any) -> OutcomeMetrics:
    made = OutcomeMetrics(PrometheusSettings("http://prometheus:9090"))
    made._client = Client(answer)  # type: ignore[assignment]
    return made


def rows(*values: float) -> tuple[Row, ...]:
    return tuple(Row({}, value) for value in values)


async def test_rates_become_counts_of_the_hours_that_they_lie_in() -> None:
    answer = RangeAnswer({
        BEGIN + 300: rows(0.1), BEGIN + 3600: rows(0.2, 0.1), BEGIN + 3900: rows(1.0), BEGIN + 7200: rows(),
    })  # fmt: skip
    found = await source(answer).count("q", BEGIN, BEGIN + 7200)
    assert found == {BEGIN: pytest.approx(120), BEGIN + 3600: pytest.approx(300)}


async def test_hours_without_a_believable_sample_are_left_out_and_not_zero() -> None:
    answer = RangeAnswer({BEGIN + 300: rows(float("nan")), BEGIN + 3900: rows(-1.0), BEGIN + 7500: rows(0.0)})
    assert await source(answer).count("q", BEGIN, BEGIN + 3 * 3600) == {BEGIN + 7200: 0.0}


@pytest.mark.parametrize(
    ("values", "share"),
    [
        pytest.param([0.9], 0.9, id="one"),
        pytest.param([], None, id="none"),
        pytest.param([0.9, 0.8], None, id="several: which one is meant is not known"),
        pytest.param([1.5], None, id="no share"),
        pytest.param([float("nan")], None, id="not a number"),
    ],
)
async def test_a_guards_share(values: Sequence[float], share: float | None) -> None:
    answer = RangeAnswer({BEGIN + 300 * look: rows(*values) for look in range(1, 13)})
    assert await source(answer).share("q", BEGIN, BEGIN + 3600) == (None if share is None else pytest.approx(share))


@pytest.mark.parametrize(
    ("looks", "share"),
    [
        pytest.param({1: 0.5, 2: 0.5, 3: 1.0, 4: 1.0}, None, id="a third of the window says nothing of it"),
        pytest.param(dict.fromkeys(range(1, 7), 1.0) | {7: 0.3}, 0.9, id="the mean of the looks that found one"),
    ],
)
async def test_a_guard_is_of_the_whole_window(looks: dict[int, float], share: float | None) -> None:
    answer = RangeAnswer({BEGIN + 300 * look: rows(value) for look, value in looks.items()})
    assert await source(answer).share("q", BEGIN, BEGIN + 3600) == (None if share is None else pytest.approx(share))


async def test_a_failure_is_told() -> None:
    with pytest.raises(Unavailable, match="down"):
        await source(RangeAnswer({}, "down")).count("q", BEGIN, BEGIN + 3600)
    with pytest.raises(Unavailable, match="down"):
        await source(RangeAnswer({}, "down")).share("q", BEGIN, BEGIN + 3600)
