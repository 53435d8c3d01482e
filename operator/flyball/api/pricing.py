"""What a spec and its PriceBook say of prices, resolved for the core: what is not there is named, never assumed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from flyball.api.v1alpha1 import PriceBook, PriceBookSpec, WorkloadSLOSpec, pricebook
from flyball.api.v1alpha1.fallback import FallbackBackendSpec
from flyball.api.v1alpha1.money import LaborSpec
from flyball.api.v1alpha1.targets import Target
from flyball.api.v1alpha1.words import CapacityType, NodePriceBasis
from flyball.core.money.bill import LABOR_KIND
from flyball.core.money.currency import DEFAULT_CURRENCY
from flyball.core.money.node_prices import NodePriceRule
from flyball.core.money.prices import HOURS_PER_MONTH, NOT_ASKED
from flyball.core.spec import BackendPrice, Component, FieldError, HostedModel, Prices, Unit
from flyball.core.units import parse_duration_seconds, parse_money

PriceBooks = Mapping[str, PriceBook]
"""PriceBooks by name."""

INLINE_SOURCE = "pricePerGpuHour"
DEFAULT_BAND, DEFAULT_NODE_PRICE_LIFE = "10%", "1h"


@dataclass(frozen=True, slots=True)
class FoundPrice:
    """Dollars per GPU hour and where they come from, or None and what is missing. `node_price` is OpenCost's part."""

    dollars: Decimal | None
    source: str
    node_price: NodePriceRule | None = None

    @property
    def by_book(self) -> bool:
        """Whether it stands in the PriceBook, and holds when that does."""
        return self.source != INLINE_SOURCE and (self.dollars is not None or self.node_price is not None)


def currency_of(spec: WorkloadSLOSpec, book_name: str | None, books: PriceBooks) -> str:
    """The currency that a spec's amounts are in by what it and its book say."""
    declared = spec.cost.currency if spec.cost else None
    book = books.get(book_name) if book_name else None
    return declared or (book.spec.priced_in if book else DEFAULT_CURRENCY)


def wrong_currency(field: str, declared: str | None, reckoned: str | None) -> FieldError | None:
    """What is wrong with a currency that is declared where another one is reckoned in."""
    if declared is None or reckoned is None or declared == reckoned:
        return None
    problem = (
        f"amounts in {declared} cannot be held against the others: this Flyball reckons in {reckoned} (--currency)"
    )
    fix = f"write the amounts in {reckoned}, or run Flyball with currency {declared} and all prices in it"
    return FieldError(field, problem, fix)


def usable_book(name: str | None, books: PriceBooks, currency: str) -> PriceBook | None:
    """The book of that name, where there is one and its prices are in that currency."""
    book = books.get(name) if name else None
    return book if book is not None and book.spec.priced_in == currency else None


def no_book(name: str, books: PriceBooks, currency: str) -> str:
    """Why a book cannot be used, in a sentence."""
    book = books.get(name)
    if book is None:
        return f"PriceBook {name} does not exist or is invalid"
    return (
        f"PriceBook {name} is in {book.spec.priced_in} (its spec.currency), and the amounts of this WorkloadSLO are in "
        f"{currency} (spec.cost.currency, by default what Flyball reckons in): name a book in {currency}"
    )


def gpu_price(
    target: Target,
    book_name: str | None,
    books: PriceBooks,
    observed: str | None,
    currency: str = DEFAULT_CURRENCY,
) -> FoundPrice:
    """The price of a target's GPUs."""
    if target.price_per_gpu_hour is not None:
        return FoundPrice(parse_money(target.price_per_gpu_hour), INLINE_SOURCE)
    if book_name is None:
        return FoundPrice(None, "neither targets[].pricePerGpuHour nor cost.priceBookRef is set")
    book = usable_book(book_name, books, currency)
    if book is None:
        return FoundPrice(None, no_book(book_name, books, currency))
    accelerator = target.accelerator or observed
    if accelerator is None:
        why = f"the accelerator to look up in PriceBook {book_name} is not known; set targets[].accelerator"
        return FoundPrice(None, why)
    capacity = target.capacity_type or CapacityType.ON_DEMAND
    price = price_per_gpu_hour(book.spec, accelerator, capacity)
    if asked := node_price(book_name, book.spec, accelerator, capacity):
        return FoundPrice(price, asked.source(NOT_ASKED), asked)
    if price is None:
        return FoundPrice(None, f"PriceBook {book_name} holds no {capacity} price for {accelerator}")
    return FoundPrice(price, f"PriceBook {book_name}: {accelerator}, {capacity}")


def price_per_gpu_hour(book: PriceBookSpec, accelerator: str, capacity: CapacityType) -> Decimal | None:
    """Dollars per hour of a GPU or a fraction of one, node overhead included; None where the book holds no price."""
    entry, share = _entry(book, accelerator)
    price = entry.price(capacity) if entry else None
    return None if price is None else parse_money(price) * share * (1 + _percent(book.node_overhead or "0%"))


def node_price(name: str, book: PriceBookSpec, accelerator: str, capacity: CapacityType) -> NodePriceRule | None:
    """What of OpenCost's prices says what a GPU hour costs; None where the book asks for none.

    Its gauges hold what capacity costs on demand or on spot: reserved capacity cannot even be compared.
    """
    entry, share = _entry(book, accelerator)
    if entry is None or entry.open_cost is None or capacity is CapacityType.RESERVED:
        return None
    asked = entry.open_cost
    whole = asked.basis is NodePriceBasis.NODE
    return NodePriceRule(
        name,
        accelerator,
        str(capacity),
        asked.instance_types,
        asked.node_prefixes,
        spot=capacity is CapacityType.SPOT,
        whole_node=whole,
        factor=share if whole else share * (1 + _percent(book.node_overhead or "0%")),
        own=price_per_gpu_hour(book, accelerator, capacity),
        band=_percent(asked.band or DEFAULT_BAND),
        stale_after_seconds=parse_duration_seconds(asked.stale_after or DEFAULT_NODE_PRICE_LIFE),
        currency=book.priced_in,
    )


def _entry(book: PriceBookSpec, accelerator: str) -> tuple[pricebook.GpuPrice | None, Decimal]:
    """The entry of the whole GPU, and the share of it that this accelerator is."""
    fraction = next((each for each in book.fractions if each.accelerator == accelerator), None)
    whole = fraction.of if fraction else accelerator
    entry = next((gpu for gpu in book.gpus if gpu.accelerator == whole), None)
    return entry, _percent(fraction.share) if fraction else Decimal(1)


def prices_of(
    spec: WorkloadSLOSpec, book_name: str | None, books: PriceBooks, currency: str = DEFAULT_CURRENCY
) -> Prices:
    """The prices beside the GPUs' that concern a workload."""
    wanted = spec.fallback.hosted_model if spec.fallback else None
    backends = spec.fallback.backends if spec.fallback else ()
    labor = spec.cost.labor if spec.cost else ()
    models = list(dict.fromkeys(filter(None, (wanted, *(backend.hosted_model for backend in backends)))))
    roles = list(dict.fromkeys([*(each.role for each in labor), *(b.labor.role for b in backends if b.labor)]))
    book = usable_book(book_name, books, currency)
    if book_name is None or book is None:
        lacking = [f"the price of hosted model {model}" for model in models]
        lacking += [f"the rate of labour role {role}" for role in roles]
        lacking += ["what the book's components cost"] if book_name else []
        why = no_book(book_name, books, currency) if book_name else "set cost.priceBookRef"
        return Prices(book_name or "", missing=tuple(f"{what} is not known: {why}" for what in lacking))
    effective_at = _midnight(book.spec.effective_from)
    life = parse_duration_seconds(book.spec.stale_after) if book.spec.stale_after else None
    hosted = {model.name: _hosted(model) for model in book.spec.hosted_models}
    rates = {rate.role: parse_money(rate.per_hour) for rate in book.spec.labor_rates}
    missing = [f"PriceBook {book_name} holds no hosted model {model}" for model in models if model not in hosted]
    missing += [f"PriceBook {book_name} holds no rate of labour role {role}" for role in roles if role not in rates]
    return Prices(
        book=book_name,
        components=(*map(_component, book.spec.components), *_labor(labor, rates)),
        hosted=hosted.get(wanted) if wanted else None,
        effective_at=effective_at,
        stale_at=effective_at + life if effective_at is not None and life is not None else None,
        missing=tuple(missing),
        backends=tuple(_backend_price(backend, hosted, rates) for backend in backends),
    )


def _backend_price(
    backend: FallbackBackendSpec, hosted: Mapping[str, HostedModel], rates: Mapping[str, Decimal]
) -> BackendPrice:
    labor = next(_labor((backend.labor,), rates), None) if backend.labor else None
    model = hosted.get(backend.hosted_model) if backend.hosted_model else None
    return BackendPrice(backend.name, model, labor.price if labor else None)


def _hosted(model: pricebook.HostedModel) -> HostedModel:
    return HostedModel(
        model.name, parse_money(model.per_million_input_tokens), parse_money(model.per_million_output_tokens)
    )


def _component(component: pricebook.CostComponent) -> Component:
    if component.per_request is not None:
        unit, price = Unit.REQUEST, parse_money(component.per_request)
    elif component.per_million_tokens is not None:
        unit, price = Unit.MILLION_TOKENS, parse_money(component.per_million_tokens)
    elif component.per_hour is not None:
        unit, price = Unit.HOUR, parse_money(component.per_hour)
    else:
        moved = component.gibibytes_per_request
        per_gibibyte = parse_money(component.per_gibibyte or "0")
        unit = Unit.REQUEST if moved is not None else Unit.HOUR
        amount = Decimal(moved) if moved is not None else Decimal(component.gibibytes_stored or "0") / HOURS_PER_MONTH
        price = per_gibibyte * amount
    return Component(component.name, component.kind.value, unit, price)


def _labor(labor: tuple[LaborSpec, ...], rates: Mapping[str, Decimal]) -> Iterator[Component]:
    for each in labor:
        if each.role in rates:
            price = Decimal(each.minutes_per_request) * rates[each.role] / 60
            yield Component(each.role, LABOR_KIND, Unit.REQUEST, price)


def _percent(text: str) -> Decimal:
    return Decimal(text[:-1]) / 100


def _midnight(day: str | None) -> float | None:
    return None if day is None else datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
