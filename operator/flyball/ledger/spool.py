"""Rows of more records than memory should hold, put apart by their keys, so that each part is written by itself.

Keys are hashes: twenty thousand of them as they come lie on twenty thousand pages of the database, and every one of
these would be written for one row. All rows of a part lie side by side there, and the rows of one key stay in the order
in which they came. What one part takes is little; beyond `HELD` bytes rows wait in temporary files.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from struct import Struct
from typing import IO, Self

import numpy as np

from flyball.ledger.outcome_rows import ROW
from flyball.ledger.outcomes import Row

MOST_PARTS = 256
"""As many temporary files are open at most."""
HELD = 16 << 20
_PACKED = Struct("<qiqqqqb")
_KEYS = 1 << 64


class Spool:
    """Rows in so many parts. A context: on leaving it the files are gone. Raises OSError where these find no room."""

    def __init__(self, parts: int) -> None:
        self._parts = min(max(1, parts), MOST_PARTS)
        self._held = [bytearray() for _ in range(self._parts)]
        self._files: dict[int, IO[bytes]] = {}
        self._most = HELD // self._parts
        self._stack = ExitStack()
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, row: Row) -> None:
        """Put a row to those of its part."""
        part = (row[0] + _KEYS // 2) * self._parts // _KEYS
        held = self._held[part]
        held += _PACKED.pack(*row)
        self.rows += 1
        if len(held) > self._most:
            if part not in self._files:
                file: IO[bytes] = tempfile.TemporaryFile(prefix="flyball-")  # noqa: SIM115 - the stack closes it
                self._files[part] = self._stack.enter_context(file)
            self._files[part].write(held)
            held.clear()

    def parts(self) -> Iterator[np.ndarray]:
        """Every part once, as rows of `ROW` sorted by key; rows of the same key as they came."""
        for part, held in enumerate(self._held):
            packed = bytes(held)
            held.clear()
            if part in self._files:
                self._files[part].seek(0)
                packed = self._files[part].read() + packed
                self._files.pop(part).close()
            rows = np.frombuffer(packed, ROW)
            yield rows[np.argsort(rows["key"], kind="stable")]
