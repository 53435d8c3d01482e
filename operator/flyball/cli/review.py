"""`flyball review`: the reviews that were kept, made anew, as text, Markdown, HTML and JSON; and what was decided."""

import asyncio
import getpass
import json
import time
from pathlib import Path
from typing import Any

import click

from flyball.api.convert import read_workload
from flyball.api.parse import parse_resource
from flyball.api.v1alpha1 import PriceBook
from flyball.cli.columns import aligned
from flyball.cli.ledger import ledger_option, opened
from flyball.cli.options import opened_out, out_option
from flyball.cli.review_markdown import lines as as_markdown
from flyball.cli.review_page import page
from flyball.cluster.client import connect
from flyball.cluster.resources import PRICE_BOOKS, WORKLOADS
from flyball.core.evidence.review_figures import Document, Kind
from flyball.core.money.meter import milliseconds
from flyball.core.ports import PortError
from flyball.core.spec import WorkloadSpec
from flyball.ledger import reviews
from flyball.ledger.store import Ledger
from flyball.telemetry.dimensions import ROUTES

DECISIONS = ("Scale", "ReArchitect", "Retire", "Keep", "Accept", "Reject", "Defer")


@click.group()
def review() -> None:
    """Weekly reviews of operations and monthly ones of what to scale, change or retire."""


@review.command("list")
@ledger_option
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def list_(url: str, output: str) -> None:
    """All reviews that were kept, the newest first, with how much was decided upon them."""
    with opened(url) as ledger:
        found = [{**each, "decisions": len(reviews.decisions(ledger, each["id"]))} for each in reviews.listed(ledger)]
    if output == "json":
        click.echo(json.dumps(found, indent=2))
        return
    rows = [[each["id"], str(each["decisions"])] for each in found]
    for line in aligned([["review", "decisions"], *rows]):
        click.echo(line)


@review.command()
@ledger_option
@click.argument("name", default="weekly")
@click.option(
    "--fresh", is_flag=True, help="Made anew from the ledger as it is now, in place of the one that was kept."
)
@click.option("-o", "--output", type=click.Choice(["markdown", "html", "json"]), default="markdown", show_default=True)
@out_option
def show(url: str, name: str, fresh: bool, output: str, out: Path | None) -> None:
    """Review NAME, such as weekly-2026-W48 or monthly-2026-11; `weekly` and `monthly` are the last ones.

    With --fresh, and for the week or month that is not over, it is made of the ledger and of what the cluster's
    WorkloadSLOs declare.
    """
    now = milliseconds(time.time())
    with opened(url) as ledger:
        document = None if fresh else _kept(ledger, name)
        if document is None:
            document = _made(ledger, name, now)
        decided = reviews.decisions(ledger, document["id"])
    if output == "json":
        text = json.dumps(document | {"decisions": [_decision(each) for each in decided]}, indent=2) + "\n"
    elif output == "html":
        text = page(document, decided)
    else:
        text = "\n".join(as_markdown(document, decided)) + "\n"
    with opened_out(out) as to:
        to.write(text)


@review.command()
@ledger_option
@click.argument("name")
@click.argument("decision", type=click.Choice(DECISIONS))
@click.option("--workload", default="", help="NAMESPACE/NAME that it concerns; all of the review when left out.")
@click.option("--note", required=True, help="Why, in a sentence: it is kept with the decision.")
@click.option("--by", default="", help="Who decided; you when left out.")
def decide(url: str, name: str, decision: str, workload: str, note: str, by: str) -> None:
    """Record DECISION upon review NAME. Decisions are kept beside each other: nothing is changed or taken back."""
    made = reviews.Decision(
        name, milliseconds(time.time()), (by or _myself())[:253], workload[:507], decision, note[:1024]
    )
    with opened(url) as ledger:
        reviews.decide(ledger, made)
    click.echo(f"{name}: {decision}{f' for {workload}' if workload else ''} by {made.who}")


def _myself() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise click.UsageError("nobody knows who you are here: give --by NAME") from None


def _kept(ledger: Ledger, name: str) -> Document | None:
    """A review that was kept: by its name, or the last one of its kind."""
    if name not in tuple(Kind):
        return reviews.find(ledger, name)
    known = [each["id"] for each in reviews.listed(ledger) if each["id"].startswith(f"{name}-")]
    return reviews.find(ledger, known[0]) if known else None


def _made(ledger: Ledger, name: str, now: int) -> Document:
    calendar = ledger.calendar
    period = (
        reviews.before(calendar, reviews.period_of(calendar, Kind(name), now))
        if name in tuple(Kind)
        else reviews.named(calendar, name)
    )
    document = reviews.make(ledger, period, _declared(), now, ROUTES)
    if not document["workloads"]:
        raise click.ClickException(f"the ledger has nothing of {period.name}; flyball review list names what was kept")
    return document


def _declared() -> list[WorkloadSpec]:
    """What the cluster's WorkloadSLOs declare; none, and a word about it, where the cluster cannot be asked."""
    try:
        workloads, books = asyncio.run(_fetch())
    except PortError as error:
        click.echo(f"targets and worth of answers are not known: {error}", err=True)
        return []
    parsed = {raw["metadata"]["name"]: parse_resource(PriceBook, raw) for raw in books}
    valid = {name: book for name, book in parsed.items() if isinstance(book, PriceBook)}
    found = [read_workload(raw, valid) for raw in workloads]
    return [spec for spec in found if isinstance(spec, WorkloadSpec)]


async def _fetch() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    async with connect() as api:
        return await api.list_all(WORKLOADS), await api.list_all(PRICE_BOOKS)


def _decision(each: reviews.Decision) -> dict[str, Any]:
    return {
        "at": each.made_at, "who": each.who, "workload": each.workload or None, "decision": each.decision,
        "note": each.note,
    }  # fmt: skip
