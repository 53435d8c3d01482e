"""The version before: the last tagged one, as git has it."""

from __future__ import annotations

import subprocess
import tarfile
from io import BytesIO
from typing import TYPE_CHECKING

from e2e.story.kit import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

BEFORE_TAGS = "53cddd1a50634539dbd1f5caeeab85ac8084fa14"
"""What stands for a previous release until there is a tag: before routes of several kinds, stages, segments, outcomes
and experiments came to the API."""


def previous(folder: Path) -> bool:
    """Put its sources into a folder; False where git does not have it, as in a shallow clone."""
    tag = _git("describe", "--tags", "--abbrev=0", "HEAD^").stdout.decode().strip()
    archive = _git("archive", tag or BEFORE_TAGS)
    if archive.returncode:
        return False
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return True


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(REPOSITORY), *arguments], capture_output=True, check=False)
