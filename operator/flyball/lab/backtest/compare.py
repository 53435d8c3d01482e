"""What would have been, against what was: the same past played by Flyball and by the replicas that really ran.

Three columns. *Happened* is measured: attainment at bucket edges, replicas that reported, which leaves out those that
were loading. *As it ran* plays those replicas through the simulator: how far it lies from what happened is the error of
the model. *Flyball* plays what Recommend would have set. Compare the last two, which share every assumption.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from flyball.core.fleet.capacity import RequestShape, first_token_slack, replica_capacity
from flyball.core.fleet.misses import prior, replicas_for
from flyball.core.names import Indicator
from flyball.core.spec import Objective
from flyball.core.traffic.demand import limits_of
from flyball.core.units import format_duration
from flyball.lab.backtest.fitting import Fitted, fit_variants
from flyball.lab.backtest.measured import Measured, NothingMeasured
from flyball.lab.backtest.policies import AsItRan, Recommended, Watch
from flyball.lab.backtest.traffic import LENGTH_SPREAD, draw_requests
from flyball.lab.fleet.model import FleetOptions, FleetVariant
from flyball.lab.fleet.outcome import Outcome
from flyball.lab.play import Game, play
from flyball.lab.policies.model import Policy
from flyball.lab.trace import Trace

WARMUP_SECONDS = 600.0
"""Played and not counted where the range is ten times as long: everybody starts with the replicas that ran."""

HAPPENED, AS_IT_RAN, FLYBALL = "happened", "as it ran", "flyball"

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Column:
    """One side of the comparison. `attained` is None where it is not known, `cost` where a price is missing.
    All figures are of the `counted_seconds`.
    `replicas` are the sums over variants at each step, for the picture.
    """

    name: str
    requests: int
    attained: Mapping[str, float | None]
    gpu_hours: float
    cost: Decimal | None
    changes: int
    mean_replicas: float
    peak_replicas: int
    counted_seconds: float
    replicas: Numbers


@dataclass(frozen=True, slots=True)
class Backtest:
    """The whole comparison. `notes` say what was assumed, missing or left out."""

    measured: Measured
    fitted: tuple[Fitted, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...]

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)


def backtest(
    measured: Measured,
    *,
    startup_seconds: float | None = None,
    spread: float = LENGTH_SPREAD,
    seed: int = 1,
    watch: Callable[[str, float], None] = lambda _phase, _share: None,
) -> Backtest:
    """Play the past. `watch` is told the phase and the share of it that is done. Raises NothingMeasured and
    TooManyRequests.
    """
    fitted = fit_variants(measured, startup_seconds)
    fleet = tuple(one.fleet for one in fitted)
    game = _game(measured, fitted, spread, seed)
    warmup = _warmup(measured)
    counted = _counted(measured, warmup)

    def watching(phase: str) -> Watch:
        return lambda now: watch(phase, min(1.0, now / measured.span_seconds))

    policies: Sequence[Policy] = (
        AsItRan(measured.replicas, measured.step_seconds, fleet, watching(AS_IT_RAN)),
        Recommended(measured.spec, fleet, watching(FLYBALL)),
    )
    played = [_played(measured, game, play(game, policy).outcome, policy.name, counted) for policy in policies]
    notes = [*measured.notes, *(note for one in fitted for note in one.notes), *_remarks(measured, game)]
    if warmup:
        notes.append(f"the first {format_duration(warmup)} are played, and counted on no side")
    return Backtest(measured, fitted, (_happened(measured, fleet, counted), *played), tuple(notes))


def recommended(
    measured: Measured,
    fitted: tuple[Fitted, ...],
    *,
    spread: float = LENGTH_SPREAD,
    seed: int = 1,
    watch: Watch = lambda _share: None,
) -> Column:
    """Flyball's column alone, of a past of which nobody knows who served it. `watch` is told the share that is done.

    Raises as `backtest`.
    """
    game = _game(measured, fitted, spread, seed)
    policy = Recommended(measured.spec, game.variants, lambda now: watch(min(1.0, now / measured.span_seconds)))
    return _played(measured, game, play(game, policy).outcome, FLYBALL, _counted(measured, _warmup(measured)))


def _game(measured: Measured, fitted: Sequence[Fitted], spread: float, seed: int) -> Game:
    trace = draw_requests(measured, seed, spread)
    if not len(trace):
        raise NothingMeasured("no request came in the range: there is nothing to play")
    return Game(trace, tuple(one.fleet for one in fitted), FleetOptions(), _initial(measured, fitted), seed)


def _warmup(measured: Measured) -> float:
    return WARMUP_SECONDS if measured.span_seconds >= 10 * WARMUP_SECONDS else 0.0


def _initial(measured: Measured, fitted: Sequence[Fitted]) -> tuple[int, ...]:
    """The replicas that ran first; where none are known, as many of the first variant as the first load needs."""
    first = measured.replicas[:, int(np.argmax(measured.known))]
    if np.isnan(first).all():
        first = np.array([_needed(measured, fitted[0]), *[0.0] * (len(fitted) - 1)])
    return tuple(
        min(max(int(count), one.fleet.min_replicas), one.fleet.max_replicas)
        for count, one in zip(first, fitted, strict=True)
    )


def _needed(measured: Measured, one: Fitted) -> float:
    steps = max(1, round(WARMUP_SECONDS / measured.step_seconds))
    prompt, output = float(measured.prompt_tokens[:steps].mean()), float(measured.output_tokens[:steps].mean())
    request = RequestShape(prompt * (1 - float(measured.cached_share[:steps].mean())), prompt, output)
    limits = limits_of(measured.spec)
    capacity = replica_capacity(one.fit, request, limits)
    curve = prior(first_token_slack(one.fit, request, limits))
    rate = float(np.nanmean(measured.arrivals[:steps])) / measured.step_seconds
    return float(replicas_for(curve, rate, capacity.requests_per_second, one.fleet.max_replicas))


def _counted(measured: Measured, warmup: float) -> list[tuple[float, float]]:
    """The stretches (seconds from the beginning) that count: measured, and after the warm-up."""
    step = measured.step_seconds
    begins = np.arange(len(measured.ends)) * step
    flags = ~np.isnan(measured.arrivals) & (begins >= warmup)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(float(begin) * step, float(end) * step) for begin, end in edges.reshape(-1, 2)]


def _remarks(measured: Measured, game: Game) -> list[str]:
    notes = []
    if measured.spec.fallback is not None:
        notes.append("the fallback is not played: every request stays on the primary")
    unjudged = [o.name for o in measured.spec.objectives if o.indicator not in _TAKEN]
    if unjudged:
        notes.append(f"not simulated: objective {', '.join(unjudged)}")
    limit = min(variant.engine.kv_tokens for variant in game.variants)
    too_large = int(np.count_nonzero(game.trace.input_tokens + game.trace.output_tokens > limit))
    if too_large:
        notes.append(f"{too_large} of {len(game.trace)} requests would not fit a KV cache of {limit} tokens: left out")
    return notes


def _happened(measured: Measured, fleet: Sequence[FleetVariant], counted: list[tuple[float, float]]) -> Column:
    step = measured.step_seconds
    middles = (np.arange(len(measured.ends)) + 0.5) * step
    inside = np.zeros(len(middles), dtype=bool)
    for begin, end in counted:
        inside |= (middles > begin) & (middles < end)
    known = _held(measured.replicas)
    gpus = np.array([variant.gpus_per_replica for variant in fleet], dtype=float)
    hours = (known * inside).sum(axis=1) * step / 3600 * gpus
    total = known.sum(axis=0)
    changes = int(np.count_nonzero(np.diff(known[:, inside], axis=1)))
    return Column(
        name=HAPPENED,
        requests=round(float(np.nansum(measured.arrivals[inside]))),
        attained={name: _ratio(good[inside], total[inside]) for name, (good, total) in measured.judged.items()},
        gpu_hours=float(hours.sum()),
        cost=_cost(measured, hours),
        changes=changes,
        mean_replicas=float(total[inside].mean()) if inside.any() else math.nan,
        peak_replicas=int(total[inside].max(initial=0)),
        counted_seconds=sum(end - begin for begin, end in counted),
        replicas=total,
    )


def _ratio(good: Numbers, total: Numbers) -> float | None:
    return min(1.0, float(good.sum() / total.sum())) if total.any() else None


def _held(replicas: Numbers) -> Numbers:
    """Replicas with unknown steps taken as the last known, or the first."""
    held = replicas.copy()
    for row in held:
        known = np.flatnonzero(~np.isnan(row))
        if len(known):
            row[:] = row[known[np.maximum(0, np.searchsorted(known, np.arange(len(row)), side="right") - 1)]]
    return np.nan_to_num(held)


def _cost(measured: Measured, gpu_hours: Numbers) -> Decimal | None:
    total = Decimal(0)
    for variant, hours in zip(measured.spec.variants, gpu_hours.tolist(), strict=True):
        if hours and variant.price_per_gpu_hour is None:
            return None
        total += Decimal(hours) * (variant.price_per_gpu_hour or 0)
    return total


def _played(measured: Measured, game: Game, outcome: Outcome, name: str, counted: list[tuple[float, float]]) -> Column:
    hours = np.array(
        [
            sum(outcome.gpu_seconds(index, begin, min(end, outcome.until)) for begin, end in counted) / 3600
            for index in range(len(game.variants))
        ]
    )
    t = game.trace.t_seconds
    inside = np.zeros(len(t), dtype=bool)
    for begin, end in counted:
        inside |= (t >= begin) & (t < end)
    inside &= ~outcome.rejected
    steps = (np.arange(len(measured.ends)) + 0.5) * measured.step_seconds
    paid = np.sum([_stairs(ledger.times, ledger.replicas, steps) for ledger in outcome.paid], axis=0)
    seconds = sum(end - begin for begin, end in counted)
    replica_hours = hours / [variant.gpus_per_replica for variant in game.variants]
    return Column(
        name=name,
        requests=int(np.count_nonzero(inside)),
        attained={o.name: _share(o, game.trace, outcome, inside) for o in measured.spec.objectives},
        gpu_hours=float(hours.sum()),
        cost=_cost(measured, hours),
        changes=sum(any(begin <= action.at < end for begin, end in counted) for action in outcome.actions),
        mean_replicas=float(replica_hours.sum() * 3600 / seconds) if seconds else math.nan,
        peak_replicas=int(np.max(paid, initial=0)),
        counted_seconds=seconds,
        replicas=np.asarray(paid),
    )


def _stairs(times: Numbers, values: Numbers, at: npt.NDArray[np.floating[Any]]) -> Numbers:
    """A step function's values at some times."""
    return np.asarray(values[np.maximum(0, np.searchsorted(times, at, side="right") - 1)])


def _first_token(trace: Trace, outcome: Outcome) -> Numbers:
    return np.asarray(outcome.first_token_at - trace.t_seconds)


def _token_time(trace: Trace, outcome: Outcome) -> Numbers:
    """A request's own mean, as the engines export it; 0 for answers of one token."""
    spans = outcome.finished_at - outcome.first_token_at
    return np.asarray(np.where(trace.output_tokens > 1, spans / np.maximum(1, trace.output_tokens - 1), spans * 0))


def _end_to_end(trace: Trace, outcome: Outcome) -> Numbers:
    return np.asarray(outcome.finished_at - trace.t_seconds)


_TAKEN: Mapping[Indicator, Callable[[Trace, Outcome], Numbers]] = {
    Indicator.TIME_TO_FIRST_TOKEN: _first_token,
    Indicator.INTER_TOKEN_LATENCY: _token_time,
    Indicator.END_TO_END: _end_to_end,
}


def _share(objective: Objective, trace: Trace, outcome: Outcome, inside: npt.NDArray[np.bool_]) -> float | None:
    """The share of requests within the threshold, counted as the engine's histograms count them."""
    taken = _TAKEN.get(objective.indicator)
    if taken is None or objective.threshold_seconds is None or not inside.any():
        return None
    good = taken(trace, outcome) <= objective.threshold_seconds
    return float(np.count_nonzero(good & inside) / np.count_nonzero(inside))
