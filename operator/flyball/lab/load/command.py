"""`flyball load`: play a trace against a server."""

import asyncio
import json
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from flyball.core.units import format_duration, parse_duration_seconds
from flyball.lab.generate import open_trace
from flyball.lab.load.objectives import LoadObjective, parse_objective
from flyball.lab.load.progress import ProgressLine
from flyball.lab.load.results import SUFFIXES, write_results
from flyball.lab.load.runner import LoadOptions, LoadPlan, LoadResult, run_load
from flyball.lab.load.summary import summarize, summary_lines
from flyball.lab.load.target import InvalidTargetError
from flyball.lab.trace import InvalidTraceError, Trace

_SPARE_FILES = 64
_FIRST_EXIT_OF_SIGNALS = 128


class Parsed(click.ParamType[Any]):
    """An option whose text a function parses; its ValueError is the message."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _parse_header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or not name.isascii() or any(letter in text for letter in "\r\n\0"):
        raise ValueError(f"{text!r} is not a header; write 'Name: value'")
    return name.strip(), value.strip()


def _parse_limit(text: str) -> float:
    seconds = parse_duration_seconds(text)
    if seconds == 0:
        raise ValueError(f"{text!r} leaves no time; give more than 0")
    return seconds


def _parse_out(text: str) -> Path:
    path = Path(text)
    if not text.endswith(SUFFIXES):
        raise ValueError(f"{text!r}: the name must end in {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise ValueError(f"{text!r}: there is no folder {path.parent}; create it first")
    return path


DURATION = Parsed("duration", parse_duration_seconds)


@click.command()
@click.argument("trace")
@click.option("--url", required=True, help="The server's base URL, e.g. http://127.0.0.1:8000.")
@click.option(
    "--rate-scale",
    type=float,
    default=1.0,
    show_default=True,
    help="Below 1 thins the trace, above 1 overlays shifted copies.",
)
@click.option("--start", type=DURATION, default="0s", show_default=True, help="Where in the trace to begin.")
@click.option("--duration", type=DURATION, help="How much of the trace to play.  [default: to its end]")
@click.option("--model", help="The model that requests name.  [default: none, the server takes its own]")
@click.option("--api", type=click.Choice(["completions", "chat"]), default="completions", show_default=True)
@click.option(
    "--timeout",
    type=Parsed("duration", _parse_limit),
    default="5m",
    show_default=True,
    help="Limit for one request, start to end.",
)
@click.option(
    "--header",
    "headers",
    type=Parsed("header", _parse_header),
    multiple=True,
    help="'Name: value', for every request; repeatable.",
)
@click.option("--host-header", help="The virtual host that a gateway routes by.")
@click.option("--backend-header", help="The response header that names the backend.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option(
    "--max-in-flight",
    type=click.IntRange(min=1),
    default=4096,
    show_default=True,
    help="Requests beyond it are counted, not sent.",
)
@click.option(
    "--objective",
    "objectives",
    type=Parsed("objective", parse_objective),
    multiple=True,
    help="'TimeToFirstToken<1s@95%'; repeatable.",
)
@click.option(
    "--out",
    type=Parsed("file", _parse_out),
    help=f"Results file, one line a request ({', '.join(SUFFIXES)}); a .summary.json beside it.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of the summary.",
)
@click.option(
    "--allow-external",
    is_flag=True,
    help="Send load to addresses outside this machine and private networks. They must be yours.",
)
def load(
    trace: str, url: str, rate_scale: float, start: float, duration: float | None, model: str | None, api: str,
    timeout: float, headers: tuple[tuple[str, str], ...], host_header: str | None, backend_header: str | None,
    seed: int, max_in_flight: int, objectives: tuple[LoadObjective, ...], out: Path | None, output: str,
    allow_external: bool,
) -> None:  # fmt: skip
    """Play TRACE against a server, open loop, and measure what its clients see.

    TRACE is a file (CSV or CSV.gz: t_seconds,input_tokens,output_tokens) or a profile such as
    'generate:conversation?rate=2&seed=1'. Requests leave at the trace's own times; it is never compressed in time.

    Exit status: 0 when any request succeeded, 1 when none did, 2 for wrong usage, 130 after Ctrl-C (the summary is of
    what was done).
    """
    try:
        played = _cut(open_trace(trace).scaled(rate_scale, seed), start, duration)
    except InvalidTraceError as error:
        raise click.BadParameter(str(error), param_hint="TRACE") from None
    options = LoadOptions(
        timeout_seconds=timeout,
        headers=dict(headers) | ({"Host": host_header} if host_header else {}),
        seed=seed,
        max_in_flight=_affordable(max_in_flight),
        allow_external=allow_external,
    )
    if backend_header:
        options = replace(options, backend_headers=(backend_header,))
    try:
        result, stopped_by = asyncio.run(_play(LoadPlan(played, url, model, api), options))
    except InvalidTargetError as error:
        raise click.BadParameter(str(error), param_hint="--url") from None
    summary = summarize(result, objectives) | {"rateScale": rate_scale, "traceStartSeconds": start, "seed": seed}
    _publish(result, summary, out, output)
    if stopped_by:
        sys.exit(_FIRST_EXIT_OF_SIGNALS + stopped_by)
    sys.exit(0 if summary["completed"] else 1)


def _cut(trace: Trace, start: float, duration: float | None) -> Trace:
    if duration is not None and start + duration > trace.span_seconds + 1:
        click.echo(f"The trace ends at {format_duration(trace.span_seconds)}: played to its end.", err=True)
    return trace.slice(start, duration)


def _affordable(max_in_flight: int) -> int:
    """Raise the limit of open files as far as allowed; each request in flight needs one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max_in_flight + _SPARE_FILES
    if soft < wanted:
        soft = min(wanted, hard) if hard != resource.RLIM_INFINITY else wanted
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < wanted:
        click.echo(
            f"This machine allows {soft} open files: at most {soft - _SPARE_FILES} requests will be in flight.",
            err=True,
        )
    return min(max_in_flight, soft - _SPARE_FILES)


async def _play(plan: LoadPlan, options: LoadOptions) -> tuple[LoadResult, int]:
    """Run the load; the first SIGINT or SIGTERM stops it in good order, a second one at once. Also gives the signal's
    number, or 0.
    """
    loop, stop, caught = asyncio.get_running_loop(), asyncio.Event(), []

    def interrupt(number: int) -> None:
        caught.append(number)
        stop.set()
        click.echo(
            f"\nStopping; waiting up to {format_duration(options.grace_seconds)} for what is in flight.", err=True
        )
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt, number)
    line = ProgressLine(sys.stderr)
    result = await run_load(plan, options, line.show, stop, line.every_seconds)
    return result, caught[0] if caught else 0


def _publish(result: LoadResult, summary: dict[str, Any], out: Path | None, output: str) -> None:
    if out is not None:
        write_results(result.records, out)
        name = out.name
        for suffix in sorted(SUFFIXES, key=len, reverse=True):
            name = name.removesuffix(suffix)
        out.with_name(f"{name}.summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    click.echo(json.dumps(summary, indent=2) if output == "json" else "\n".join(summary_lines(summary)))
