"""`flyball cost prices`: what a GPU hour costs by every PriceBook, where that comes from, and of when it is."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import yaml

from flyball.api.parse import parse_resource
from flyball.api.pricing import node_price, price_per_gpu_hour
from flyball.api.v1alpha1 import PriceBook, PriceBookSpec
from flyball.api.v1alpha1.words import CapacityType
from flyball.cli.columns import aligned
from flyball.cli.options import ENVIRONMENT, prometheus_options, prometheus_settings
from flyball.cluster.client import connect
from flyball.cluster.resources import PRICE_BOOKS
from flyball.core.money.currency import money
from flyball.core.money.node_prices import NodePrice, disagreement, quote, stale
from flyball.core.money.prices import NOT_ASKED
from flyball.core.ports import PortError
from flyball.core.units import format_duration, format_money
from flyball.telemetry import inference_costs, node_prices
from flyball.telemetry.inference_costs import ModelCost

OWN = "PriceBook"
"""The basis of a price that stands in the book itself."""
DIGITS = 4
"""After the point of a price."""


@dataclass(frozen=True, slots=True)
class Line:
    """One price: what a GPU hour costs, where that comes from, of when it is (epoch seconds), and what is wrong."""

    book: str
    accelerator: str
    capacity: str
    dollars: Decimal | None
    source: str
    basis: str
    as_of: float | None
    currency: str
    problems: tuple[str, ...] = ()


@click.command(context_settings=ENVIRONMENT)
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Manifest of the PriceBooks; without it, the API server is asked.",
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@prometheus_options(required=False)
def prices(file: Path | None, output: str, **prometheus: Any) -> None:
    """What a GPU hour costs by every PriceBook, with what OpenCost says where a book or Prometheus has it.

    Exits 1 when a price is missing, stale, or further from OpenCost's than its band.
    """
    books, at = _of_file(file) if file else _of_cluster(), time.time()
    nodes, models = _asked(prometheus, at)
    lines = [line for name, book in sorted(books.items()) for line in lines_of(name, book.spec, nodes, at)]
    if output == "json":
        click.echo(json.dumps(document(lines, models, at), indent=2))
    else:
        for text in text_of(lines, models, at):
            click.echo(text)
    if any(line.problems for line in lines):
        raise SystemExit(1)


def lines_of(name: str, book: PriceBookSpec, nodes: Sequence[NodePrice] | None, at: float) -> Iterator[Line]:
    """All prices of a book for GPUs; `nodes` is None where nobody asked for OpenCost's.

    A capacity that OpenCost tells no node of is left out where it has a price for another.
    """
    for accelerator in (*(gpu.accelerator for gpu in book.gpus), *(each.accelerator for each in book.fractions)):
        found = [line for each in CapacityType for line in _lines(name, book, accelerator, each, nodes, at)]
        priced = [line for line in found if line.dollars is not None]
        yield from priced or found


def _lines(
    name: str,
    book: PriceBookSpec,
    accelerator: str,
    capacity: CapacityType,
    nodes: Sequence[NodePrice] | None,
    at: float,
) -> Iterator[Line]:
    own, since = price_per_gpu_hour(book, accelerator, capacity), _day(book.effective_from)
    rule = node_price(name, book, accelerator, capacity)
    if rule is None:
        if own is not None:
            source = f"PriceBook {name}: {accelerator}, {capacity}"
            yield Line(name, accelerator, str(capacity), own, source, OWN, since, book.priced_in)
        return
    found = NOT_ASKED if nodes is None else quote(rule, nodes)
    source, told = rule.source(found), tuple(filter(None, (stale(rule, found, at), disagreement(rule, found, at))))
    if own is not None:
        yield Line(name, accelerator, str(capacity), own, source, OWN, since, book.priced_in, told)
    elif found.price is None:
        yield Line(name, accelerator, str(capacity), None, source, rule.metric, None, book.priced_in, (found.problem,))
    else:
        yield Line(
            name, accelerator, str(capacity), found.price, source, rule.metric, found.seen_at, book.priced_in, told
        )


def document(lines: Sequence[Line], models: Sequence[ModelCost], at: float) -> dict[str, Any]:
    """Everything, as JSON: money as text."""
    return {
        "unit": "GPU hour",
        "prices": [
            {
                "book": line.book,
                "accelerator": line.accelerator,
                "capacityType": line.capacity,
                "currency": line.currency,
                "price": None if line.dollars is None else f"{line.dollars:f}",
                "source": line.source,
                "basis": line.basis,
                "asOf": None if line.as_of is None else datetime.fromtimestamp(line.as_of, UTC).isoformat(),
                "ageSeconds": None if line.as_of is None else round(at - line.as_of),
                "problems": list(line.problems),
            }
            for line in lines
        ],
        "models": [
            {
                "namespace": each.namespace,
                "model": each.model,
                "version": each.version,
                "perHour": None if each.per_hour is None else f"{each.per_hour:f}",
                "perMillionTokens": None if each.per_million_tokens is None else f"{each.per_million_tokens:f}",
            }
            for each in models
        ],
    }


def text_of(lines: Sequence[Line], models: Sequence[ModelCost], at: float) -> Iterator[str]:
    """The prices as a table, what is wrong with them, and what models cost by OpenCost."""
    head = ("book", "accelerator", "capacity", "per GPU hour", "as of", "age", "source")
    rows = [
        (line.book, line.accelerator, line.capacity, _money(line), *_when(line.as_of, at), line.source)
        for line in lines
    ]
    yield from aligned([head, *rows]) if rows else ["there is no price of a GPU in any PriceBook"]
    yield from (f"{line.accelerator}, {line.capacity}: {problem}" for line in lines for problem in line.problems)
    if models:
        yield "by OpenCost's inference costs, in its currency, idle GPUs included:"
        found = [(m.namespace, m.model, m.version, _cost(m.per_hour), _cost(m.per_million_tokens)) for m in models]
        yield from aligned([("namespace", "model", "version", "per hour", "per 1M tokens"), *found])


def _asked(prometheus: Mapping[str, Any], at: float) -> tuple[tuple[NodePrice, ...] | None, tuple[ModelCost, ...]]:
    if not prometheus["prometheus_url"]:
        return None, ()
    settings = prometheus_settings(dict(prometheus))
    nodes, failure = node_prices.ask(settings, at)
    models, second = inference_costs.ask(settings, at)
    if failure or second:
        raise click.ClickException(failure or second)
    return nodes, models


def _of_cluster() -> dict[str, PriceBook]:
    async def fetch() -> list[dict[str, Any]]:
        async with connect() as api:
            return await api.list_all(PRICE_BOOKS)

    try:
        return _parsed(asyncio.run(fetch()))
    except PortError as error:
        raise click.ClickException(str(error)) from error


def _of_file(path: Path) -> dict[str, PriceBook]:
    try:
        documents = [d for d in yaml.safe_load_all(path.read_text(encoding="utf-8")) if isinstance(d, dict)]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path} is not readable as YAML: {error}", param_hint="--file") from error
    found = _parsed([document for document in documents if document.get("kind") == "PriceBook"])
    if not found:
        raise click.BadParameter(f"{path} holds no PriceBook; give a manifest that does", param_hint="--file")
    return found


def _parsed(documents: Sequence[dict[str, Any]]) -> dict[str, PriceBook]:
    books = {}
    for document_ in documents:
        name, parsed = str((document_.get("metadata") or {}).get("name", "")), parse_resource(PriceBook, document_)
        if not isinstance(parsed, PriceBook):
            raise click.ClickException(f"PriceBook {name} is not valid: {'; '.join(map(str, parsed))}")
        books[name] = parsed
    return books


def _money(line: Line) -> str:
    return "-" if line.dollars is None else money(line.dollars, line.currency, DIGITS)


def _cost(amount: Decimal | None) -> str:
    return "-" if amount is None else format_money(amount, DIGITS)


def _when(as_of: float | None, at: float) -> tuple[str, str]:
    if as_of is None:
        return "-", "-"
    return f"{datetime.fromtimestamp(as_of, UTC):%Y-%m-%d %H:%M}Z", format_duration(max(0, round(at - as_of)))


def _day(day: str | None) -> float | None:
    return None if day is None else datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
