import pytest
from core.cases import LAW
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.names import COUNTED_INDICATORS, Indicator
from flyball.core.service.reliability import (
    BAD_EVENTS,
    EventCounts,
    RequestEvent,
    amplification,
    event_of_status,
    good_and_total,
    of_statuses,
    report,
)

E = RequestEvent
HOUR = 3600.0


def counts(window: float = HOUR, **events: float) -> EventCounts:
    return EventCounts(window, tuple((E[name.upper()], count) for name, count in events.items()))


@pytest.mark.parametrize(
    ("status", "event"),
    [
        pytest.param("200", None, id="an answer"),
        pytest.param("304", None, id="a redirect is an answer"),
        pytest.param("2xx", None, id="a class of answers"),
        pytest.param("400", E.CLIENT_MISTAKE, id="a bad request is the client's"),
        pytest.param("401", E.CLIENT_MISTAKE, id="so is a missing credential"),
        pytest.param("404", E.CLIENT_MISTAKE, id="and an unknown model"),
        pytest.param("499", E.CLIENT_MISTAKE, id="and a client that left"),
        pytest.param("4xx", E.CLIENT_MISTAKE, id="a class of them"),
        pytest.param("408", E.TIMEOUT, id="a timeout is the service's"),
        pytest.param("504", E.TIMEOUT, id="behind a gateway, too"),
        pytest.param("429", E.RATE_LIMITED, id="a rate limit is the service's"),
        pytest.param("500", E.SERVICE_ERROR, id="an error"),
        pytest.param("503", E.SERVICE_ERROR, id="no capacity is an error"),
        pytest.param("5xx", E.SERVICE_ERROR, id="a class of errors"),
    ],
)
def test_whom_a_status_is_held_against(status: str, event: RequestEvent | None) -> None:
    assert event_of_status(status) is event


def test_responses_count_every_event_that_a_status_can_tell() -> None:
    found = of_statuses([("200", 90.0), ("429", 4.0), ("504", 3.0), ("500", 2.0), ("422", 1.0), ("200", 10.0)])
    assert found == {E.REQUESTS: 110, E.RATE_LIMITED: 4, E.TIMEOUT: 3, E.SERVICE_ERROR: 2, E.CLIENT_MISTAKE: 1}


def test_a_class_of_statuses_tells_no_timeout_and_no_limit() -> None:
    assert of_statuses([("2xx", 90.0), ("4xx", 6.0), ("5xx", 4.0)]) == {
        E.REQUESTS: 100,
        E.SERVICE_ERROR: 4,
        E.CLIENT_MISTAKE: 6,
    }


@pytest.mark.parametrize("status", ["", "OK", "none", "600", "20", "2000", "5x", "unknown"])
def test_what_is_no_status_is_no_response(status: str) -> None:
    assert of_statuses([(status, 5.0)]) == {}


@pytest.mark.parametrize(
    ("indicator", "events", "pair"),
    [
        pytest.param(
            Indicator.AVAILABILITY,
            {"requests": 110.0, "client_mistake": 10.0, "timeout": 1.0, "rate_limited": 2.0, "service_error": 3.0},
            (94.0, 100.0),
            id="clients' mistakes are neither good nor bad",
        ),
        pytest.param(Indicator.AVAILABILITY, {"requests": 100.0}, None, id="nothing tells what failed"),
        pytest.param(Indicator.AVAILABILITY, {"service_error": 3.0}, None, id="or of how many"),
        pytest.param(
            Indicator.AVAILABILITY, {"requests": 100.0, "service_error": 3.0}, (97.0, 100.0), id="one kind is enough"
        ),
        pytest.param(
            Indicator.AVAILABILITY, {"requests": 2.0, "service_error": 3.0}, (0.0, 2.0), id="never less than none"
        ),
        pytest.param(
            Indicator.TRUNCATION,
            {"requests": 100.0, "answer": 80.0, "truncated": 8.0},
            (72.0, 80.0),
            id="truncated ones are of the answers",
        ),
        pytest.param(
            Indicator.TRUNCATION, {"requests": 100.0, "truncated": 8.0}, (92.0, 100.0), id="or of the requests"
        ),
        pytest.param(
            Indicator.RETRIEVAL, {"retrieval": 50.0, "retrieval_failed": 5.0}, (45.0, 50.0), id="of the retrievals"
        ),
        pytest.param(Indicator.TIMEOUTS, {"requests": 100.0, "timeout": 5.0}, (95.0, 100.0), id="timeouts"),
        pytest.param(Indicator.RATE_LIMITS, {"requests": 100.0, "rate_limited": 5.0}, (95.0, 100.0), id="rate limits"),
        pytest.param(Indicator.FALLBACKS, {"requests": 100.0, "fallback": 5.0}, (95.0, 100.0), id="fallbacks"),
        pytest.param(Indicator.RETRIES, {"requests": 100.0, "retry": 5.0}, (95.0, 100.0), id="retries"),
    ],
)
def test_good_events_of_all(indicator: Indicator, events: dict[str, float], pair: tuple[float, float] | None) -> None:
    assert good_and_total(indicator, counts(**events)) == pair


def test_every_counted_indicator_is_about_some_event() -> None:
    assert set(BAD_EVENTS) == COUNTED_INDICATORS


@LAW
@given(answered=st.floats(0, 1e6), failed=st.floats(0, 1e6), mistakes=st.floats(0, 1e6), more=st.floats(0, 1e6))
def test_more_mistakes_of_clients_change_no_availability(
    answered: float, failed: float, mistakes: float, more: float
) -> None:
    def available(clients: float) -> tuple[float, float] | None:
        statuses = [("200", answered), ("500", failed), ("400", clients)]
        return good_and_total(Indicator.AVAILABILITY, EventCounts(HOUR, tuple(of_statuses(statuses).items())))

    fewer, all_of_them = available(mistakes), available(mistakes + more)
    assert fewer == pytest.approx((answered, answered + failed), abs=1e-6)
    assert all_of_them == pytest.approx(fewer, abs=1e-6)


@pytest.mark.parametrize(
    ("requests", "retries", "found"),
    [
        pytest.param(120.0, 20.0, 1.2, id="a fifth more"),
        pytest.param(100.0, 0.0, 1.0, id="none"),
        pytest.param(100.0, 100.0, None, id="nothing but retries"),
        pytest.param(0.0, 0.0, None, id="nothing"),
        pytest.param(None, 5.0, None, id="unknown requests"),
        pytest.param(100.0, None, None, id="unknown retries"),
    ],
)
def test_what_retries_make_of_the_load(requests: float | None, retries: float | None, found: float | None) -> None:
    assert amplification(requests, retries) == found


def test_reports_the_longest_window_within_bounds() -> None:
    hour = counts(requests=110.0, client_mistake=10.0, service_error=5.0, timeout=0.0, retry=50.0, fallback=4.0)
    found = report((counts(300.0, requests=5.0), hour, counts(86400.0, requests=9e9)), HOUR)
    assert found is not None
    assert (found.window_seconds, found.requests, found.availability) == (HOUR, 100.0, 0.95)
    assert dict(found.shares) == {E.TIMEOUT: 0.0, E.SERVICE_ERROR: 0.05, E.RETRY: 0.5, E.FALLBACK: 0.04}
    assert found.client_mistakes == pytest.approx(10 / 110)
    assert found.amplification == pytest.approx(110 / 60)


def test_reports_nothing_of_what_nobody_counts() -> None:
    assert report((), HOUR) is None
    assert report((EventCounts(HOUR),), HOUR) is None
    nobody_asked = report((counts(requests=0.0, service_error=0.0),), HOUR)
    assert nobody_asked is not None
    assert (nobody_asked.availability, nobody_asked.shares, nobody_asked.requests) == (None, (), 0.0)
    failing = report((), HOUR, ("telemetry.requestEvents[Retry].query: parse error",))
    assert failing is not None
    assert failing.problems == ("telemetry.requestEvents[Retry].query: parse error",)
