"""`flyball run`: the operator itself, as the chart starts it."""

import asyncio
import errno
from pathlib import Path
from typing import Any

import click

from flyball.cli.options import (
    ENVIRONMENT,
    Address,
    Currency,
    Duration,
    NamespacedName,
    prometheus_options,
    prometheus_settings,
)
from flyball.core.money.currency import DEFAULT_CURRENCY
from flyball.core.ports import PortError
from flyball.runtime import logs
from flyball.runtime.leadership import LEASE_SECONDS
from flyball.runtime.settings import Settings


@click.command(context_settings=ENVIRONMENT)
@prometheus_options(required=True)
@click.option("--tick", type=Duration(least=1.0), default="15s", help="Time from one evaluation to the next.")
@click.option("--watch-namespaces", default="", help="Comma-separated namespaces; all when empty.")
@click.option(
    "--listen", type=Address(), default="0.0.0.0:8080", help="Address of /metrics, /healthz, /readyz and /decisions."
)
@click.option("--routes/--no-routes", default=True, help="Whether routes may be read and their weights moved.")
@click.option(
    "--records",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder where decisions are recorded for `flyball replay`; not recorded when left out.",
)
@click.option("--records-size", type=click.IntRange(min=1), default=64, help="Most MiB that the records may take.")
@click.option(
    "--ledger",
    default="",
    help="Where what workloads use and cost is kept: a file, or postgresql://…; not kept when left out.",
)
@click.option(
    "--currency",
    type=Currency(),
    default=DEFAULT_CURRENCY,
    help="What all money is in, by its ISO 4217 code. A ledger keeps the one that it is begun in.",
)
@click.option("--ledger-timezone", default="", help="Time zone of the ledger's days; settled when it is begun, as UTC.")
@click.option(
    "--lease",
    type=NamespacedName(),
    default="",
    help="The Lease whose holder acts, of several operators; without one this operator always acts.",
)
@click.option(
    "--lease-seconds",
    type=click.IntRange(min=2, max=60),
    default=LEASE_SECONDS,
    help="How long the lease lasts.",
)
@click.option("--identity", default="", help="This operator's name in the Lease: its pod's. By default the host's.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@click.option("--log-format", type=click.Choice(logs.FORMATS), default="json")
def run(
    tick: float,
    watch_namespaces: str,
    listen: tuple[str, int],
    routes: bool,
    records: Path | None,
    records_size: int,
    ledger: str,
    ledger_timezone: str,
    currency: str,
    lease: str,
    lease_seconds: int,
    identity: str,
    log_level: str,
    log_format: str,
    **prometheus: Any,
) -> None:
    """Run the operator until it is told to stop. Every option is also FLYBALL_<OPTION> in the environment."""
    settings = Settings(
        prometheus=prometheus_settings(prometheus),
        tick_seconds=tick,
        namespaces=tuple(name.strip() for name in watch_namespaces.split(",") if name.strip()),
        listen=listen,
        log_level=log_level,
        log_format=log_format,
        routes=routes,
        records=records,
        records_bytes=records_size << 20,
        ledger=ledger,
        ledger_zone=ledger_timezone,
        currency=currency,
        lease=lease,
        lease_seconds=lease_seconds,
        identity=identity,
    )
    from flyball.lab.shadow import LabRivals
    from flyball.runtime.operator import run as run_operator

    logs.configure(log_level, log_format)
    try:
        asyncio.run(run_operator(settings, LabRivals()))
    except PortError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
            raise
        raise click.BadParameter(f"cannot listen there: {error}", param_hint="--listen") from error
