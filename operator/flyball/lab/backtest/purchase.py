"""Buying for the peak against scaling: thirty days of each in GPU-hours and dollars, from the same past."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from flyball.core.advice.plan import HOURS_PER_MONTH, MOST_REPLICAS
from flyball.core.fleet.capacity import RequestShape, first_token_slack, replica_capacity
from flyball.core.fleet.misses import prior, replicas_for
from flyball.core.traffic.demand import limits_of
from flyball.core.traffic.trends import WEEK_SECONDS, levels
from flyball.lab.backtest.compare import recommended
from flyball.lab.backtest.fitting import Fitted
from flyball.lab.backtest.measured import Measured
from flyball.lab.backtest.policies import Watch


@dataclass(frozen=True, slots=True)
class Bill:
    """Thirty days of both ways; dollars are None without a price.

    Buying keeps `peak_replicas` of the variant `kind` all the time: what the highest five minutes of the past need.
    Scaling is Flyball's play of the last `played_seconds`, with what it `attained` by objective.
    """

    kind: str
    peak_replicas: int
    buying_gpu_hours: float
    buying: Decimal | None
    scaling_gpu_hours: float
    scaling: Decimal | None
    attained: Mapping[str, float | None]
    played_seconds: float


def bill(measured: Measured, fitted: Sequence[Fitted], watch: Watch = lambda _share: None) -> Bill:
    """Both bills. A week at most is played. Raises as `compare.recommended`."""
    part = measured.last(WEEK_SECONDS)
    one = min(fitted, key=lambda each: _peak_price(measured, each))
    variant = next(v for v in measured.spec.variants if v.name == one.fleet.name)
    count = _peak_replicas(measured, one)
    buying_hours = float(count * one.fleet.gpus_per_replica * HOURS_PER_MONTH)
    played = recommended(part, tuple(fitted), watch=watch)
    factor = float(HOURS_PER_MONTH) * 3600 / played.counted_seconds
    price = variant.price_per_gpu_hour
    return Bill(
        kind=one.fleet.name,
        peak_replicas=count,
        buying_gpu_hours=buying_hours,
        buying=None if price is None else Decimal(buying_hours) * price,
        scaling_gpu_hours=played.gpu_hours * factor,
        scaling=None if played.cost is None else played.cost * Decimal(factor),
        attained=played.attained,
        played_seconds=part.span_seconds,
    )


def _peak_replicas(measured: Measured, one: Fitted) -> int:
    prompt, output = float(np.mean(measured.prompt_tokens)), float(np.mean(measured.output_tokens))
    request = RequestShape(prompt * (1 - float(np.mean(measured.cached_share))), prompt, output)
    limits = limits_of(measured.spec)
    capacity = replica_capacity(one.fit, request, limits)
    curve = prior(first_token_slack(one.fit, request, limits))
    peak = levels(measured.arrivals / measured.step_seconds, measured.step_seconds).peak
    return replicas_for(curve, peak, capacity.requests_per_second, MOST_REPLICAS)


def _peak_price(measured: Measured, one: Fitted) -> float:
    """Dollars an hour at the peak; GPUs where no price is known."""
    price = float(one.fleet.price_per_gpu_hour) or 1.0
    return _peak_replicas(measured, one) * one.fleet.gpus_per_replica * price
