"""Reports in docs/benchmarks: one section for each part, rewritten when that part is measured again."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_section(report: Path, head: str, name: str, body: str) -> None:
    """Replace the section of that name, or add it; `head` is what stands above the first one. Sections are sorted."""
    sections = report.read_text().split("\n## ")[1:] if report.exists() else []
    kept = [section.rstrip() for section in sections if not section.startswith(f"{name}\n")]
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(head + "".join(f"\n## {section}\n" for section in sorted([*kept, f"{name}\n\n{body}"])))


def today() -> str:
    """The date of a report."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def machine() -> str:
    """Cores, memory and system of this machine."""
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {gibibytes:.0f} GiB, {system}"
