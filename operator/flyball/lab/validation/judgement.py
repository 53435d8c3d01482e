"""How well the arithmetic predicts measured rows that its coefficients were not fitted to.

The rows of each engine are dealt into five parts, at random; each part is predicted by coefficients fitted to the other
four. That asks the law to interpolate. To extrapolate it is asked twice more: from all other prompt lengths to one, and
from all other concurrencies to one.

Only rows whose requests surely fit the KV cache are fitted and judged. The others are predicted as well, with the
cache's size worked out rather than measured (rows.py): they try the queue and preemption, and are kept apart.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from flyball.lab.validation.calibration import Coefficients, ample_kv_tokens, fit
from flyball.lab.validation.closed_loop import Means, in_step, out_of_step
from flyball.lab.validation.rows import EngineRow, EngineSet

FOLDS = 5
LEAST_ROWS = 8
"""Two for each coefficient; an engine with fewer is not judged."""
TPOT_TARGET = 0.05
"""Of the median absolute error."""


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """A row and what was predicted for it by coefficients that had not seen it, with clients out of step.

    `in_step_ttft_ms` is the same with all clients beginning at once. `fits` tells whether the KV cache surely holds
    the row's requests, so that no assumption about its size is in the prediction.
    """

    row: EngineRow
    predicted: Means
    in_step_ttft_ms: float
    fits: bool

    @property
    def tpot_error(self) -> float:
        """Predicted ÷ measured − 1."""
        return self.predicted.tpot_ms / self.row.tpot_ms - 1

    @property
    def ttft_error(self) -> float:
        """Predicted ÷ measured − 1, clients out of step."""
        return self.predicted.ttft_ms / self.row.ttft_ms - 1

    @property
    def in_step_ttft_error(self) -> float:
        """Predicted ÷ measured − 1, clients in step."""
        return self.in_step_ttft_ms / self.row.ttft_ms - 1


@dataclass(frozen=True, slots=True)
class Judgement:
    """One engine: coefficients fitted to all its rows, the median absolute error of time per output token there, each
    row as predicted unseen, and the errors of the two extrapolations (none where only one value was measured).
    """

    engine: EngineSet
    coefficients: Coefficients
    seen_tpot_errors: tuple[float, ...]
    rows: tuple[JudgedRow, ...]
    unseen_prompt_errors: tuple[float, ...]
    unseen_concurrency_errors: tuple[float, ...]

    @property
    def judged(self) -> tuple[JudgedRow, ...]:
        """The rows that fit the KV cache."""
        return tuple(row for row in self.rows if row.fits)

    @property
    def short_of_cache(self) -> tuple[JudgedRow, ...]:
        """The others, as far as any prediction could be made."""
        return tuple(row for row in self.rows if not row.fits and math.isfinite(row.tpot_error))


def judge(engine: EngineSet, rows: Sequence[EngineRow]) -> Judgement | None:
    """One engine's rows; None when too few fit the KV cache."""
    fitting = [row for row in rows if row.surely_fits]
    if len(fitting) < LEAST_ROWS:
        return None
    everything = fit(fitting)
    parts = np.random.default_rng(1).permutation(len(fitting)) % FOLDS
    judged = {
        id(row): predict(row, coefficients) for coefficients, unseen in _splits(fitting, list(parts)) for row in unseen
    }
    others = {id(row): predict(row, everything) for row in rows if not row.surely_fits}
    return Judgement(
        engine=engine,
        coefficients=everything,
        seen_tpot_errors=tuple(_tpot_error(row, everything) for row in fitting),
        rows=tuple((judged | others)[id(row)] for row in rows),
        unseen_prompt_errors=_extrapolated(fitting, lambda row: row.load.prompt_tokens),
        unseen_concurrency_errors=_extrapolated(fitting, lambda row: row.load.concurrency),
    )


def _splits(rows: Sequence[EngineRow], parts: Sequence[Hashable]) -> Iterator[tuple[Coefficients, list[EngineRow]]]:
    """For each part: coefficients fitted to all rows outside it, and the rows in it."""
    for part in dict.fromkeys(parts):
        seen = [row for row, other in zip(rows, parts, strict=True) if other != part]
        yield fit(seen), [row for row, other in zip(rows, parts, strict=True) if other == part]


def _extrapolated(rows: Sequence[EngineRow], value: Callable[[EngineRow], int]) -> tuple[float, ...]:
    parts = [value(row) for row in rows]
    if any(len(rows) - parts.count(part) < LEAST_ROWS // 2 for part in parts):
        return ()
    return tuple(_tpot_error(row, coefficients) for coefficients, unseen in _splits(rows, parts) for row in unseen)


def predict(row: EngineRow, coefficients: Coefficients) -> JudgedRow:
    """What the coefficients predict, with the assumed KV cache where the row's requests may not fit."""
    assumed = row.engine.assumed_kv_tokens
    engine = coefficients.engine(ample_kv_tokens(row) if row.surely_fits or assumed is None else max(assumed, 16))
    return JudgedRow(row, out_of_step(engine, row.load), in_step(engine, row.load).ttft_ms, row.surely_fits)


def _tpot_error(row: EngineRow, coefficients: Coefficients) -> float:
    engine = coefficients.engine(ample_kv_tokens(row))
    return out_of_step(engine, row.load).tpot_ms / row.tpot_ms - 1


def median_error(errors: Sequence[float]) -> float | None:
    """The median of the absolute errors; None for none."""
    return float(np.median(np.abs(errors))) if len(errors) else None
