"""Requests drawn from what was measured: as many in each step as came, with the measured mean lengths.

Within a step arrivals are a Poisson process of constant rate, so that the whole is a non-homogeneous one; lengths are
log-normal around the measured means, with a stated spread (the standard deviation of the logarithm). What is finer than
a step, bursts within it among them, is not in Prometheus and cannot be given back.
"""

import numpy as np
import numpy.typing as npt

from flyball.lab.backtest.measured import Measured
from flyball.lab.trace import MOST_REQUESTS, MOST_TOKENS, Trace

LENGTH_SPREAD = 0.8
"""Of prompts and outputs of the published conversation and code traces (0.7 to 1.0, lab/generate.py)."""


class TooManyRequests(Exception):
    """More requests than one machine should play; the message says what to do."""


def draw_requests(measured: Measured, seed: int, spread: float = LENGTH_SPREAD) -> Trace:
    """A trace whose times count from the measured range's beginning. Raises TooManyRequests."""
    expected = np.nan_to_num(measured.arrivals)
    if expected.sum() > MOST_REQUESTS:
        raise TooManyRequests(
            f"{expected.sum():.0f} requests are more than {MOST_REQUESTS}: give a shorter range with --from and --to"
        )
    generator = np.random.default_rng(seed)
    counts = generator.poisson(expected)
    step = np.repeat(np.arange(len(counts)), counts)
    t_seconds = (step + generator.random(len(step))) * measured.step_seconds
    order = np.argsort(t_seconds, kind="stable")
    step, t_seconds = step[order], t_seconds[order]
    prompt = _drawn(measured.prompt_tokens[step], spread, generator)
    return Trace(
        name=str(measured.spec.key),
        t_seconds=t_seconds,
        input_tokens=prompt,
        output_tokens=_drawn(measured.output_tokens[step], spread, generator),
        span_seconds=measured.span_seconds,
        cached_tokens=np.minimum(np.rint(prompt * measured.cached_share[step]).astype(np.int64), prompt),
    )


def _drawn(means: npt.NDArray[np.float64], spread: float, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    factors = generator.lognormal(-(spread**2) / 2, spread, len(means))
    return np.clip(np.rint(means * factors), 1, MOST_TOKENS).astype(np.int64)
