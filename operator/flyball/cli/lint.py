"""`flyball lint`: everything wrong with manifests before they are applied, with the field and the fix."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

from flyball.api.convert import read_workload
from flyball.api.crd import RESOURCES
from flyball.api.parse import parse_resource, unknown_fields
from flyball.api.pricing import no_book, usable_book
from flyball.api.resource import Resource
from flyball.api.sharing import discovers, to_demand_event
from flyball.api.v1alpha1 import DemandEvent, GPUPool, PriceBook
from flyball.core.fleet.zero import refusal
from flyball.core.spec import WorkloadSpec
from flyball.core.traffic.demand_events import EventPhase

Finding = dict[str, str]
KINDS: dict[str, type[Resource]] = {resource.names.kind: resource for resource in RESOURCES}


class _Loader(yaml.SafeLoader):
    """Reads times as texts, as Kubernetes does: a DemandEvent may write them without quotes."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path, dir_okay=False))
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def lint(files: tuple[Path, ...], output: str) -> None:
    """Check manifests of Flyball's resources. Exits 1 when an error was found; warnings do not fail."""
    findings = [finding for path in files for finding in _of_file(path)]
    if output == "json":
        click.echo(json.dumps({"findings": findings}, indent=2))
    else:
        for finding in findings:
            click.echo(f"{finding['level']}: {finding['file']}: {finding['object']}: {finding['text']}")
        click.echo(f"{len(files)} files, {len(findings)} findings")
    if any(finding["level"] == "error" for finding in findings):
        raise SystemExit(1)


def _of_file(path: Path) -> Iterator[Finding]:
    try:
        documents = [d for d in yaml.load_all(path.read_text(), _Loader) if d is not None]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        yield _finding("error", path, "-", f"not readable as YAML: {error}")
        return
    books = {}
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == "PriceBook":
            parsed = parse_resource(PriceBook, document)
            if isinstance(parsed, PriceBook):
                books[_name(document)] = parsed
    for document in documents:
        yield from _of_document(path, document, books)


def _of_document(path: Path, document: Any, books: dict[str, PriceBook]) -> Iterator[Finding]:
    kind = document.get("kind") if isinstance(document, dict) else None
    if kind not in KINDS:
        yield _finding("warning", path, str(kind), "not a Flyball resource, skipped")
        return
    name = f"{kind}/{_name(document)}"
    parsed = parse_resource(KINDS[kind], document)
    if isinstance(parsed, tuple):
        for error in parsed:
            yield _finding("error", path, name, str(error))
    for unknown in unknown_fields(KINDS[kind], document):
        yield _finding("error", path, name, str(unknown))
    if kind == "WorkloadSLO":
        converted = read_workload(document, books)
        for sentence in _of_workload(converted) if isinstance(converted, WorkloadSpec) else ():
            yield _finding("warning", path, name, sentence)
        if isinstance(converted, WorkloadSpec) and (mixed := _mixed(converted, books)):
            yield _finding("error", path, name, mixed)
    for sentence in _notes(parsed, time.time()):
        yield _finding("warning", path, name, sentence)


def _of_workload(spec: WorkloadSpec) -> Iterator[str]:
    """What is valid and will not be done."""
    yield from spec.not_acted_on
    if refused := refusal(spec):
        yield f"spec.scaling.scaleToZero: is refused: {refused[1]}"


def _mixed(spec: WorkloadSpec, books: dict[str, PriceBook]) -> str:
    """What is wrong where a workload's book, which is beside it, is in another currency."""
    name = spec.prices.book
    if name not in books or usable_book(name, books, spec.currency) is not None:
        return ""
    return f"spec.cost.priceBookRef: {no_book(name, books, spec.currency)}"


def _notes(parsed: object, now: float) -> Iterator[str]:
    """What is right, and perhaps not what was meant."""
    if isinstance(parsed, GPUPool) and discovers(parsed.spec):
        unsaid = ", ".join(stock.accelerator for stock in parsed.spec.inventory if stock.gpus is None)
        yield f"spec.inventory: {unsaid} without gpus is counted from the nodes, which takes gpuPools.discovery=true"
    if isinstance(parsed, DemandEvent) and to_demand_event("", "", parsed.spec).phase(now) is EventPhase.PAST:
        yield f"spec.end: {parsed.spec.end} is past; the event has no effect any more"


def _name(document: dict[str, Any]) -> str:
    metadata = document.get("metadata")
    return str(metadata.get("name", "?")) if isinstance(metadata, dict) else "?"


def _finding(level: str, path: Path, name: str, text: str) -> Finding:
    return {"level": level, "file": str(path), "object": name, "text": text}
