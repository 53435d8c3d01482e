"""The field reference says what the schemas say."""

from pathlib import Path

from flyball.api.reference import reference_files, render_reference

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


def test_pages_on_disk_are_rendered_from_the_models() -> None:
    assert render_reference(FOLDER, check=True) == ""


def test_a_page_holds_fields_words_defaults_rules_and_objectives() -> None:
    page = reference_files()["workloadslo.md"]
    assert "| `workloadType` (required) | string |" in page
    assert "One of `Auto`, `Recommend`, `Paused`. Default: `Recommend`. |" in page
    assert "## spec.targets[].targetRef" in page
    assert "- minReplicas is greater than maxReplicas; lower minReplicas or raise maxReplicas" in page
    assert "| SupportBot | TimeToFirstToken | 500ms | 95% |" in page
