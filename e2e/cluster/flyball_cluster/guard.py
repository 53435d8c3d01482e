"""Ends what a process started, and removes its folder, when that process is gone: however it went, SIGKILL too.

A second process waits for the end of a pipe whose other end the first one holds. The kernel closes that whatever
happens, so there is no signal that leaves a server behind. What is to end carries the folder's mark
(`processes.MARK`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flyball_cluster.processes import Processes, end

if TYPE_CHECKING:
    from collections.abc import Iterator

_GRACE_SECONDS = 5.0


@contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """While this lasts, and whenever this process ends in it, nothing that carries the folder's mark outlives it."""
    command = [sys.executable, "-c", "from flyball_cluster.guard import main; main()", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    # A session of its own: a signal to all of this process's group is not for the one that cleans up.
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, start_new_session=True) as watcher:
        try:
            yield
        finally:
            watcher.communicate()


def main() -> None:
    """Wait until nobody holds the pipe, then clean up."""
    folder = Path(sys.argv[1])
    sys.stdin.buffer.read()
    end(Processes(folder).stragglers(), _GRACE_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
