"""What users count themselves: how requests end, what they are made of, and what caches before them hit."""

from flyball.api.model import ApiModel, rule
from flyball.api.scalars import Duration, ItemName, Money, Number, Percent, PromQL, cel_is_positive, is_positive
from flyball.core.service.own_counts import CacheKind, TokenCount
from flyball.core.service.reliability import RequestEvent

WINDOW = "$window"
_PROBLEM = "a query counts over no window, or over one of its own"
_FIX = "write $window where the window belongs, as in sum by (code) (increase(http_requests_total[$window]))"


class RequestEventSpec(ApiModel):
    """Something that happens to requests, as a query counts it."""

    event: RequestEvent
    """What is counted. Responses: by HTTP status, in a label code, status, status_code, http_response_status_code or
    http_status_code: 408 and 504 are timeouts, 429 is a rate limit, other 5xx are service errors, and other 4xx are
    clients' mistakes, which count neither for nor against the service. Where there is no such metric: Requests (all of
    them), Timeout, RateLimited, ServiceError, ClientMistake. Answer and Truncated: answers, and those cut off by the
    token limit. Retrieval and RetrievalFailed. Retry: requests that repeat another. Fallback: requests that a gateway
    answered elsewhere."""
    query: PromQL
    """PromQL of the events in the trailing window `$window`."""

    @rule(cel="self.query.contains('$window')", field=".query", problem=_PROBLEM, fix=_FIX)
    def _query_has_a_window(self) -> bool:
        return WINDOW in self.query


class TokenCountSpec(ApiModel):
    """Requests or their tokens, as a query counts them."""

    count: TokenCount
    """What is counted: Requests, or the tokens that they read (Input), write (Output), read from a cache (Cached), or
    carry as retrieved context (RetrievalContext)."""
    query: PromQL
    """PromQL of the count in the trailing window `$window`. A label `template` tells prompt templates apart; the ten
    with the most requests are shown one by one."""

    @rule(cel="self.query.contains('$window')", field=".query", problem=_PROBLEM, fix=_FIX)
    def _query_has_a_window(self) -> bool:
        return WINDOW in self.query


class CacheGuard(ApiModel):
    """What says that a cache serves nothing stale."""

    query: PromQL
    """PromQL of one number: the share (0 to 1) of hits that are fresh, or the age in seconds of what is served."""
    at_least: Percent | None = None
    """The share of fresh hits below which none of them counts as a saving."""
    at_most: Duration | None = None
    """The age above which no hit counts as a saving."""

    @rule(
        cel="has(self.atLeast) != has(self.atMost)",
        field=".atLeast",
        problem="a guard needs exactly one bound",
        fix="write atLeast for a share of fresh hits such as 99%, or atMost for an age such as 10m",
    )
    def _one_bound(self) -> bool:
        return (self.at_least is None) != (self.at_most is None)


class CacheSpec(ApiModel):
    """A cache before or in the workload. The engine's own prefix cache is known without it."""

    name: ItemName
    """Name of the cache in status and metrics. `engine-prefix` is the engine's own."""
    kind: CacheKind
    """What it keeps: Prefix (KV blocks by the tokens before them), Embedding, Retrieval, PromptFragment, Response."""
    hits: PromQL
    """PromQL of the hits in the trailing window `$window`; of a Prefix cache, of the tokens hit."""
    lookups: PromQL
    """PromQL of the lookups in the trailing window `$window`; of a Prefix cache, of the tokens looked up."""
    saves_per_hit: Money | None = None
    """Dollars that a hit saves, in place of what is reckoned."""
    tokens_per_hit: Number | None = None
    """Prompt tokens that a hit of a PromptFragment cache saves from being filled."""
    guard: CacheGuard | None = None
    """What says that it serves nothing stale. Without one, hits of any kind but Prefix are no savings."""

    @rule(
        cel="self.hits.contains('$window') && self.lookups.contains('$window')",
        field=".hits",
        problem=_PROBLEM,
        fix=_FIX,
    )
    def _queries_have_a_window(self) -> bool:
        return WINDOW in self.hits and WINDOW in self.lookups

    @rule(
        cel="self.name != 'engine-prefix'",
        field=".name",
        problem="engine-prefix is the name of the engine's own prefix cache",
        fix="give this cache a name of its own",
    )
    def _name_is_its_own(self) -> bool:
        return self.name != "engine-prefix"

    @rule(
        cel=f"!has(self.tokensPerHit) || (self.kind == 'PromptFragment' && {cel_is_positive('self.tokensPerHit')})",
        field=".tokensPerHit",
        problem="tokensPerHit is zero, or set on a cache that saves something else",
        fix="write the prompt tokens that a hit of a PromptFragment cache saves, such as '350', or savesPerHit",
    )
    def _tokens_are_of_fragments(self) -> bool:
        tokens = self.tokens_per_hit
        return tokens is None or (self.kind is CacheKind.PROMPT_FRAGMENT and is_positive(tokens))
