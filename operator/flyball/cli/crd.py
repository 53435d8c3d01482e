"""`flyball crd`: the CRDs, rendered from the models that the operator itself parses with."""

from pathlib import Path

import click

from flyball.api.crd import render_crds
from flyball.api.generated import sync_files
from flyball.api.reference import render_reference
from flyball.runtime.exporter import reference_page


@click.group()
def crd() -> None:
    """Work with Flyball's custom resource definitions."""


@crd.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for the plain CRDs.")
@click.option("--chart", type=click.Path(path_type=Path, file_okay=False), help="Folder for the chart's copies.")
@click.option(
    "--reference", type=click.Path(path_type=Path, file_okay=False), help="Folder for the field and metrics reference."
)
@click.option("--check", is_flag=True, help="Write nothing; print what differs and exit 1 if anything does.")
def render(out: Path | None, chart: Path | None, reference: Path | None, check: bool) -> None:
    """Write the CRDs, or check that the written ones are the models' own."""
    if out is None and chart is None and reference is None:
        raise click.UsageError(
            "name a folder: --out crds, --chart charts/flyball/templates/crds, --reference docs/reference"
        )
    differences = render_crds(out, chart, check=check)
    if reference is not None:
        differences += render_reference(reference, check=check)
        differences += sync_files(reference, {"metrics.md": reference_page()}, check=check)
    if check and differences:
        click.echo(differences, nl=False)
        raise click.ClickException("the CRDs are out of date; run `make crds` and commit the result")
