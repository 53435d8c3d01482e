"""What `baseline` and `roi` share: a workload's spec, and its accounts from the ledger as the operator reads them."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from flyball.cli.ledger import ledger_option
from flyball.cli.options import Command, prometheus_options, prometheus_settings
from flyball.cli.past import WORKLOAD_OPTIONS, load_spec
from flyball.core.money.books import Account
from flyball.core.money.prices import in_force
from flyball.core.names import WorkloadKey
from flyball.core.ports import PortError
from flyball.core.spec import WorkloadSpec
from flyball.ledger.accounts import accounts
from flyball.ledger.store import Ledger
from flyball.telemetry.outcomes import OutcomeMetrics

Shares = dict[tuple[WorkloadKey, str], float]


def workload_options(command: Command) -> Command:
    """Which workload, where its spec is, and where the ledger and the guards' Prometheus are."""
    options = (ledger_option, *WORKLOAD_OPTIONS, prometheus_options(required=False))
    for option in reversed(options):
        command = option(command)
    return command


def spec_of(name: str | None, namespace: str, file: Path | None, now: float) -> WorkloadSpec:
    """The workload with the prices that hold now. Raises click's errors."""
    return in_force(load_spec(name, namespace, file), now)


def shares_of(spec: WorkloadSpec, begin: int, end: int, prometheus: dict[str, Any]) -> Shares:
    """What guards by a query gave in that stretch (milliseconds); none without a Prometheus to ask. Raises click's
    errors.
    """
    asked = [guard for guard in spec.value.guards if guard.query]
    if not asked or not prometheus["prometheus_url"]:
        return {}
    source = OutcomeMetrics(prometheus_settings(prometheus))

    async def ask() -> Shares:
        found = {guard.name: await source.share(guard.query, begin / 1000, end / 1000) for guard in asked}
        return {(spec.key, name): share for name, share in found.items() if share is not None}

    try:
        return asyncio.run(ask())
    except PortError as error:
        raise click.ClickException(str(error)) from error
    finally:
        source.close()


def account_of(ledger: Ledger, spec: WorkloadSpec, begin: int, end: int, now: int, shares: Shares) -> Account:
    """The account of one window."""
    return accounts(ledger, [spec], begin, end, now, shares, spec.key)[spec.key]


def booked(spec: WorkloadSpec) -> WorkloadSpec:
    """The spec with all of its ROI targets judged by the ledger: here there is no other account."""
    return replace(spec, roi_targets=tuple(replace(target, by_ledger=True) for target in spec.roi_targets))
