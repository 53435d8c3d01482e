"""Long-running processes that outlive the command that started them, found again by process id and start time.

A process id alone may have been given to somebody else since; together with the boot's id and the start time in clock
ticks it names one process for good. Every process also carries the runtime folder in an environment variable, so that
its children (containerd's shims) and any whose record was lost are found as well.
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flyball_cluster.console import TAIL_LINES
from flyball_cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MARK = "FLYBALL_CLUSTER_OWNER"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_POLL_SECONDS = 0.05
# Killed processes end at once, but the machine may stand still meanwhile: returning with one alive would let a start
# right afterwards take it for a process that runs.
_KILLED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one process from every other that had or will have its number."""

    pid: int
    start_ticks: int
    boot: str


@dataclass(frozen=True, slots=True)
class Record:
    """A process as it was started, enough to start it again."""

    identity: Identity
    argv: list[str]
    environment: dict[str, str]


def identify(pid: int) -> Identity | None:
    """The identity of a live process, None for one that is gone or only waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, start_ticks = fields[0], int(fields[19])
    return None if state in "ZX" else Identity(pid, start_ticks, BOOT_ID.read_text().strip())


class Processes:
    """The processes of one runtime folder."""

    def __init__(self, runtime: Path) -> None:
        self._mark = str(runtime)
        self._records = runtime / "processes"
        self._logs = runtime / "logs"

    def log(self, name: str) -> Path:
        """The file that takes a process's output."""
        return self._logs / f"{name}.log"

    def names(self) -> list[str]:
        """Every process ever started here and not stopped through here."""
        return sorted(path.stem for path in self._records.glob("*.json"))

    def pid(self, name: str) -> int | None:
        """Process id of a live process, else None."""
        record = self._read(name)
        if record is None or identify(record.identity.pid) != record.identity:
            return None
        return record.identity.pid

    def start(self, name: str, argv: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Start a process in a session of its own, unless it already runs."""
        if self.pid(name) is not None:
            return
        self._records.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        words, extra = [str(word) for word in argv], dict(environment or {})
        pid = _spawn(words, {**os.environ, **extra, MARK: self._mark}, self.log(name))
        identity = identify(pid)
        if identity is None:
            raise ClusterError(f"{name} ended at once; {self.log_tail(name)}")
        record = Record(identity, words, extra)
        partial = self._records / f"{name}.partial"
        partial.write_text(json.dumps(asdict(record)))
        partial.rename(self._records / f"{name}.json")

    def restart(self, name: str) -> None:
        """Stop a process and start it again as it was started; raises ClusterError for a name never started here."""
        record = self._read(name)
        if record is None:
            raise ClusterError(f"no process {name} here; there are: {', '.join(self.names()) or 'none'}")
        self.stop([name], forget=False)
        self.start(name, record.argv, record.environment)

    def stop(self, names: Iterable[str], *, grace_seconds: float = 5.0, forget: bool = True) -> None:
        """Ask processes to end, all at once, and kill those that have not within the grace period."""
        records = {name: record for name in names if (record := self._read(name))}
        end([record.identity for record in records.values()], grace_seconds)
        if forget:
            for name in records:
                (self._records / f"{name}.json").unlink(missing_ok=True)

    def stragglers(self) -> list[Identity]:
        """Every live process that carries this runtime folder's mark, recorded or not."""
        marked = f"{MARK}={self._mark}".encode()
        found: list[Identity] = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                variables = (folder / "environ").read_bytes().split(b"\0")
                if marked in variables and (identity := identify(int(folder.name))):
                    found.append(identity)
        return found

    def require(self, name: str) -> None:
        """Raise ClusterError with the end of its log when a process has ended."""
        if self.pid(name) is None:
            raise ClusterError(f"{name} has ended; {self.log_tail(name)}")

    def log_tail(self, name: str) -> str:
        """The end of a process's log, for an error message."""
        path = self.log(name)
        lines = path.read_text(errors="replace").splitlines()[-TAIL_LINES:] if path.exists() else []
        return f"the end of {path}:\n" + "\n".join(lines)

    def _read(self, name: str) -> Record | None:
        try:
            content = json.loads((self._records / f"{name}.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return Record(Identity(**content["identity"]), content["argv"], content["environment"])


def end(identities: Sequence[Identity], grace_seconds: float) -> None:
    """End exactly these processes: SIGTERM, then SIGKILL for what is left after the grace period."""
    for signum, patience in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, _KILLED_SECONDS)):
        left = [identity for identity in identities if identify(identity.pid) == identity]
        for identity in left:
            with suppress(ProcessLookupError):
                os.kill(identity.pid, signum)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and any(identify(identity.pid) == identity for identity in left):
            for identity in left:
                _reap(identity.pid)
            time.sleep(_POLL_SECONDS)


def _spawn(words: list[str], environment: Mapping[str, str], log: Path) -> int:
    """Start a process in a session of its own, its output appended to a file, and return its id."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    try:
        return os.posix_spawnp(words[0], words, environment, file_actions=actions, setsid=True)
    except FileNotFoundError:
        raise ClusterError(f"{words[0]} is not installed or not on PATH") from None


def _reap(pid: int) -> None:
    """Collect a process that has ended if it is our own child; it would stay as a zombie while this process lives."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
