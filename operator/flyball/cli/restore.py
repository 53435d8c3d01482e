"""`flyball restore`: give every route, finalizer and annotation back; the chart runs it before the operator goes."""

import asyncio

import click

from flyball.cluster.client import connect
from flyball.cluster.restore import restore_everything, stop_operator
from flyball.core.ports import PortError

STOP_WITHIN_SECONDS = 90.0


@click.command(context_settings={"auto_envvar_prefix": "FLYBALL"})
@click.option("--stop-operator", default="", help="NAMESPACE/DEPLOYMENT of the operator, to be stopped first.")
@click.option("--watch-namespaces", default="", help="Comma-separated namespaces to restore; all when empty.")
def restore(stop_operator: str, watch_namespaces: str) -> None:
    """Restore the weights of all routes, drop Flyball's finalizers and annotations. Safe to run again."""
    namespace, _, deployment = stop_operator.partition("/")
    if stop_operator and not (namespace and deployment):
        raise click.UsageError(f"--stop-operator is {stop_operator!r}; write NAMESPACE/DEPLOYMENT")
    namespaces = tuple(name.strip() for name in watch_namespaces.split(",") if name.strip())
    try:
        failures = asyncio.run(_restore((namespace, deployment) if stop_operator else None, namespaces))
    except PortError as error:
        raise click.ClickException(str(error)) from error
    if failures:
        raise click.ClickException(f"{failures} objects could not be restored, see above; run `flyball restore` again")


async def _restore(operator: tuple[str, str] | None, namespaces: tuple[str, ...]) -> int:
    async with connect() as api:
        if operator is not None:
            await stop_operator(api, *operator, click.echo, within=STOP_WITHIN_SECONDS)
        return await restore_everything(api, click.echo, namespaces=namespaces)
