"""What is remembered of bucket edges, and when it is not to be relied on."""

import math

import pytest

from flyball.core.names import Indicator
from flyball.telemetry import bucket_queries, queries
from flyball.telemetry.answers import Answer, Row, Table
from flyball.telemetry.evenness import REMEMBERED_SECONDS, EvenEdges, reporting
from flyball.telemetry.promql import SERIES_LABEL

NOW, HOUR = 1000.0, 3600.0
PLACE = (Indicator.TIME_TO_FIRST_TOKEN, 0)
PART = bucket_queries.buckets(*PLACE)
PODS = frozenset({("team-a", "a"), ("team-a", "b")})
EDGES = {PLACE: {"1", "+Inf"}}


def table(*rows: tuple[str, str, float], failure: str = "") -> Table:
    """Rows of a part with an edge and a value."""
    labels = ({SERIES_LABEL: part, "namespace": "team-a", "le": edge} for part, edge, _ in rows)
    return Table(Answer(tuple(Row(each, value) for each, (_, _, value) in zip(labels, rows, strict=True)), failure))


def having(some: float, every: float = 2.0) -> Table:
    return table((PART, "1", some), (PART, "+Inf", every))


def over_an_hour(covered: float) -> Table:
    return table((PART, "1", 40.0), (PART, "+Inf", 90.0), (bucket_queries.covered(PART), "1", covered))


def learned(*answers: Table, at: float = NOW) -> EvenEdges:
    edges = EvenEdges()
    for answer in answers:
        edges.learn(PODS, at, answer, frozenset({PART}))
    return edges


def test_pods_report_that_were_sampled_within_two_scrapes() -> None:
    samples = {"a": NOW, "b": NOW - 30.0, "silent": NOW - 31.0, "odd": math.nan}
    rows = [
        Row({SERIES_LABEL: queries.SAMPLED_AT, "namespace": "team-a", "pod": pod}, at) for pod, at in samples.items()
    ]
    assert reporting(Table(Answer(tuple(rows))), NOW, 60.0) == PODS


@pytest.mark.parametrize(
    ("pods", "later", "known"),
    [
        pytest.param(PODS, 15.0, True, id="the same pods"),
        pytest.param(PODS | {("team-a", "c")}, 15.0, False, id="a new pod"),
        pytest.param(frozenset({("team-a", "a")}), 15.0, False, id="a pod that fell silent"),
        pytest.param(PODS, REMEMBERED_SECONDS + 1, False, id="too long ago"),
        pytest.param(PODS, -1.0, False, id="a clock that was set back"),
    ],
)
def test_what_is_known_holds_for_the_same_pods_for_a_while(
    pods: frozenset[tuple[str, str]], later: float, known: bool
) -> None:
    assert learned(having(2.0)).known(pods, NOW + later) is known


def test_nothing_is_known_at_first_or_after_a_failure() -> None:
    assert not EvenEdges().known(frozenset(), NOW)
    failed = learned(having(2.0), table(failure="late"))
    assert not failed.known(PODS, NOW)
    assert failed.uneven == {PART}, "what may be uneven is taken to be"


@pytest.mark.parametrize(("some", "uneven"), [(2.0, frozenset()), (1.0, frozenset({PART}))])
def test_edges_that_some_series_lack_are_uneven(some: float, uneven: frozenset[str]) -> None:
    assert learned(having(some)).uneven == uneven


@pytest.mark.parametrize(
    ("covered", "even"),
    [
        pytest.param(90.0, {PART}, id="those that have the edge hold all events"),
        pytest.param(60.0, set(), id="a pod that is gone had other edges"),
        pytest.param(math.nan, set(), id="no number"),
    ],
)
def test_an_answer_tells_whether_edges_were_even_over_its_window(covered: float, even: set[str]) -> None:
    edges = learned(having(2.0))
    edges.learn_window(HOUR, over_an_hour(covered), EDGES)
    assert edges.over(HOUR, EDGES) == even
    assert edges.over(300.0, EDGES) == frozenset()
    assert edges.over(HOUR, {PLACE: {"1", "2", "+Inf"}}) == frozenset(), "of another edge nothing was asked"


def test_even_windows_are_forgotten_once_edges_differ_or_nobody_looked() -> None:
    for answers, at in (((having(1.0), having(2.0)), NOW), ((having(2.0),), NOW + REMEMBERED_SECONDS + 1)):
        edges = learned(having(2.0))
        edges.learn_window(HOUR, over_an_hour(90.0), EDGES)
        for answer in answers:
            edges.learn(PODS, at, answer, frozenset({PART}))
        assert edges.over(HOUR, EDGES) == frozenset()


def test_a_failed_window_teaches_nothing() -> None:
    edges = learned(having(2.0))
    edges.learn_window(HOUR, table(failure="late"), EDGES)
    assert edges.over(HOUR, EDGES) == frozenset()
