"""Generated files on disk: written, or compared with what they should be."""

import difflib
from collections.abc import Mapping
from pathlib import Path


def sync_files(folder: Path, files: Mapping[str, str], *, check: bool) -> str:
    """Write the files (text by name) into the folder, or with `check` leave it alone.

    Returns the unified diff between what lay there and what should: empty when there is none.
    """
    differences: list[str] = []
    for name, text in files.items():
        path = folder / name
        current = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = current.splitlines(keepends=True), text.splitlines(keepends=True)
        differences += difflib.unified_diff(*lines, str(path), f"{path} (rendered)")
    if not check:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    return "".join(differences)
