"""What users count themselves, where no profile does: their queries, and what those say."""

from decimal import Decimal
from enum import StrEnum

from flyball.core.service.reliability import EventCounts, RequestEvent
from flyball.core.values import dataclass


class TokenCount(StrEnum):
    """What a user's own query counts: requests, or their tokens."""

    REQUESTS = "Requests"
    INPUT = "Input"
    OUTPUT = "Output"
    CACHED = "Cached"
    RETRIEVAL_CONTEXT = "RetrievalContext"


@dataclass(frozen=True, slots=True)
class TemplateCounts:
    """Counts over a window of the requests of one prompt template; of all of them where `template` is empty."""

    template: str
    counts: tuple[tuple[TokenCount, float], ...]

    def of(self, kind: TokenCount) -> float | None:
        """That count; None where it is not known."""
        return next((count for known, count in self.counts if known is kind), None)


class CacheKind(StrEnum):
    """What a cache keeps."""

    PREFIX = "Prefix"
    EMBEDDING = "Embedding"
    RETRIEVAL = "Retrieval"
    PROMPT_FRAGMENT = "PromptFragment"
    RESPONSE = "Response"


@dataclass(frozen=True, slots=True)
class Guard:
    """When hits are fresh: a share that the query yields is `at_least` so much, or an age `at_most_seconds`."""

    query: str
    at_least: float | None = None
    at_most_seconds: float | None = None

    def holds(self, value: float) -> bool:
        """Whether what the query yields is within the bound."""
        if self.at_least is not None:
            return value >= self.at_least
        return self.at_most_seconds is not None and value <= self.at_most_seconds


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache that the user counts: queries of its hits and lookups (of a prefix cache, in tokens).

    `dollars_per_hit` and `tokens_per_hit` are what a hit saves where it was declared.
    """

    name: str
    kind: CacheKind
    hits: str
    lookups: str
    dollars_per_hit: Decimal | None = None
    tokens_per_hit: float | None = None
    guard: Guard | None = None


@dataclass(frozen=True, slots=True)
class CacheReading:
    """What the queries of a cache say over a window (seconds); None where one has no answer. `problem` names one that
    failed, and why.
    """

    name: str
    window_seconds: float
    hits: float | None = None
    lookups: float | None = None
    guard: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class OwnCounts:
    """The queries. Each yields the events of the trailing window that stands in it as `$window`."""

    events: tuple[tuple[RequestEvent, str], ...] = ()
    tokens: tuple[tuple[TokenCount, str], ...] = ()
    caches: tuple[Cache, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnReadings:
    """What they say. `events` holds what the engine's profile counts, too, by trailing window, shortest first.

    `problems` are sentences about queries that failed, each beginning with the field that holds the query.
    """

    events: tuple[EventCounts, ...] = ()
    templates: tuple[TemplateCounts, ...] = ()
    caches: tuple[CacheReading, ...] = ()
    problems: tuple[str, ...] = ()
