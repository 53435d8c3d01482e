"""Of which queries the age can be known, and what is asked to know it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.telemetry import sampled
from flyball.telemetry.answers import Answer, Row
from flyball.telemetry.promql import SERIES_LABEL


@pytest.mark.parametrize(
    ("query", "plain"),
    [
        ("queue_length", True),
        ("job:queue:sum", True),
        (" queue_length { app = \"chat\" , tier!~'a|b', } \n", True),
        ("queue_length{}", True),
        ('queue_length{app="a\\"} or vector(0) #"}', True),
        ("queue_length{app=`a\\`}", True),
        ('queue_length{app="a"} or vector(0)', False),
        ("queue_length offset 1h", False),
        ("queue_length @ 100", False),
        ("queue_length[5m]", False),
        ("sum(queue_length)", False),
        ("queue_length # of all", False),
        ('{__name__=~"queue_.+"}', False),
        ('{"queue_length"}', False),
        ('queue_length{app="a"', False),
        ('queue_length{app="a" tier="b"}', False),
        ("-queue_length", False),
        ("NaN", False),
        ("inf", False),
        ("information", True),
        ("7", False),
        ("", False),
    ],
)
def test_only_a_selector_of_one_metric_is_plain(query: str, plain: bool) -> None:
    assert sampled.plain(query) is plain
    assert ("timestamp(" in sampled.with_time(query)) is plain


@given(st.text(alphabet="ab_:{}()=~!\"'`\\,# \n[]@", max_size=40))
def test_a_plain_query_has_nothing_outside_of_its_quotes_that_ends_it(query: str) -> None:
    if sampled.plain(query):
        bare = query.partition("{")[0]
        assert not set(bare) & set("()=~!#[]@\"'`\\,")


@pytest.mark.parametrize(("value", "time"), [(90.0, 90.0), (math.nan, None), (None, None)])
def test_the_time_is_told_apart_from_the_answer(value: float | None, time: float | None) -> None:
    own = Row({"__name__": "queue_length", "pod": "a"}, 3.0)
    times = () if value is None else (Row({SERIES_LABEL: sampled.SAMPLED}, value),)
    assert sampled.told_apart(Answer((own, *times), "late")) == (Answer((own,), "late"), time)
