"""`flyball restore`: give every route, finalizer and annotation back; the chart runs it before the operator goes."""

import asyncio

import click

from flyball.cluster.client import connect
from flyball.cluster.restore import restore_everything
from flyball.core.ports import PortError


@click.command()
def restore() -> None:
    """Restore all HTTPRoute weights, drop Flyball's finalizers and annotations. Safe to run again."""
    try:
        failures = asyncio.run(_restore())
    except PortError as error:
        raise click.ClickException(str(error)) from error
    if failures:
        raise click.ClickException(f"{failures} objects could not be restored, see above; run `flyball restore` again")


async def _restore() -> int:
    async with connect() as api:
        return await restore_everything(api, click.echo)
