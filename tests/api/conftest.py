"""Manifests that both Python and a real API server judge."""

from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest with the fragments that its refusal must contain, from Python and from the API server."""

    path: Path
    python: tuple[str, ...]
    server: tuple[str, ...]

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")


def manifests(folder: str) -> list[Manifest]:
    """The manifests of `accept` or `reject`.

    Comments at a file's head say `both:`, `python:` or `server:` and a fragment of the refusal.
    """
    return [_manifest(path) for path in sorted((DATA / folder).glob("*.yaml"))]


def _manifest(path: Path) -> Manifest:
    said: dict[str, list[str]] = {"both": [], "python": [], "server": []}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            who, _, fragment = line.removeprefix("# ").partition(": ")
            said[who].append(fragment)
    return Manifest(path, (*said["both"], *said["python"]), (*said["both"], *said["server"]))


def samples() -> list[Path]:
    """The samples that users copy from."""
    return sorted((ROOT / "docs" / "samples").glob("*.yaml"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give every test that asks for one `accepted`, `rejected` or `sample` all of them, named by file."""
    for argument, folder in (("accepted", "accept"), ("rejected", "reject")):
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, [pytest.param(m, id=m.path.stem) for m in manifests(folder)])
    if "sample" in metafunc.fixturenames:
        metafunc.parametrize("sample", [pytest.param(path, id=path.stem) for path in samples()])
