import math

import pytest

from flyball.core.fleet.capacity import RequestShape
from flyball.core.service.own_counts import TemplateCounts, TokenCount
from flyball.core.service.tokens import MOST_TEMPLATES, OTHER, TokensPerRequest, prompt_trend, report

T = TokenCount
HOUR, DAY = 3600.0, 86400.0
SHAPE = RequestShape(prefill_tokens=300.0, prompt_tokens=1000.0, output_tokens=200.0)


def counts(template: str = "", **kinds: float) -> TemplateCounts:
    return TemplateCounts(template, tuple((T[name.upper()], count) for name, count in kinds.items()))


def test_the_engine_tells_means_where_nobody_else_does() -> None:
    found = report(SHAPE, (), None)
    assert found is not None
    assert found.mean == TokensPerRequest(1000.0, 200.0, 700.0, None)
    assert report(None, (), None) is None


def test_own_counts_stand_for_the_engines() -> None:
    own = counts(requests=100.0, input=150_000.0, retrieval_context=90_000.0)
    found = report(SHAPE, (own,), 7.0)
    assert found is not None
    assert found.mean == TokensPerRequest(1500.0, 200.0, 700.0, 900.0)
    assert found.templates == ()


@pytest.mark.parametrize(
    ("finished", "context"),
    [
        pytest.param(200.0, 450.0, id="per request that the engine finished"),
        pytest.param(5.0, None, id="too few to tell"),
        pytest.param(None, None, id="unknown"),
    ],
)
def test_counts_without_requests_of_their_own(finished: float | None, context: float | None) -> None:
    found = report(SHAPE, (counts(retrieval_context=90_000.0),), finished)
    assert found is not None
    assert found.mean.retrieval_context == context


def test_templates_are_told_by_their_requests() -> None:
    own = (
        counts("faq", requests=75.0, input=75_000.0),
        counts("refund", requests=25.0, input=100_000.0),
        counts("rare", requests=0.0),
    )
    found = report(None, own, None)
    assert found is not None
    assert [(each.template, each.share, each.mean.input) for each in found.templates] == [
        ("faq", 0.75, 1000.0),
        ("refund", 0.25, 4000.0),
    ]
    assert found.mean.input == 1750.0


def test_however_many_templates_there_are_few_are_told() -> None:
    own = [counts(f"t{index}", requests=1000.0 - index, input=1.0) for index in range(500)]
    own.append(counts(OTHER, requests=1e6, input=1.0))
    found = report(None, own, None)
    assert found is not None
    assert [each.template for each in found.templates] == [*(f"t{i}" for i in range(MOST_TEMPLATES)), OTHER]
    assert sum(each.share for each in found.templates) == pytest.approx(1.0)


def _hours(days: int, growth: float, *, quiet: tuple[int, ...] = ()) -> tuple[list[float], list[float], list[float]]:
    """Prompts that grow by `growth` a day, but for chance; at night twice as long, and a tenth of the requests."""
    chance = (1.0, 1.01, 0.99, 1.005, 0.995)
    ends = [HOUR * (hour + 1) for hour in range(24 * days)]
    night = [hour % 24 < 8 for hour in range(24 * days)]
    rates = [0.0 if hour // 24 in quiet else 0.1 if night[hour] else 1.0 for hour in range(24 * days)]
    lengths = [
        math.nan
        if rates[hour] == 0
        else (1000.0 if night[hour] else 500.0) * (1 + growth) ** (hour // 24) * chance[hour // 24 % 5]
        for hour in range(24 * days)
    ]
    return ends, rates, lengths


@pytest.mark.parametrize(
    ("days", "growth", "state"),
    [
        pytest.param(10, 0.02, "Growing", id="growing"),
        pytest.param(28, 0.02, "Growing", id="over weeks"),
        pytest.param(10, -0.02, "Shrinking", id="shrinking"),
        pytest.param(10, 0.0, "Steady", id="steady, whatever nights are like"),
    ],
)
def test_prompts_that_grow_are_told_with_how_surely(days: int, growth: float, state: str) -> None:
    found = prompt_trend(*_hours(days, growth))
    assert found is not None
    assert found.state == state
    assert found.trend.per_day == pytest.approx(growth, abs=0.003)
    assert found.trend.low < growth < found.trend.high
    by_day = (16 * 500.0 + 0.8 * 1000.0) / 16.8
    assert found.tokens == pytest.approx(by_day * (1 + growth) ** (days - 1), rel=0.02)


@pytest.mark.parametrize(
    ("days", "quiet"),
    [
        pytest.param(4, (), id="too few days"),
        pytest.param(6, (1, 4), id="too few days with requests"),
        pytest.param(0, (), id="no day"),
    ],
)
def test_few_days_are_no_trend(days: int, quiet: tuple[int, ...]) -> None:
    assert prompt_trend(*_hours(days, 0.1, quiet=quiet)) is None


def test_a_day_that_is_not_over_is_no_day() -> None:
    ends, rates, lengths = _hours(6, 0.02)
    assert prompt_trend(ends[:-1], rates[:-1], lengths[:-1]) == prompt_trend(*_hours(5, 0.02))
