"""What requests are made of: tokens read, written, cached and retrieved per request, by prompt template; and whether
prompts grow. Means over requests; tokens are those of the engine's own tokenizer.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from flyball.core.fleet.capacity import RequestShape
from flyball.core.service.own_counts import TemplateCounts, TokenCount
from flyball.core.traffic import trends
from flyball.core.traffic.trends import Trend
from flyball.core.values import dataclass

MOST_TEMPLATES = 10
"""Templates told one by one; those with the fewest requests beyond are told together."""
OTHER = "other"
FEWEST_REQUESTS = 20.0
"""Fewer requests of a template than this give no mean: lengths deviate by about their mean, a fifth is chance then."""


HOURS_OF_A_DAY = 24


@dataclass(frozen=True, slots=True)
class TokensPerRequest:
    """Mean tokens per request; None where unknown. Cached and retrieved ones are among the input."""

    input: float | None = None
    output: float | None = None
    cached: float | None = None
    retrieval_context: float | None = None


@dataclass(frozen=True, slots=True)
class TemplateReport:
    """One prompt template: its share of the requests, and their means."""

    template: str
    share: float
    mean: TokensPerRequest


@dataclass(frozen=True, slots=True)
class TokenReport:
    """Means over all requests, and by template, the one with the most requests first."""

    mean: TokensPerRequest
    templates: tuple[TemplateReport, ...] = ()
    problems: tuple[str, ...] = ()


def report(
    shape: RequestShape | None,
    counted: Sequence[TemplateCounts],
    finished: float | None,
    problems: tuple[str, ...] = (),
) -> TokenReport | None:
    """The user's own counts where there are any, else what the engine says (`shape`); None where neither is known.

    `finished` are the engine's requests in the window of the counts, for counts without requests of their own.
    """
    own = _mean(counted, finished)
    engine = _of_shape(shape)
    mean = TokensPerRequest(
        *(
            engine_mean if own_mean is None else own_mean
            for own_mean, engine_mean in (
                (own.input, engine.input),
                (own.output, engine.output),
                (own.cached, engine.cached),
                (own.retrieval_context, None),
            )
        )
    )
    templates = _by_template([counts for counts in counted if counts.template])
    if mean == TokensPerRequest() and not templates and not problems:
        return None
    return TokenReport(mean, templates, problems)


def _of_shape(shape: RequestShape | None) -> TokensPerRequest:
    if shape is None:
        return TokensPerRequest()
    return TokensPerRequest(shape.prompt_tokens, shape.output_tokens, shape.prompt_tokens - shape.prefill_tokens)


def _mean(counted: Iterable[TemplateCounts], finished: float | None) -> TokensPerRequest:
    """Means over all templates; requests without a count of their own are those that the engine finished."""
    merged = _merged("", counted)
    requests = merged.of(TokenCount.REQUESTS)
    return _per_request(merged, finished if requests is None else requests)


def folded(counted: Iterable[TemplateCounts]) -> tuple[TemplateCounts, ...]:
    """Few of them, however many there are: what is of no template, the templates with the most requests, most first,
    and the rest together.
    """
    whole: list[TemplateCounts] = []
    named: list[TemplateCounts] = []
    rest: list[TemplateCounts] = []
    for counts in counted:
        (rest if counts.template == OTHER else named if counts.template else whole).append(counts)
    named.sort(key=lambda counts: (-(counts.of(TokenCount.REQUESTS) or 0.0), counts.template))
    rest += named[MOST_TEMPLATES:]
    return (*whole, *named[:MOST_TEMPLATES], *((_merged(OTHER, rest),) if rest else ()))


def _by_template(counted: Iterable[TemplateCounts]) -> tuple[TemplateReport, ...]:
    """The templates with their means; without counted requests there is none to tell."""
    told = [(counts, requests) for counts in folded(counted) if (requests := counts.of(TokenCount.REQUESTS))]
    total = sum(requests for _, requests in told)
    return tuple(
        TemplateReport(counts.template, requests / total, _per_request(counts, requests)) for counts, requests in told
    )


def _merged(template: str, counted: Iterable[TemplateCounts]) -> TemplateCounts:
    sums: dict[TokenCount, float] = {}
    for counts in counted:
        for kind, count in counts.counts:
            sums[kind] = sums.get(kind, 0.0) + count
    return TemplateCounts(template, tuple(sums.items()))


def _per_request(counts: TemplateCounts, requests: float | None) -> TokensPerRequest:
    if requests is None or requests < FEWEST_REQUESTS:
        return TokensPerRequest()

    def mean(kind: TokenCount) -> float | None:
        count = counts.of(kind)
        return None if count is None else count / requests

    return TokensPerRequest(
        mean(TokenCount.INPUT), mean(TokenCount.OUTPUT), mean(TokenCount.CACHED), mean(TokenCount.RETRIEVAL_CONTEXT)
    )


@dataclass(frozen=True, slots=True)
class PromptTrend:
    """How mean prompts changed by the day: their tokens on the last whole day, and their growth (core/trends)."""

    tokens: float
    trend: Trend

    @property
    def state(self) -> str:
        """Growing, Shrinking or Steady, beyond doubt."""
        if not self.trend.certain:
            return "Steady"
        return "Growing" if self.trend.low > 0 else "Shrinking"


def prompt_trend(ends: Sequence[float], rates: Sequence[float], prompt_tokens: Sequence[float]) -> PromptTrend | None:
    """The trend of the days' mean prompts; None with fewer than five whole days.

    From hours by their ends (epoch seconds, UTC days): requests per second, and mean tokens of a prompt, NaN where
    nobody asked. Days with few requests are left out: their mean is chance.
    """
    of_day = np.floor((np.array(ends, dtype=float) - trends.HOUR_SECONDS) / trends.DAY_SECONDS).astype(np.int64)
    requests = np.array(rates, dtype=float) * trends.HOUR_SECONDS
    lengths = np.array(prompt_tokens, dtype=float)
    known = np.isfinite(requests) & np.isfinite(lengths) & (requests > 0)
    days, means = [], []
    for day in np.unique(of_day):
        mine = (of_day == day) & known
        asked = float(requests[mine].sum())
        if (of_day == day).sum() == HOURS_OF_A_DAY and asked >= FEWEST_REQUESTS:
            days.append(day)
            means.append(float((requests[mine] * lengths[mine]).sum()) / asked)
    growth = trends.trend(np.array(days, dtype=np.int64), np.array(means)) if days else None
    return PromptTrend(means[-1], growth) if growth is not None else None
