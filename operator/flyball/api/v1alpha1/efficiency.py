"""The parts of a status about how requests end, what they are made of, and what caches save."""

from typing import Annotated

from flyball.api.model import ApiModel, ListMap


class EventStatus(ApiModel):
    """The requests to which something happened."""

    event: str
    """Timeout, RateLimited, ServiceError, Truncated, RetrievalFailed, Retry or Fallback."""
    share: str
    """Share of the requests that were the service's to answer; of Truncated, of the answers; of RetrievalFailed, of the
    retrievals."""


class ReliabilityStatus(ApiModel):
    """How requests ended. What nobody counts is absent."""

    window: str | None = None
    """The trailing window that this is about."""
    requests: str | None = None
    """Requests that were the service's to answer: without clients' mistakes."""
    availability: str | None = None
    """Share of them that had no timeout, rate limit or service error."""
    events: Annotated[tuple[EventStatus, ...], ListMap("event")] = ()
    """What happened to the others, and to those that were answered."""
    client_mistakes: str | None = None
    """Share of all requests that were mistakes of clients (4xx but 408 and 429), held against nobody."""
    retry_amplification: str | None = None
    """How many requests one request becomes by retries."""
    problems: tuple[str, ...] = ()
    """Queries that failed, each with its field and why."""


class TokenMeans(ApiModel):
    """Mean tokens per request."""

    input: str | None = None
    """Tokens read, cached ones included."""
    output: str | None = None
    """Tokens written."""
    cached: str | None = None
    """Tokens read from the prefix cache."""
    retrieval_context: str | None = None
    """Tokens of retrieved context."""


class TemplateStatus(ApiModel):
    """The requests of one prompt template."""

    template: str
    """The template; `other` stands for all beyond the ten with the most requests."""
    requests: str
    """Its share of the requests."""
    tokens: TokenMeans | None = None
    """Mean tokens of its requests."""


class TokenStatus(ApiModel):
    """What requests are made of."""

    mean: TokenMeans | None = None
    """Over all requests."""
    templates: Annotated[tuple[TemplateStatus, ...], ListMap("template")] = ()
    """By prompt template, where telemetry.tokens tells them apart."""
    problems: tuple[str, ...] = ()
    """Queries that failed, each with its field and why."""


class PromptTrendStatus(ApiModel):
    """Whether prompts grow, from the means of whole days."""

    state: str
    """Growing, Shrinking or Steady: steady unless the range lies on one side of zero."""
    tokens: str
    """Mean prompt tokens of the last whole day."""
    per_day: str
    """Growth per day."""
    low: str
    """Lower end of its 95% range."""
    high: str
    """Upper end of its 95% range."""
    days: int
    """Days that it was seen over."""


class CacheStatus(ApiModel):
    """One cache."""

    name: str
    """Name of the cache."""
    kind: str
    """What it keeps."""
    state: str
    """Counted, Unguarded, GuardBroken, GuardUnknown, Unpriced or Unmeasured: only Counted hits are savings."""
    hit_rate: str | None = None
    """Share of the lookups that hit; of prompt tokens, for a Prefix cache."""
    per_point: str | None = None
    """Dollars per hour that one more point (1%) of hit rate is worth."""
    saving: str | None = None
    """Dollars per hour that its hits save now."""
    reckoned_from: str | None = None
    """What dollars are reckoned from: Measured or Guessed capacity; absent where they were declared."""
    reason: str | None = None
    """Why its hits are no savings."""
