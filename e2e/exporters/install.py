"""Gets a stack what it needs, once, into a folder of its own in the user's cache, and runs its program there."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from e2e.exporters.stacks import Stack

INSTALL_SECONDS, RUN_SECONDS = 7200.0, 1800.0
TELL_SECONDS = 30.0
"""How often it is said that a program still runs."""
FREE_BYTES = 4 << 30
"""What the largest stack takes while it is installed, with room to spare."""
Say = Callable[[str], None]


class InstallError(Exception):
    """A stack cannot be had here; the message says why and what to do."""


def folder_of(stack: Stack) -> Path:
    """Where a stack is installed: another place for other versions of what it needs."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flyball" / "exporters"
    needs = hashlib.sha256("\0".join((*stack.packages, "", *stack.alone, "", *stack.sources)).encode()).hexdigest()[:8]
    return cache / f"{stack.name}-{needs}"


def printed(stack: Stack, say: Say) -> str:
    """What the stack's program prints; what it logs goes to a file beside it. Raises InstallError."""
    folder = folder_of(stack)
    folder.mkdir(parents=True, exist_ok=True)
    command, environment = _built(stack, folder, say) if stack.in_go else _installed(stack, folder, say)
    log, ends = folder / "log", time.monotonic() + RUN_SECONDS
    say(f"running, logging to {log}")
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **environment}, cwd=folder
        )
        while True:
            try:
                told, _ = process.communicate(timeout=TELL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                say("still running")
                if time.monotonic() > ends:
                    process.kill()
                    raise InstallError(f"it took longer than {RUN_SECONDS:.0f} s; see {log}") from None
    if process.returncode:
        shown = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
        raise InstallError(f"{command[0]} exited {process.returncode}; {log} ends with:\n{shown}")
    return told


def _built(stack: Stack, folder: Path, say: Say) -> tuple[Sequence[Path], Mapping[str, str]]:
    if shutil.which("go") is None:
        raise InstallError("go is not on the path: install Go 1.26 or newer")
    say("building with Go, whose own cache keeps what was downloaded and compiled")
    _run(["go", "build", "-o", folder / "program", "."], say, cwd=stack.source)
    return [folder / "program"], {}


def _installed(stack: Stack, folder: Path, say: Say) -> tuple[Sequence[Path], Mapping[str, str]]:
    python, done, sources = folder / "bin" / "python", folder / "installed", folder / "sources"
    if not done.exists():
        if (free := shutil.disk_usage(folder).free) < FREE_BYTES:
            raise InstallError(f"{folder} has {free >> 20} MiB left, {FREE_BYTES >> 20} are needed: make room")
        venv.create(folder, with_pip=True)
        say(f"installing {', '.join(stack.packages)}")
        _run([python, "-m", "pip", "install", "--progress-bar=off", *stack.packages], say)
        if stack.alone:
            say(f"installing {', '.join(stack.alone)}, without what it needs")
            _run([python, "-m", "pip", "install", "--progress-bar=off", "--no-deps", *stack.alone], say)
        for source in stack.sources:
            say(f"downloading {source}, of which the Python files are kept")
            _run(
                [python, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "-d", folder / "wheels", source],
                say,
            )
        for wheel in (folder / "wheels").glob("*.whl"):
            with zipfile.ZipFile(wheel) as packed:
                packed.extractall(sources, [name for name in packed.namelist() if name.endswith(".py")])
        shutil.rmtree(folder / "wheels", ignore_errors=True)
        done.touch()
    return [python, stack.source], {"PYTHONPATH": str(sources)}


def _run(command: Sequence[str | Path], say: Say, cwd: Path | None = None) -> None:
    """Run it, and tell what it does line by line; its whole output where it failed."""
    lines = list[str]()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd)
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip())
        if sys.stderr.isatty() or line.startswith(("Collecting", "Downloading", "Installing", "go: downloading")):
            say(line.strip()[:120])
    if process.wait(INSTALL_SECONDS):
        shown = "\n".join(lines[-20:])
        raise InstallError(f"{command[0]} exited {process.returncode}:\n{shown}")
