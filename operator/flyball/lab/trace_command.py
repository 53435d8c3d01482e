"""`flyball trace`: make traces, and look at them."""

from pathlib import Path

import click

from flyball.core.units import format_duration
from flyball.lab.generate import SCHEME, open_trace
from flyball.lab.trace import InvalidTraceError, Trace, write_trace


@click.group()
def trace() -> None:
    """Make request traces, and look at them."""


@trace.command()
@click.argument("profile")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Trace file to write, .csv or .csv.gz.",
)
def generate(profile: str, out: Path) -> None:
    """Write the trace of PROFILE, such as 'conversation?rate=0.8&duration=24h&daily=0.6&burst=0.3&seed=1'.

    \b
    Presets: conversation, code, long-context. Options, with their defaults:
      rate=1 (mean requests/s)  duration=1h  seed=1
      burst=0.25 (deviation of the rate from one window to the next)  window=60s
      daily=0 (swing around the mean, 0 to 1)  peak=14h
      step=10m:3 (from 10 minutes on three times the rate)  ramp=10m-20m:3
      input, inputSigma, inputMax, output, outputSigma, outputMax (tokens, log-normal)
    """
    if not out.name.endswith((".csv", ".csv.gz")):
        raise click.BadParameter(f"{out}: the name must end in .csv or .csv.gz", param_hint="--out")
    made = _open(profile if profile.startswith(SCHEME) else SCHEME + profile, "PROFILE")
    try:
        write_trace(made, out)
    except OSError as error:
        raise click.BadParameter(f"{out}: {error.strerror}", param_hint="--out") from None
    click.echo(f"{out}: {_describe(made)}")


@trace.command()
@click.argument("source", metavar="TRACE")
def show(source: str) -> None:
    """Say how long and how heavy TRACE is."""
    click.echo(f"{source}: {_describe(_open(source, 'TRACE'))}")


def _open(source: str, hint: str) -> Trace:
    try:
        return open_trace(source)
    except InvalidTraceError as error:
        raise click.BadParameter(str(error), param_hint=hint) from None


def _describe(made: Trace) -> str:
    return (
        f"{len(made)} requests in {format_duration(made.span_seconds)} ({made.mean_rate:.3f}/s), "
        f"on average {made.input_tokens.mean():.0f} input and {made.output_tokens.mean():.0f} output tokens"
    )
