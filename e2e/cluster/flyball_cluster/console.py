"""What the driver tells its user, and the commands it runs on their behalf."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flyball_cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

TAIL_LINES = 15


def say(message: str) -> None:
    """Print one line of progress to standard error, so that standard output stays for results."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Say how long a step took once it is done."""
    started = time.monotonic()
    yield
    say(f"  {what}: {time.monotonic() - started:.1f} s")


def run(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, text: str | None = None) -> str:
    """Run a command to its end and return its standard output.

    Raises ClusterError with the command and the tail of its standard error when it fails or does not exist.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(words, env=env, input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ClusterError(f"{words[0]} is not installed (needed for: {' '.join(words)})") from error
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-TAIL_LINES:])
        raise ClusterError(f"{' '.join(words)} failed with exit code {done.returncode}:\n{tail}")
    return done.stdout


def succeeds(argv: Sequence[str | Path]) -> bool:
    """Whether a command exists and exits with 0."""
    try:
        return subprocess.run([str(word) for word in argv], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], *, what: str, timeout_seconds: float, poll_seconds: float = 0.2) -> None:
    """Poll until the condition holds; raises ClusterError naming what was waited for when it does not in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ClusterError(f"waited {timeout_seconds:.0f} s for {what} in vain")
        time.sleep(poll_seconds)
