"""Requests drawn from what was measured: as many in each step as came, with the measured mean lengths.

The whole is a non-homogeneous Poisson process, given its counts: within a step each arrival is uniform. Lengths are
log-normal around the measured means, with a stated spread (the standard deviation of the logarithm), given the tokens
of each stretch of a hundred requests. Counts and totals are kept, since to draw them anew around measured ones would
count chance twice; and in real traffic long requests come in calm minutes, so that free lengths make the work of a
minute vary far more than it did. (Azure's recorded hour, replicas near saturation: attainment in the model 2 points too
low with free counts, 15 with free lengths, within 1 with both kept.) What is finer than a step is not in Prometheus and
cannot be given back.
"""

import numpy as np
import numpy.typing as npt

from flyball.lab.backtest.measured import LENGTHS_REQUESTS, Measured
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
    counts = np.diff(np.floor(np.cumsum(expected) + 0.5), prepend=0.0).astype(np.int64)
    step = np.repeat(np.arange(len(counts)), counts)
    t_seconds = (step + generator.random(len(step))) * measured.step_seconds
    order = np.argsort(t_seconds, kind="stable")
    step, t_seconds = step[order], t_seconds[order]
    blocks = _blocks(counts)[step]
    prompt = _drawn(measured.prompt_tokens[step], blocks, spread, generator)
    return Trace(
        name=str(measured.spec.key),
        t_seconds=t_seconds,
        input_tokens=prompt,
        output_tokens=_drawn(measured.output_tokens[step], blocks, spread, generator),
        span_seconds=measured.span_seconds,
        cached_tokens=np.minimum(np.rint(prompt * measured.cached_share[step]).astype(np.int64), prompt),
    )


def _blocks(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each step the number of its stretch: steps in a row that hold about so many requests."""
    before = np.cumsum(counts) - counts
    return np.asarray(before // LENGTHS_REQUESTS, dtype=np.int64)


def _drawn(
    means: npt.NDArray[np.float64],
    blocks: npt.NDArray[np.int64],
    spread: float,
    generator: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Lengths with these means and, in each block, with the measured total."""
    lengths = means * generator.lognormal(-(spread**2) / 2, spread, len(means))
    totals, drawn = np.bincount(blocks, weights=means), np.bincount(blocks, weights=lengths)
    lengths *= np.divide(totals, drawn, out=np.ones_like(totals), where=drawn > 0)[blocks]
    return np.clip(np.rint(lengths), 1, MOST_TOKENS).astype(np.int64)
