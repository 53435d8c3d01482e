"""`flyball ledger`: a ledger into one file and back, and corrections of what it holds."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import click

from flyball.cli.past import announce, parse_time
from flyball.core.money.bill import Correction
from flyball.core.money.meter import milliseconds
from flyball.core.names import WorkloadKey
from flyball.ledger.backup import back_up
from flyball.ledger.backup import restore as fill
from flyball.ledger.engine import require
from flyball.ledger.errors import LedgerError
from flyball.ledger.store import Ledger

Command = TypeVar("Command", bound=Callable[..., Any])
MOST_CORRECTED = Decimal(10_000_000)


def ledger_option(command: Command) -> Command:
    """Where the ledger is; the operator's own environment names it."""
    return click.option(
        "--ledger",
        "url",
        envvar="FLYBALL_LEDGER",
        show_envvar=True,
        required=True,
        help="The ledger: its file, or postgresql://….",
    )(command)


@contextmanager
def told() -> Iterator[None]:
    """What goes wrong with a ledger, as click's error."""
    try:
        yield
    except LedgerError as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def opened(url: str) -> Iterator[Ledger]:
    """A ledger that is there. Raises click's errors."""
    with told():
        require(url)
        found = Ledger(url)
        try:
            yield found
        finally:
            found.close()


class Dollars(click.ParamType[Decimal]):
    """An amount of dollars that may be negative."""

    name = "dollars"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Parse, or fail with an example."""
        try:
            found = Decimal(str(value))
        except InvalidOperation:
            found = Decimal("NaN")
        if not found.is_finite() or not found or abs(found) > MOST_CORRECTED:
            self.fail(f"{value!r} is no amount to correct by; write an amount such as -12.50", param, ctx)
        return found


@click.group()
def ledger() -> None:
    """Back up and restore the ledger, and correct what it holds."""


@ledger.command()
@ledger_option
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(url: str, file: Path) -> None:
    """Write the whole ledger, as of now, to a new FILE. The operator may go on meanwhile."""
    with told():
        rows = back_up(url, file, lambda done, total: announce("backing up", done / total))
    click.echo(f"{file} holds {rows} rows")


@ledger.command()
@ledger_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def restore(url: str, file: Path) -> None:
    """Fill an empty ledger from FILE, in SQLite or PostgreSQL, whichever it came from."""
    with told():
        rows = fill(file, url, lambda done, total: announce("restoring", done / total))
    click.echo(f"restored {rows} rows")


@ledger.command()
@ledger_option
@click.argument("name")
@click.option("-n", "--namespace", default="default", show_default=True)
@click.option("--at", required=True, help="When the costs arose that are corrected, as 2026-11-03T00:00.")
@click.option("--component", default="gpu", show_default=True, help="What is corrected: gpu, or a component's name.")
@click.option("--amount", type=Dollars(), required=True, help="Dollars to add; negative for a credit.")
@click.option("--note", required=True, help="Why, such as the number of a credit note.")
def correct(url: str, name: str, namespace: str, at: str, component: str, amount: Decimal, note: str) -> None:
    """Add a correction to the costs of workload NAME. What is written stays; the correction stands beside it."""
    if not note.strip():
        raise click.BadParameter("it says nothing; write why, such as the number of a credit note", param_hint="--note")
    with opened(url) as found:
        when, now = milliseconds(parse_time(at, found.calendar.zone, "--at")), milliseconds(time.time())
        if when > now:
            raise click.BadParameter(f"{at} lies ahead; give the time when the costs arose", param_hint="--at")
        found.correct(WorkloadKey(namespace, name), Correction(when, now, component, amount, note[:1024]))
    click.echo(f"corrected {namespace}/{name} by {amount:f}")
