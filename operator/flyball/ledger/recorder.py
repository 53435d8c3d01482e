"""Records written beside the loop: a tick hands them over and goes on. A failing disk costs records, no decisions."""

import queue
import threading
from pathlib import Path

import structlog

from flyball.ledger.files import RecordFiles, find_line
from flyball.ledger.record import Record, encode

WAITING_LIMIT = 20_000
"""Records that may wait to be written: a first tick of ten thousand workloads, twice."""
BATCH_BYTES = 256 * 1024
CLOSE_SECONDS = 5.0

log = structlog.get_logger("flyball.ledger")


class Recorder:
    """Takes records from any thread and writes them in one of its own, from `start` to `close`.

    `recorded` counts those on disk, `lost` those that were not written: the disk failed, or too many waited.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._files = RecordFiles(folder, most_bytes)
        self._waiting: queue.Queue[Record | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="records", daemon=True)
        self._failing = False
        self.recorded = 0
        self.lost = 0

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def record(self, record: Record) -> None:
        """Hand a record over. Never waits and never raises."""
        if self._waiting.qsize() >= WAITING_LIMIT:
            self.lost += 1
            return
        self._waiting.put(record)

    def close(self) -> None:
        """Write what waits, for a few seconds at most, and stop."""
        self._waiting.put(None)
        self._thread.join(CLOSE_SECONDS)

    def find_line(self, decision_id: str) -> bytes | None:
        """The line of that decision; None where it is not recorded, or cannot be read."""
        try:
            return find_line(self._folder, decision_id)
        except OSError as error:
            log.warning("decision records cannot be read", folder=str(self._folder), error=str(error))
            return None

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            lines, count, last = self._batch(first)
            if count:
                self._write(lines, count)
            if last:
                return

    def _batch(self, first: Record) -> tuple[bytes, int, bool]:
        """What waits, as lines up to a size, how many they are, and whether the end was seen."""
        lines, count = bytearray(), 0
        record: Record | None = first
        while record is not None:
            try:
                lines += encode(record)
                count += 1
            except ValueError as error:
                self._lose(1, f"decision {record.id} cannot be written as JSON: {error}")
            if len(lines) >= BATCH_BYTES:
                return bytes(lines), count, False
            try:
                record = self._waiting.get_nowait()
            except queue.Empty:
                return bytes(lines), count, False
        return bytes(lines), count, True

    def _write(self, lines: bytes, count: int) -> None:
        try:
            self._files.append(lines)
        except OSError as error:
            self._lose(count, f"{error.strerror or error}")
            return
        self.recorded += count
        if self._failing:
            self._failing = False
            log.info("decisions are recorded again", folder=str(self._folder), lost=self.lost)

    def _lose(self, count: int, why: str) -> None:
        """Count, and say so once until it works again."""
        self.lost += count
        if not self._failing:
            self._failing = True
            log.warning("decisions are not recorded", folder=str(self._folder), error=why)
