"""How requests end, and what of it counts against the service: shares of requests over trailing windows.

Whom an end is held against follows RFC 9110: 5xx is the server's, 4xx the client's, but 408 (a timeout) and 429 (a rate
limit) are the service's in the eyes of whoever asked. A client's mistake is neither good nor bad: it is left out of the
whole. Shares are of the requests that were the service's to answer:

    judged = requests - client mistakes        available = 1 - (timeouts + rate limited + service errors) / judged

and what retries make of the load is requests / (requests - retries), where a retry is a request that repeats another.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

from flyball.core.names import Indicator
from flyball.core.values import dataclass


class RequestEvent(StrEnum):
    """What can happen to a request, as counted; `Responses` are told apart by their HTTP status."""

    RESPONSES = "Responses"
    REQUESTS = "Requests"
    TIMEOUT = "Timeout"
    RATE_LIMITED = "RateLimited"
    SERVICE_ERROR = "ServiceError"
    CLIENT_MISTAKE = "ClientMistake"
    ANSWER = "Answer"
    TRUNCATED = "Truncated"
    RETRIEVAL = "Retrieval"
    RETRIEVAL_FAILED = "RetrievalFailed"
    RETRY = "Retry"
    FALLBACK = "Fallback"


FAILURES = (RequestEvent.TIMEOUT, RequestEvent.RATE_LIMITED, RequestEvent.SERVICE_ERROR)
"""What makes a request one that the service did not answer."""
OF_STATUS = (*FAILURES, RequestEvent.CLIENT_MISTAKE)
"""What can be told from a response's status."""
OF_CLASS = (RequestEvent.SERVICE_ERROR, RequestEvent.CLIENT_MISTAKE)
"""What can be told from its class alone."""

BAD_EVENTS: Mapping[Indicator, tuple[RequestEvent, ...]] = {
    Indicator.AVAILABILITY: FAILURES,
    Indicator.TRUNCATION: (RequestEvent.TRUNCATED,),
    Indicator.RETRIEVAL: (RequestEvent.RETRIEVAL_FAILED,),
    Indicator.TIMEOUTS: (RequestEvent.TIMEOUT,),
    Indicator.RATE_LIMITS: (RequestEvent.RATE_LIMITED,),
    Indicator.FALLBACKS: (RequestEvent.FALLBACK,),
    Indicator.RETRIES: (RequestEvent.RETRY,),
}
"""The events that each counted indicator is about."""

_WHOLES: Mapping[RequestEvent, RequestEvent] = {
    RequestEvent.TRUNCATED: RequestEvent.ANSWER,
    RequestEvent.RETRIEVAL_FAILED: RequestEvent.RETRIEVAL,
}
"""What an event is a share of, where that is counted; else it is one of the judged requests."""

_TIMEOUTS = frozenset({"408", "504"})
_STATUS = re.compile(r"[1-5](?:[0-9]{2}|xx)", re.IGNORECASE)


def event_of_status(status: str) -> RequestEvent | None:
    """What an HTTP status (`503`, or a class such as `5xx`) says beside that there was a request; None for an answer.

    A class cannot tell 408 and 429 from a client's mistakes, nor 504 from other errors.
    """
    if status in _TIMEOUTS:
        return RequestEvent.TIMEOUT
    if status == "429":
        return RequestEvent.RATE_LIMITED
    return {"4": RequestEvent.CLIENT_MISTAKE, "5": RequestEvent.SERVICE_ERROR}.get(status[:1])


def of_statuses(counts: Iterable[tuple[str, float]]) -> dict[RequestEvent, float]:
    """The events among responses by status. What is no status is no response, and classes tell no timeout or limit."""
    known = [(status, count) for status, count in counts if _STATUS.fullmatch(status)]
    exact = any(status.isdigit() for status, _ in known)
    told = OF_STATUS if exact else OF_CLASS
    found = dict.fromkeys((RequestEvent.REQUESTS, *told), 0.0) if known else {}
    for status, count in known:
        found[RequestEvent.REQUESTS] += count
        if (event := event_of_status(status)) is not None:
            found[event] += count
    return found


@dataclass(frozen=True, slots=True)
class EventCounts:
    """Events of a trailing window (seconds); one that is not counted anywhere is left out: it is not 0."""

    window_seconds: float
    counts: tuple[tuple[RequestEvent, float], ...] = ()

    def of(self, event: RequestEvent) -> float | None:
        """How often that happened; None where nobody counts it."""
        return next((count for known, count in self.counts if known is event), None)

    @property
    def judged(self) -> float | None:
        """The requests that were the service's to answer."""
        requests = self.of(RequestEvent.REQUESTS)
        if requests is None:
            return None
        return max(0.0, requests - (self.of(RequestEvent.CLIENT_MISTAKE) or 0.0))

    def whole(self, event: RequestEvent) -> float | None:
        """What the event is a share of; None where that is not counted."""
        own = _WHOLES.get(event)
        counted = self.of(own) if own is not None else None
        return self.judged if counted is None else counted

    def share(self, event: RequestEvent) -> float | None:
        """The share of requests to which that happened; None where it is not known, or there were none."""
        count, whole = self.of(event), self.whole(event)
        return min(1.0, count / whole) if count is not None and whole else None


def good_and_total(indicator: Indicator, counts: EventCounts) -> tuple[float, float] | None:
    """Good events and all of them, for a counted indicator; None where they are not counted."""
    events = BAD_EVENTS[indicator]
    known = [count for event in events if (count := counts.of(event)) is not None]
    total = counts.whole(events[0])
    if not known or total is None:
        return None
    return max(0.0, total - sum(known)), total


@dataclass(frozen=True, slots=True)
class ReliabilityReport:
    """How requests ended over a window (seconds); shares from 0 to 1, None where nobody counts what they are made of.

    `shares` are of the requests that were the service's to answer, `client_mistakes` of all. `amplification` is how
    many requests one request becomes by retries. `problems` says which of the user's queries failed, and why.
    """

    window_seconds: float
    requests: float | None
    availability: float | None
    shares: tuple[tuple[RequestEvent, float], ...]
    client_mistakes: float | None
    amplification: float | None
    problems: tuple[str, ...] = ()


_SHOWN = (
    *FAILURES,
    RequestEvent.TRUNCATED,
    RequestEvent.RETRIEVAL_FAILED,
    RequestEvent.RETRY,
    RequestEvent.FALLBACK,
)


def report(
    counted: Iterable[EventCounts], longest_seconds: float, problems: tuple[str, ...] = ()
) -> ReliabilityReport | None:
    """Over the longest window up to that; None where no event is counted and no query failed."""
    known = [counts for counts in counted if counts.counts and counts.window_seconds <= longest_seconds]
    if not known:
        return ReliabilityReport(0.0, None, None, (), None, None, problems) if problems else None
    counts = max(known, key=lambda each: each.window_seconds)
    pairs = good_and_total(Indicator.AVAILABILITY, counts)
    requests = counts.of(RequestEvent.REQUESTS)
    mistakes = counts.of(RequestEvent.CLIENT_MISTAKE)
    return ReliabilityReport(
        window_seconds=counts.window_seconds,
        requests=counts.judged,
        availability=pairs[0] / pairs[1] if pairs and pairs[1] > 0 else None,
        shares=tuple((event, share) for event in _SHOWN if (share := counts.share(event)) is not None),
        client_mistakes=min(1.0, mistakes / requests) if mistakes is not None and requests else None,
        amplification=amplification(requests, counts.of(RequestEvent.RETRY)),
        problems=problems,
    )


def amplification(requests: float | None, retries: float | None) -> float | None:
    """Requests per request that was meant; None where either is unknown, or nothing but retries was seen."""
    if requests is None or retries is None or requests <= retries:
        return None
    return requests / (requests - retries)
