"""Which prices hold, which are missing and which are stale; what a request costs beside its GPUs.

Money is Decimal dollars; times are seconds since the epoch. No price is ever assumed: what is missing is a sentence.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from flyball.core.fleet.capacity import RequestShape
from flyball.core.money.node_prices import NodePriceRule, Quote
from flyball.core.money.node_prices import disagreement as disagreement_of
from flyball.core.money.node_prices import stale as stale_quote
from flyball.core.spec import BackendPrice, Component, Fallback, FallbackBackend, Prices, Unit, Variant, WorkloadSpec
from flyball.core.values import replace

MILLION = Decimal(1_000_000)
NOT_ASKED = Quote(problem="OpenCost's prices were not read")
HOURS_PER_MONTH = Decimal(730)
"""Hours in a twelfth of a year: what a price per gibibyte and month is spread over, whichever month it is."""


def quoted(spec: WorkloadSpec, quotes: Mapping[NodePriceRule, Quote], at: float) -> WorkloadSpec:
    """The spec with the GPU prices that OpenCost knows, as of these quotes; what it lacks has no price.

    A price that was last seen long ago is charged, and said to be old: nobody knows a better one.
    """
    rules = [variant.node_price for variant in spec.variants if variant.node_price is not None]
    if not rules:
        return spec
    found = [(rule, quotes.get(rule, NOT_ASKED)) for rule in rules]
    prices = replace(
        spec.prices,
        old=tuple(dict.fromkeys(text for rule, known in found if (text := stale_quote(rule, known, at)))),
        doubtful=tuple(dict.fromkeys(text for rule, known in found if (text := disagreement_of(rule, known, at)))),
    )
    return replace(spec, variants=tuple(_quoted(variant, quotes) for variant in spec.variants), prices=prices)


def _quoted(variant: Variant, quotes: Mapping[NodePriceRule, Quote]) -> Variant:
    rule = variant.node_price
    if rule is None:
        return variant
    known = quotes.get(rule, NOT_ASKED)
    price = known.price if rule.own is None else rule.own
    return replace(variant, price_per_gpu_hour=price, price_source=rule.source(known))


def in_force(spec: WorkloadSpec, at: float) -> WorkloadSpec:
    """The spec with only the prices that hold at that time: a book's prices are unknown before its first day."""
    effective_at = spec.prices.effective_at
    if effective_at is None or at >= effective_at:
        return spec
    why = f"PriceBook {spec.prices.book} holds only from {_day(effective_at)} on"
    variants = tuple(_unknown(variant, why) if variant.by_book else variant for variant in spec.variants)
    lacking = (*spec.prices.missing, why)
    prices = replace(spec.prices, components=(), hosted=None, backends=(), missing=lacking, old=(), doubtful=())
    return replace(spec, variants=variants, prices=prices)


def _unknown(variant: Variant, why: str) -> Variant:
    return replace(variant, price_per_gpu_hour=None, price_source=why, node_price=None)


def missing(spec: WorkloadSpec) -> tuple[str, ...]:
    """For each price beside the GPUs' that is needed and not known, a sentence that says where to write it."""
    fallback, lacking = spec.fallback, list(spec.prices.missing)
    if fallback is None or lacking:
        return tuple(lacking)
    unlisted = [route for route in fallback.routes if fallback.backend(route.fallback) is None]
    if unlisted and fallback.price_per_request is None and spec.prices.hosted is None:
        lacking.append("the fallback has no price: set fallback.pricePerRequest or fallback.hostedModel")
    for backend in fallback.backends:
        known = spec.prices.backend(backend.name)
        if backend.price_per_request is None and known.hosted is None and _labor(backend, known) is None:
            fix = "set its pricePerRequest, hostedModel or labor"
            lacking.append(f"the fallback backend {backend.name} has no price: {fix}")
    return tuple(lacking)


def stale(prices: Prices, at: float) -> str:
    """A sentence about prices past their date; empty where they are not."""
    texts = list(prices.old)
    if prices.stale_at is not None and at >= prices.stale_at:
        since = f"PriceBook {prices.book} is stale since {_day(prices.stale_at)}"
        texts.insert(0, f"{since}: confirm its prices and move effectiveFrom")
    return "; ".join(texts)


def overflow_price(fallback: Fallback, prices: Prices, shape: RequestShape | None, backend: str = "") -> Decimal | None:
    """Dollars of one mean request on that fallback backend, labour aside; None where its price or length is not known.

    Where people or rules answer at the price of their labour alone, nothing comes on top of it.
    """
    declared, known = fallback.backend(backend), prices.backend(backend)
    price = fallback.price_per_request if declared is None else declared.price_per_request
    hosted = prices.hosted if declared is None else known.hosted
    if price is not None:
        return price
    if hosted is None and declared is not None and _labor(declared, known) is not None:
        return Decimal(0)
    if hosted is None or shape is None:
        return None
    prompt, output = (Decimal(str(round(tokens, 6))) for tokens in (shape.prompt_tokens, shape.output_tokens))
    return (prompt * hosted.per_million_input + output * hosted.per_million_output) / MILLION


def overflow_labor(fallback: Fallback, prices: Prices, backend: str) -> Decimal:
    """Dollars of labour that one request on that fallback backend causes."""
    declared = fallback.backend(backend)
    labor = fallback.labor_cost_per_request if declared is None else _labor(declared, prices.backend(backend))
    return labor or Decimal(0)


def overflow_cost(fallback: Fallback, prices: Prices, shape: RequestShape | None, backend: str) -> Decimal | None:
    """Dollars of one mean request on that fallback backend in all; None where its price is not known."""
    price = overflow_price(fallback, prices, shape, backend)
    return None if price is None else price + overflow_labor(fallback, prices, backend)


def _labor(backend: FallbackBackend, known: BackendPrice) -> Decimal | None:
    return known.labor_per_request if backend.labor_cost_per_request is None else backend.labor_cost_per_request


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
