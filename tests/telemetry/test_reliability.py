import pytest
from support.prometheus import make_objective, make_spec, make_variant

from flyball.core.names import Indicator
from flyball.core.observation import SignalState, WindowShare, WorkloadSignals
from flyball.core.service.own_counts import OwnReadings
from flyball.core.service.reliability import EventCounts, RequestEvent
from flyball.telemetry import queries
from flyball.telemetry.answers import Answer, Row, Table
from flyball.telemetry.pods import GROUP_LABEL
from flyball.telemetry.profiles import ENGINES, GPU
from flyball.telemetry.promql import SERIES_LABEL
from flyball.telemetry.reliability import added, counts, judge, merged, part

E = RequestEvent
VLLM = ENGINES["VLLM"]
SPEC = make_spec(
    variants=(make_variant(kind="StatefulSet"),),
    objectives=(
        make_objective(),
        make_objective(Indicator.AVAILABILITY, None),
        make_objective(Indicator.RETRIES, None),
    ),
)
TTFT, AVAILABLE, RETRIES = (objective.name for objective in SPEC.objectives)


def row(rank: int, value: float, **labels: str) -> Row:
    return Row({SERIES_LABEL: part(rank), "namespace": "team-a", GROUP_LABEL: "llm", **labels}, value)


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        pytest.param((), {}, id="what nobody exports is not counted"),
        pytest.param(
            (
                row(0, 70, finished_reason="stop"),
                row(0, 20, finished_reason="length"),
                row(0, 4, finished_reason="error"),
                row(0, 6, finished_reason="abort"),
            ),
            {E.REQUESTS: 100, E.ANSWER: 90, E.TRUNCATED: 20, E.SERVICE_ERROR: 4, E.CLIENT_MISTAKE: 6},
            id="reasons for which requests finished",
        ),
        pytest.param(
            (row(0, 70, finished_reason="stop"),),
            {E.REQUESTS: 70, E.ANSWER: 70, E.TRUNCATED: 0, E.SERVICE_ERROR: 0, E.CLIENT_MISTAKE: 0},
            id="what could be told and did not happen is 0",
        ),
        pytest.param(
            (row(0, 5, finished_reason="new-in-a-later-version"),),
            {E.REQUESTS: 5, E.ANSWER: 0, E.TRUNCATED: 0, E.SERVICE_ERROR: 0, E.CLIENT_MISTAKE: 0},
            id="an unknown reason is a request",
        ),
        pytest.param(
            (row(1, 90, status="2xx"), row(1, 7, status="4xx"), row(1, 3, status="5xx")),
            {E.REQUESTS: 100, E.CLIENT_MISTAKE: 7, E.SERVICE_ERROR: 3},
            id="classes of statuses",
        ),
        pytest.param(
            (
                row(0, 90, finished_reason="stop"),
                row(0, 2, finished_reason="error"),
                row(1, 90, status="2xx"),
                row(1, 3, status="5xx"),
            ),
            {
                E.REQUESTS: 93, E.ANSWER: 90, E.TRUNCATED: 0, E.SERVICE_ERROR: 3, E.CLIENT_MISTAKE: 0,
            },
            id="what both tell of counts once",
        ),
        pytest.param((row(0, float("nan"), finished_reason="stop"),), {}, id="NaN is no count"),
    ],
)  # fmt: skip
def test_counts_of_a_workload(rows: tuple[Row, ...], found: dict[RequestEvent, float]) -> None:
    assert dict(counts(SPEC, VLLM, Table(Answer(rows)), 300.0).counts) == found


def test_failures_that_are_counted_alone_are_of_the_requests_that_are_counted_beside() -> None:
    rows = (row(0, 100), row(1, 8, err="validation"), row(1, 2, err="overloaded"), row(1, 1, err="generation"))
    assert dict(counts(SPEC, ENGINES["TGI"], Table(Answer(rows)), 300.0).counts) == {
        E.REQUESTS: 100, E.CLIENT_MISTAKE: 8, E.RATE_LIMITED: 2, E.SERVICE_ERROR: 1,
    }  # fmt: skip


def test_asked_for_over_the_windows_of_counted_objectives_and_of_the_status_in_no_query_of_its_own() -> None:
    plain = queries.plan([make_spec(objectives=(make_objective(window=7200.0),))], 60.0)
    assert plain.events == {300.0, 3600.0}
    counted = queries.plan([make_spec(objectives=(make_objective(Indicator.TRUNCATION, None, 7200.0),))], 60.0)
    assert counted.events == {300.0, 3600.0, 7200.0}
    assert set(queries.first_queries(VLLM, GPU, counted)) == {queries.GPUS, queries.GAUGES, queries.RATES}
    assert part(0) in queries.first_queries(VLLM, GPU, counted)[queries.RATES]
    assert part(1) in queries.window_query(VLLM, counted, 7200.0, {})
    assert part(1) not in queries.window_query(VLLM, plain, 7200.0, {})


def test_what_users_count_stands_for_what_the_engine_counts() -> None:
    engine = EventCounts(300.0, ((E.REQUESTS, 10.0), (E.SERVICE_ERROR, 1.0)))
    own = (EventCounts(3600.0, ((E.RETRY, 5.0),)), EventCounts(300.0, ((E.REQUESTS, 12.0), (E.RETRY, 2.0))))
    assert merged((engine,), own) == (
        EventCounts(300.0, ((E.REQUESTS, 12.0), (E.SERVICE_ERROR, 1.0), (E.RETRY, 2.0))),
        EventCounts(3600.0, ((E.RETRY, 5.0),)),
    )


def test_what_two_engines_count_is_added_up_where_both_count_it() -> None:
    one = (EventCounts(60.0, ((E.REQUESTS, 1.0),)), EventCounts(300.0, ((E.REQUESTS, 10.0), (E.TRUNCATED, 1.0))))
    other = (EventCounts(300.0, ((E.TIMEOUT, 3.0), (E.REQUESTS, 5.0))),)
    assert added((one, other)) == (EventCounts(300.0, ((E.REQUESTS, 15.0),)),)
    assert added((one,)) == one


def test_a_source_that_failed_judges_nothing() -> None:
    down = WorkloadSignals(problem="Prometheus is down")
    assert judge(SPEC, down, ASKED, 60.0) == down


def signals(*events: EventCounts) -> WorkloadSignals:
    names = (TTFT, AVAILABLE, RETRIES)
    readings = tuple(judged for name in names for judged in (WorkloadSignals().objective(name),))
    return WorkloadSignals(objectives=readings, own=OwnReadings(events=events))


ASKED = {3600.0: 3600.0}


def test_counted_objectives_are_read_over_their_windows_and_others_left_alone() -> None:
    events = [
        EventCounts(window, ((E.REQUESTS, requests), (E.SERVICE_ERROR, requests / 10)))
        for window, requests in ((60.0, 20.0), (300.0, 100.0), (3600.0, 1000.0), (86400.0, 9e9))
    ]
    found = judge(SPEC, signals(*events), ASKED, 60.0)
    reading = found.objective(AVAILABLE)
    assert reading.state is SignalState.OK
    assert reading.shares == (
        WindowShare(60.0, 18.0, 20.0),
        WindowShare(300.0, 90.0, 100.0),
        WindowShare(3600.0, 900.0, 1000.0),
    )
    assert found.objective(TTFT) == signals().objective(TTFT)
    assert found.objective(RETRIES).state is SignalState.ABSENT


@pytest.mark.parametrize(
    ("requests", "state"),
    [
        pytest.param(1.0, SignalState.OK, id="one request"),
        pytest.param(0.9, SignalState.INSUFFICIENT, id="less than one"),
        pytest.param(0.0, SignalState.INSUFFICIENT, id="none"),
    ],
)
def test_nothing_follows_from_no_request(requests: float, state: SignalState) -> None:
    found = judge(SPEC, signals(EventCounts(60.0, ((E.REQUESTS, requests), (E.SERVICE_ERROR, 0.0)))), ASKED, 60.0)
    assert found.objective(AVAILABLE).state is state
