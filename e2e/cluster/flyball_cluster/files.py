"""Files that other processes may look at or want at the same time."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flyball_cluster.console import say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def write_if_changed(path: Path, content: str, mode: int = 0o644) -> None:
    """Write a file unless it says that already: kube-proxy ends itself whenever its configuration is written again."""
    if not path.exists() or path.read_text() != content:
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(content)
        partial.chmod(mode)
        partial.rename(path)


@contextmanager
def exclusive(path: Path, holder: str) -> Iterator[None]:
    """Let one process at a time go on, by a lock file; `holder` says in the message who is being waited for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for {holder}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
