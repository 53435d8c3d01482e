"""Records in a folder of rotating files: a bounded size, the oldest dropped, a torn line skipped.

Files are `decisions-NNNNNNNN.jsonl`; the highest number is written to. A process that died while writing leaves a line
without an end: the next one begins a new line, and readers skip what is not whole. Nothing is synced: after a power cut
the last seconds may be missing, and decisions are made without them.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from flyball.ledger.record import Record, UnreadableRecord, decode

FILES = 8
"""The bound on the folder's size is kept by dropping whole files, of which this many hold it."""
SMALLEST_BYTES = 1 << 20
_NAME = re.compile(r"decisions-(\d{8})\.jsonl")
_ID = re.compile(r"[0-9a-f]{12}")


class RecordFiles:
    """Appends lines to the folder, which is created when needed. Not safe for several threads or processes.

    `most_bytes` bounds the size of all files together.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        if most_bytes < SMALLEST_BYTES:
            raise ValueError(f"{most_bytes} bytes are too few for records; give {SMALLEST_BYTES} or more")
        self._folder = folder
        self._file_bytes = most_bytes // FILES

    def append(self, lines: bytes) -> None:
        """Write whole lines to the newest file, or to a new one where it is full. Raises OSError."""
        files = files_of(self._folder)
        size = files[-1].stat().st_size if files else 0
        if not files or (size and size + len(lines) > self._file_bytes):
            self._folder.mkdir(parents=True, exist_ok=True)
            number = int(files[-1].stem.removeprefix("decisions-")) + 1 if files else 1
            files.append(self._folder / f"decisions-{number:08d}.jsonl")
            size = 0
            for old in files[:-FILES]:
                old.unlink(missing_ok=True)
        with files[-1].open("ab") as file:
            file.write((b"\n" if size and not _ends_a_line(files[-1]) else b"") + lines)


def files_of(folder: Path) -> list[Path]:
    """The folder's record files, oldest first; none where there is no such folder."""
    return sorted(path for path in folder.glob("decisions-*.jsonl") if _NAME.fullmatch(path.name))


def find_line(folder: Path, decision_id: str) -> bytes | None:
    """The newest whole line of that decision; None where there is none. Raises OSError."""
    if not _ID.fullmatch(decision_id):
        return None
    start = f'{{"id":"{decision_id}",'.encode()
    for path in reversed(files_of(folder)):
        found = [line for line in _lines(path) if line.startswith(start)]
        if found:
            return found[-1]
    return None


def read_all(folder: Path) -> Iterator[Record]:
    """Every readable record, oldest first. Raises OSError."""
    for path in files_of(folder):
        for line in _lines(path):
            try:
                yield decode(line)
            except UnreadableRecord:
                continue


def _lines(path: Path) -> Iterator[bytes]:
    """The lines that have an end."""
    try:
        with path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))
    except FileNotFoundError:  # dropped since the folder was listed
        return


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
