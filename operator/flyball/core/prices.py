"""Which prices hold, which are missing and which are stale; what a request costs beside its GPUs.

Money is Decimal dollars; times are seconds since the epoch. No price is ever assumed: what is missing is a sentence.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from flyball.core.capacity import RequestShape
from flyball.core.spec import Component, Fallback, Prices, Unit, WorkloadSpec

MILLION = Decimal(1_000_000)
HOURS_PER_MONTH = Decimal(730)
"""Hours in a twelfth of a year: what a price per gibibyte and month is spread over, whichever month it is."""


def in_force(spec: WorkloadSpec, at: float) -> WorkloadSpec:
    """The spec with only the prices that hold at that time: a book's prices are unknown before its first day."""
    effective_at = spec.prices.effective_at
    if effective_at is None or at >= effective_at:
        return spec
    why = f"PriceBook {spec.prices.book} holds only from {_day(effective_at)} on"
    variants = tuple(replace(v, price_per_gpu_hour=None, price_source=why) if v.by_book else v for v in spec.variants)
    prices = replace(spec.prices, components=(), hosted=None, missing=(*spec.prices.missing, why))
    return replace(spec, variants=variants, prices=prices)


def missing(spec: WorkloadSpec) -> tuple[str, ...]:
    """For each price beside the GPUs' that is needed and not known, a sentence that says where to write it."""
    fallback, lacking = spec.fallback, list(spec.prices.missing)
    if fallback is not None and fallback.price_per_request is None and spec.prices.hosted is None and not lacking:
        lacking.append("the fallback has no price: set fallback.pricePerRequest or fallback.hostedModel")
    return tuple(lacking)


def stale(prices: Prices, at: float) -> str:
    """A sentence about prices past their date; empty where they are not."""
    if prices.stale_at is None or at < prices.stale_at:
        return ""
    return f"PriceBook {prices.book} is stale since {_day(prices.stale_at)}: confirm its prices and move effectiveFrom"


def overflow_price(fallback: Fallback, prices: Prices, shape: RequestShape | None) -> Decimal | None:
    """Dollars of one mean request on the fallback, labour aside; None where its price or its length is not known."""
    if fallback.price_per_request is not None:
        return fallback.price_per_request
    if prices.hosted is None or shape is None:
        return None
    prompt, output = (Decimal(str(round(tokens, 6))) for tokens in (shape.prompt_tokens, shape.output_tokens))
    return (prompt * prices.hosted.per_million_input + output * prices.hosted.per_million_output) / MILLION


def rate(components: Sequence[Component], requests_per_second: float, tokens_per_second: float) -> Decimal:
    """Dollars per hour of all components under that traffic."""
    per_hour = {
        Unit.HOUR: Decimal(1),
        Unit.REQUEST: Decimal(str(round(requests_per_second, 6))) * 3600,
        Unit.MILLION_TOKENS: Decimal(str(round(tokens_per_second, 6))) * 3600 / MILLION,
    }
    return sum((component.price * per_hour[component.unit] for component in components), Decimal(0))


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
