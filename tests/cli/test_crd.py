"""`flyball crd render`: in sync, and what differs."""

from pathlib import Path

from click.testing import CliRunner

from flyball.cli.main import main

ROOT = Path(__file__).parents[2]
FOLDERS = ("--out", "crds", "--chart", "charts/flyball/templates/crds", "--reference", "docs/reference")


def test_what_is_committed_is_what_is_rendered(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(main, ["crd", "render", "--check", *FOLDERS])
    assert (done.exit_code, done.output) == (0, "")


def test_writes_and_then_finds_itself_in_sync_until_something_drifts(tmp_path: Path) -> None:
    folders = [str(tmp_path / part) if not part.startswith("--") else part for part in FOLDERS]
    assert CliRunner().invoke(main, ["crd", "render", *folders]).exit_code == 0
    assert CliRunner().invoke(main, ["crd", "render", "--check", *folders]).exit_code == 0
    page = tmp_path / "docs" / "reference" / "metrics.md"
    page.write_text(page.read_text().replace("flyball_replicas_ready", "flyball_replicas"))
    done = CliRunner().invoke(main, ["crd", "render", "--check", *folders])
    assert done.exit_code == 1
    assert "-| `flyball_replicas` |" in done.output
    assert "run `make crds`" in done.output
    assert "flyball_replicas_ready" not in page.read_text(), "a check writes nothing"


def test_without_a_folder_it_says_which_there_are() -> None:
    done = CliRunner().invoke(main, ["crd", "render", "--check"])
    assert done.exit_code == 2
    assert "--out crds" in done.output
