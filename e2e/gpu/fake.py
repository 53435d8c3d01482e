"""GPUs without GPUs: the libnvidia-ml.so.1 of fake_nvml.c, compiled here, and the script that it answers from."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("fake_nvml.c")
LIBRARY = "libnvidia-ml.so.1"

_xids = itertools.count(1)


def build(folder: Path) -> Path:
    """Compile the library into a folder, under the name by which pynvml asks for it."""
    library = folder / LIBRARY
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", f"-Wl,-soname,{LIBRARY}"]
    subprocess.run([*command, "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


class Script:
    """What the GPUs are like; lines are those that fake_nvml.c describes. Every change counts from the next call on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: list[str] = []
        self.write()

    def write(self, *lines: object) -> None:
        """These lines and no others."""
        self._lines = [str(line) for line in lines]
        self._save()

    def add(self, *lines: object) -> None:
        """These lines beside the others."""
        self.write(*self._lines, *lines)

    def drop(self, beginning: str) -> None:
        """The lines without those that begin so."""
        self.write(*(line for line in self._lines if not line.startswith(beginning)))

    def xid(self, gpu: int, code: int) -> None:
        """An XID error happens."""
        self.add(f"xid {next(_xids)} {gpu} {code}")

    def _save(self) -> None:
        # Put in place in one go: a script that is read while it is written would have its end missing.
        new = self.path.with_suffix(".new")
        new.write_text("\n".join([*self._lines, ""]))
        new.replace(self.path)
