"""`flyball replay`: a recorded decision made again, with its causes, and whether it came out the same bit for bit."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import click

from flyball import __version__
from flyball.cli.options import ENVIRONMENT
from flyball.core.decision import Decision
from flyball.ledger.files import files_of, find_line
from flyball.ledger.record import Record, UnreadableRecord, decode
from flyball.ledger.replay import Replay
from flyball.ledger.replay import replay as decide_again

FETCH_SECONDS = 30
MOST_DIFFERENCES = 20


@click.command(context_settings=ENVIRONMENT)
@click.argument("decision_id")
@click.option("--records", type=click.Path(path_type=Path), help="Folder of records, as the operator writes it.")
@click.option("--url", help="Base URL of a running operator's endpoints, for example http://localhost:8080.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def replay(decision_id: str, records: Path | None, url: str | None, output: str) -> None:
    """Make decision DECISION_ID again from its record. Exits 1 when it comes out differently.

    The id stands in a WorkloadSLO's status.lastDecision and in the operator's log.
    """
    if url:
        line = asyncio.run(_fetch(url, decision_id))
    elif records:
        line = _read(records, decision_id)
    else:
        raise click.UsageError("say where the record is: --records FOLDER, or --url of a running operator")
    try:
        record = decode(line)
    except UnreadableRecord as error:
        raise click.ClickException(f"the record of decision {decision_id} cannot be read: {error}") from error
    found = decide_again(record)
    if output == "json":
        click.echo(json.dumps(_document(record, found), indent=2))
    else:
        for text in (*_decided(record), *_compared(record, found)):
            click.echo(text)
    if not found.equal:
        raise SystemExit(1)


def _read(folder: Path, decision_id: str) -> bytes:
    try:
        line = find_line(folder, decision_id)
        if line is None and not files_of(folder):
            raise click.BadParameter(f"{folder} holds no records (decisions-*.jsonl)", param_hint="--records")
    except OSError as error:
        raise click.BadParameter(f"cannot be read: {error}", param_hint="--records") from error
    if line is None:
        raise click.ClickException(f"decision {decision_id} is not recorded in {folder}, or was dropped by now")
    return line


async def _fetch(url: str, decision_id: str) -> bytes:
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url.rstrip('/')}/decisions/{decision_id}") as response,
        ):
            body = await response.read()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        why = f"{url} does not answer ({str(error) or 'no answer in time'}): is its port forwarded?"
        raise click.ClickException(why) from error
    if response.status != 200:
        raise click.ClickException(f"{url} answers {response.status}: {body[:200].decode(errors='replace').strip()}")
    return body


def _decided(record: Record) -> Iterator[str]:
    decision = record.decision
    yield f"decision {record.id} of {decision.key} at {_time(decision)} in mode {decision.mode}"
    for variant in decision.variants:
        limit = f" (limited by {variant.limited_by})" if variant.limited_by else ""
        yield f"{variant.name}: {variant.current} now, {variant.desired} wanted{limit}"
        yield from (f"  because {cause.text}" for cause in variant.causes)
    declared = record.spec.fallback.routes if record.spec.fallback else ()
    for route, decided in zip(declared, decision.routes, strict=False):
        weights = "its own weights" if decided.weights is None else f"weights {decided.weights[0]}:{decided.weights[1]}"
        yield f"{route}{f', rule {route.rule_name}' if route.rule_name else ''}: {weights}"
    yield from (f"Event {event.reason}: {event.message}" for event in decision.events)


def _compared(record: Record, found: Replay) -> Iterator[str]:
    if found.equal:
        yield f"equal: made again by Flyball {__version__}, it is the same in every bit"
        return
    yield f"different: made again by Flyball {__version__}, it differs in {len(found.differences)} places"
    if record.version != __version__:
        yield f"  it was recorded by Flyball {record.version}, whose rules may be others"
    for difference in found.differences[:MOST_DIFFERENCES]:
        yield f"  {difference.path}: recorded {difference.recorded}, now {difference.replayed}"
    if len(found.differences) > MOST_DIFFERENCES:
        yield f"  and {len(found.differences) - MOST_DIFFERENCES} more; -o json shows all"


def _document(record: Record, found: Replay) -> dict[str, Any]:
    decision = record.decision
    return {
        "id": record.id,
        "workload": str(decision.key),
        "time": _time(decision),
        "recordedBy": record.version,
        "replayedBy": __version__,
        "equal": found.equal,
        "differences": [asdict(difference) for difference in found.differences],
        "targets": [
            {
                "name": variant.name,
                "current": variant.current,
                "desired": variant.desired,
                "limitedBy": variant.limited_by,
                "causes": [{"code": c.code, "text": c.text, "numbers": dict(c.numbers)} for c in variant.causes],
            }
            for variant in decision.variants
        ],
        "summary": decision.summary,
    }


def _time(decision: Decision) -> str:
    return datetime.fromtimestamp(decision.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
