"""The version before: the last tagged one, as git has it."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BEFORE_TAGS = "53cddd1a50634539dbd1f5caeeab85ac8084fa14"
"""What stands for a previous release until there is a tag: before routes of several kinds, stages, segments, outcomes
and experiments came to the API."""


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)


@pytest.fixture(scope="session")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the version before."""
    tag = _git("describe", "--tags", "--abbrev=0", "HEAD^").stdout.decode().strip()
    archive = _git("archive", tag or BEFORE_TAGS)
    if archive.returncode:
        pytest.skip("the version before is not at hand: this is no clone, or a shallow one")
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder
