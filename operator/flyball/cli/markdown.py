"""Markdown from data: what users wrote stays text, whatever characters it has."""

import re
from collections.abc import Sequence

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&!])")


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, names: int = 1) -> list[str]:
    """A table; the first `names` columns to the left, the others to the right. Cells are escaped here."""
    lines = ["| " + " | ".join(escaped(cell) for cell in head) + " |"]
    lines += ["|" + "|".join("---" if index < names else "---:" for index in range(len(head))) + "|"]
    return lines + ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows]
