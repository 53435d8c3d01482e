"""What one replica can carry: iteration time linear in batch, context and prefill, fitted online from a prior.

    seconds per iteration = base + B × (per_sequence + per_context_token × c + per_prefill_token × i/o)

for B sequences in decode that hold c = i + o/2 context tokens on average and bring one prompt of i uncached tokens
every o iterations (the four-term form that fits 40 of 45 measured engines within 4.3%; a two-term form errs 16%). Where
B is a mean over time, a sequence shares its iterations with itself and B others. One replica then finishes
B / (o × seconds) requests per second.
"""

import math
from functools import lru_cache
from operator import mul

import numpy as np

from flyball.core.spec import EnginePrior
from flyball.core.values import dataclass

# A prior is believed to within these relative standard deviations: published rows for the same model and GPU differ by
# about a factor of two between engines and versions, most of it a factor that all terms share, the rest term by term.
PRIOR_COMMON_SPREAD, PRIOR_TERM_SPREAD = 0.6, 0.25
# Relative noise of one window's mean iteration time, seen when comparing such means with the fitted forms (1 to 6%).
SAMPLE_NOISE = 0.08
# Old samples fade with a half-life of some 140 of them (half an hour of 15 s ticks): engines are restarted and retuned.
FORGETTING = 0.995
# Fitted terms stay within this factor of the prior: what is farther off is a broken exporter, not an engine.
TRUST_FACTOR = 4.0
# The share of the KV cache that running sequences may be planned to fill: above it engines begin to preempt.
KV_CACHE_SHARE = 0.9
# Where neither the manifest nor a preset names the engine: an 8B model on a mid-size GPU, to be corrected by the fit.
GENERIC_PRIOR = EnginePrior(0.012, 5e-5, 1.14e-7, 1.03e-4, 200_000, 256)

Terms = tuple[float, float, float, float]
"""One number for each of base, per-sequence, per-context-token and per-prefill-token time."""


@dataclass(frozen=True, slots=True)
class RequestShape:
    """Mean tokens per request: uncached prompt tokens (prefilled), all prompt tokens (held), and output tokens."""

    prefill_tokens: float
    prompt_tokens: float
    output_tokens: float

    @property
    def context_tokens(self) -> float:
        """Tokens that one running sequence holds on average."""
        return self.prompt_tokens + self.output_tokens / 2

    def blended(self, other: "RequestShape", share: float) -> "RequestShape":
        """The mean of this shape and `share` (0 to 1) of the other."""

        def mix(mine: float, theirs: float) -> float:
            return mine + share * (theirs - mine)

        return RequestShape(
            mix(self.prefill_tokens, other.prefill_tokens),
            mix(self.prompt_tokens, other.prompt_tokens),
            mix(self.output_tokens, other.output_tokens),
        )

    def multipliers(self, batch: float) -> Terms:
        """The four multipliers of base, per-sequence, per-context-token and per-prefill-token time at that batch."""
        prefill_share = self.prefill_tokens / max(1.0, self.output_tokens)
        seen = batch + 1.0  # a sequence sees itself beside the mean number of others
        return 1.0, seen, seen * self.context_tokens, batch * prefill_share

    def regressors(self, batch: float) -> np.ndarray:
        """The multipliers as a vector."""
        return np.array(self.multipliers(batch))

    def seconds(self, terms: Terms, batch: float) -> float:
        """Of one iteration at that batch."""
        return math.fsum(map(mul, self.multipliers(batch), terms))


@dataclass(frozen=True, slots=True)
class CapacityFit:
    """A replica's fitted iteration-time terms (seconds), their covariance (row-major), and what taught them.

    `samples` counts the windows learned from.
    """

    prior: EnginePrior
    terms: Terms
    covariance: tuple[float, ...]
    samples: int = 0
    mean_error: float = 0.0

    @property
    def confident(self) -> bool:
        """Whether the fit has been checked against this workload: five windows, and within 25% on average."""
        return self.samples >= 5 and self.mean_error < 0.25


def start_fit(prior: EnginePrior | None) -> CapacityFit:
    """A fit that knows only its prior."""
    known = prior or GENERIC_PRIOR
    terms = _prior_terms(known)
    floor = np.array([1e-4, 1e-6, 1e-9, 1e-6])  # a term published as 0 may still turn out positive
    size = np.maximum(np.array(terms), floor)
    covariance = PRIOR_COMMON_SPREAD**2 * np.outer(terms, terms) + PRIOR_TERM_SPREAD**2 * np.diag(size**2)
    return CapacityFit(known, terms, tuple(covariance.ravel()))


def learn(fit: CapacityFit, shape: RequestShape, batch: float, seconds_per_token: float) -> CapacityFit:
    """The fit after one window with that mean batch per replica and mean time per output token (seconds).

    Recursive least squares with forgetting, on relative errors and with a bounded influence: an outlier teaches at
    most as much as a sample two standard deviations off.
    """
    if batch <= 0 or not math.isfinite(seconds_per_token) or seconds_per_token <= 0:
        return fit
    terms, covariance = np.array(fit.terms), np.array(fit.covariance).reshape(4, 4)
    regressors = shape.regressors(batch)
    predicted = float(regressors @ terms)
    x = regressors / predicted
    error = seconds_per_token / predicted - 1.0
    spread = math.sqrt(max(0.0, float(x @ covariance @ x)) + SAMPLE_NOISE**2)
    bounded = max(-2 * spread, min(2 * spread, error))
    gain = covariance @ x / spread**2
    bounds = _bounds(fit.prior)
    updated = np.minimum(np.maximum(terms + gain * bounded, bounds.low), bounds.high)
    shrunk = (covariance - np.outer(gain, x) @ covariance) / FORGETTING
    excess = float((shrunk.diagonal() / bounds.variances).max())
    shrunk = shrunk / max(1.0, excess)  # without excitation forgetting must not wind the covariance up
    return CapacityFit(
        prior=fit.prior,
        terms=(float(updated[0]), float(updated[1]), float(updated[2]), float(updated[3])),
        covariance=tuple(((shrunk + shrunk.T) / 2).ravel()),
        samples=fit.samples + 1,
        mean_error=abs(error) if fit.samples == 0 else 0.8 * fit.mean_error + 0.2 * abs(error),
    )


@dataclass(frozen=True, slots=True)
class ReplicaLimits:
    """The latencies (seconds) that a replica's batch must respect; None where nothing is asked.

    `first_token` bounds what a lone request's prefill takes, `per_token` an iteration, `end_to_end` the whole request.
    """

    first_token: float | None = None
    per_token: float | None = None
    end_to_end: float | None = None


@dataclass(frozen=True, slots=True)
class ReplicaCapacity:
    """What one replica carries within its limits: batch and requests per second; and what bound the batch.

    `infeasible` says in words which objective a lone request already breaks; then the limit is left out. `confident` is
    that of the fit.
    """

    batch: float
    requests_per_second: float
    bound: str
    infeasible: str = ""
    confident: bool = False


def replica_capacity(fit: CapacityFit, shape: RequestShape, limits: ReplicaLimits) -> ReplicaCapacity:
    """The largest batch within limits and KV cache, and the rate of requests it finishes."""
    terms = fit.terms
    lone = shape.seconds(terms, 1.0)
    slope = lone - shape.seconds(terms, 0.0)
    prefill = terms[0] + terms[3] * shape.prefill_tokens
    output = max(1.0, shape.output_tokens)
    candidates = {
        "the engine's batch limit": float(fit.prior.max_sequences),
        "the KV cache": KV_CACHE_SHARE
        * fit.prior.kv_cache_tokens
        / max(1.0, shape.prompt_tokens + shape.output_tokens),
    }
    broken = []
    budgets = {"InterTokenLatency": limits.per_token}
    if limits.end_to_end is not None:
        budgets["EndToEnd"] = (limits.end_to_end - prefill) / output
    for name, budget in budgets.items():
        if budget is None:
            continue
        if budget < lone:
            broken.append(f"{name} (a lone request takes {lone * 1000:.0f} ms per token)")
        elif slope > 0:
            candidates[name] = 1.0 + (budget - lone) / slope
    if limits.first_token is not None and prefill > limits.first_token:
        broken.append(f"TimeToFirstToken (a lone prompt takes {prefill:.2f} s)")
    bound = min(candidates, key=lambda name: candidates[name])
    batch = max(1.0, candidates[bound])
    seconds = shape.seconds(terms, batch)
    return ReplicaCapacity(batch, batch / (output * seconds), bound, "; ".join(broken), fit.confident)


def first_token_slack(fit: CapacityFit, shape: RequestShape, limits: ReplicaLimits) -> float:
    """How many lone prefills fit into the first token's threshold; infinite where none is promised."""
    if limits.first_token is None:
        return math.inf
    return limits.first_token / max(1e-6, fit.terms[0] + fit.terms[3] * shape.prefill_tokens)


def _prior_terms(prior: EnginePrior) -> Terms:
    return (
        prior.base_seconds,
        prior.per_sequence_seconds,
        prior.per_context_token_seconds,
        prior.per_prefill_token_seconds,
    )


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Between what terms may be fitted, and the variances that a fit begins with and never exceeds."""

    low: np.ndarray
    high: np.ndarray
    variances: np.ndarray


# Every tick asks for those of every variant, and fleets share few engines.
@lru_cache(maxsize=256)
def _bounds(prior: EnginePrior) -> _Bounds:
    terms = np.array(_prior_terms(prior))
    high = np.maximum(terms * TRUST_FACTOR, np.array([1e-3, 1e-4, 1e-6, 1e-4]))
    return _Bounds(terms / TRUST_FACTOR, high, np.diag(np.array(start_fit(prior).covariance).reshape(4, 4)))
