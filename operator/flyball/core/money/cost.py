"""What a workload costs: dollars per hour now, month to date, per request; exact in Decimal.

A replica is paid for from the moment it holds its GPUs until it is gone: loading, idle or serving alike.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from flyball.core import periods
from flyball.core.fleet.capacity import RequestShape
from flyball.core.memory import SpendMemory, SpendRate
from flyball.core.money import prices
from flyball.core.names import Period
from flyball.core.observation import VariantState
from flyball.core.spec import Variant, WorkloadSpec
from flyball.core.values import replace

SECONDS_PER_HOUR = Decimal(3600)
# A window's account is kept in about this many pieces at most: 40 minutes each for 28 days, four seconds for an hour.
MOST_PIECES = 1000


def gpus_of(variant: Variant, state: VariantState) -> int | None:
    """GPUs per replica: what the manifest says, else what the pod template asks for, else unknown."""
    return variant.gpus_per_replica or state.gpus_per_replica


def replica_price(variant: Variant, state: VariantState) -> Decimal | None:
    """Dollars per hour of one replica; None where the price or the number of GPUs is unknown."""
    gpus = gpus_of(variant, state)
    if variant.price_per_gpu_hour is None or gpus is None:
        return None
    return variant.price_per_gpu_hour * gpus


def hourly(variants: Sequence[Variant], states: Sequence[VariantState]) -> Decimal | None:
    """Dollars per hour of all replicas that hold GPUs; None where any of them has no price."""
    total = Decimal(0)
    for variant, state in zip(variants, states, strict=True):
        paid = state.ready + state.starting
        price = replica_price(variant, state)
        if paid and price is None:
            return None
        total += paid * (price or Decimal(0))
    return total


def unpriced(variants: Sequence[Variant], states: Sequence[VariantState]) -> tuple[str, ...]:
    """For each variant without a usable price, a sentence that says what is missing and where to write it."""
    sentences = []
    for variant, state in zip(variants, states, strict=True):
        if variant.price_per_gpu_hour is None and variant.node_price is not None:
            sentences.append(f"target {variant.name} has no price: {variant.price_source}")
        elif variant.price_per_gpu_hour is None:
            sentences.append(
                f"target {variant.name} has no price: set pricePerGpuHour, or list its accelerator "
                f"{variant.accelerator or state.accelerator or '(unknown)'} in the PriceBook"
            )
        elif gpus_of(variant, state) is None:
            sentences.append(f"target {variant.name} asks for no GPUs in its pod template: set gpusPerReplica")
    return tuple(sentences)


def spend_rate(
    spec: WorkloadSpec,
    since: float,
    replicas: Decimal,
    requests_per_second: float,
    moved: Sequence[tuple[str, float]],
    shape: RequestShape | None,
) -> SpendRate:
    """The rate from `since` on: replicas, the shares `moved` of the requests on their fallback backends at those'
    price and labour, and the price book's components for all requests.
    """
    tokens = requests_per_second * (shape.prompt_tokens + shape.output_tokens) if shape else 0.0
    components = prices.rate(spec.prices.components, requests_per_second, tokens)
    per_second = requests_per_second * sum(share for _, share in moved)
    if spec.fallback is None or per_second <= 0:
        return SpendRate(since, replicas, components=components)
    overflow = Decimal(0)
    for backend, share in moved:
        price = prices.overflow_price(spec.fallback, spec.prices, shape, backend) or Decimal(0)
        price += prices.overflow_labor(spec.fallback, spec.prices, backend)
        overflow += price * Decimal(str(round(requests_per_second * share, 6))) * SECONDS_PER_HOUR
    return SpendRate(since, replicas, overflow, per_second, components)


def spend(memory: SpendMemory, rate: SpendRate, keep_seconds: float) -> SpendMemory:
    """The account at time `rate.since`: what was paid since the last entry at its rate, and the rate from now on.

    Rates older than `keep_seconds` are dropped, but for the last before them; those that held for less than a
    thousandth of it are averaged.
    """
    at, rates = rate.since, memory.rates
    if not rates or replace(rates[-1], since=at) != rate:
        rates = (*_averaged(rates, at, keep_seconds / MOST_PIECES), rate)
    older = [r for r in rates if r.since <= at - keep_seconds]
    rates = (*older[-1:], *(r for r in rates if r.since > at - keep_seconds))
    return replace(accrued(memory, at), rates=rates)


def accrued(memory: SpendMemory, at: float) -> SpendMemory:
    """The account with what was paid until `at` at the last rate.

    A new month or day (UTC) starts at zero, with the share of the interval that fell into it.
    """
    month, day = periods.label(Period.MONTH, at), periods.label(Period.DAY, at)
    month_to_date = memory.month_to_date if memory.month == month else Decimal(0)
    day_to_date = memory.day_to_date if memory.day == day else Decimal(0)
    if memory.as_of is not None and memory.rates and at > memory.as_of:
        month_to_date += _paid(memory, max(memory.as_of, periods.begin(Period.MONTH, at)), at)
        day_to_date += _paid(memory, max(memory.as_of, periods.begin(Period.DAY, at)), at)
    return replace(memory, as_of=at, month=month, month_to_date=month_to_date, day=day, day_to_date=day_to_date)


def _paid(memory: SpendMemory, start: float, at: float) -> Decimal:
    return memory.rates[-1].total * Decimal(str(at - start)) / SECONDS_PER_HOUR


def _averaged(rates: tuple[SpendRate, ...], at: float, grain_seconds: float) -> tuple[SpendRate, ...]:
    """The rates, with the one that ends now merged into the one before where both began within the same grain of time.

    What they cost together stays the same. Without it an overflow whose rate moves with every tick would be kept as
    one entry per tick for the longest window.
    """
    if rates and rates[-1].since >= at:
        return rates[:-1]
    if len(rates) < 2 or rates[-2].since // grain_seconds != rates[-1].since // grain_seconds:
        return rates
    first, second = rates[-2:]
    share = (at - second.since) / (at - first.since)
    weight = Decimal(str(share))
    merged = SpendRate(
        first.since,
        first.replicas + (second.replicas - first.replicas) * weight,
        first.overflow + (second.overflow - first.overflow) * weight,
        first.overflow_per_second + (second.overflow_per_second - first.overflow_per_second) * share,
        first.components + (second.components - first.components) * weight,
    )
    return (*rates[:-2], merged)


def spent_in(memory: SpendMemory, at: float, window_seconds: float) -> Decimal:
    """Dollars spent in the trailing window; before the first known rate that rate is assumed."""
    return sum(
        (
            rate.total * Decimal(str(seconds)) / SECONDS_PER_HOUR
            for rate, seconds in _pieces(memory, at, window_seconds)
        ),
        Decimal(0),
    )


def overflowed_in(memory: SpendMemory, at: float, window_seconds: float) -> float:
    """Requests that the fallback served in the trailing window."""
    return sum(rate.overflow_per_second * seconds for rate, seconds in _pieces(memory, at, window_seconds))


def _pieces(memory: SpendMemory, at: float, window_seconds: float) -> Iterator[tuple[SpendRate, float]]:
    """Each rate of the trailing window with the seconds for which it held."""
    start = at - window_seconds
    for index, rate in enumerate(memory.rates):
        begin = start if index == 0 else max(start, rate.since)
        end = memory.rates[index + 1].since if index + 1 < len(memory.rates) else at
        if end > begin:
            yield rate, end - begin
