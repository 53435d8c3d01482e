"""Writing files that running processes may watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_if_changed(path: Path, content: str, mode: int = 0o644) -> None:
    """Write a file unless it says that already: kube-proxy ends itself whenever its configuration is written again."""
    if not path.exists() or path.read_text() != content:
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(content)
        partial.chmod(mode)
        partial.rename(path)
