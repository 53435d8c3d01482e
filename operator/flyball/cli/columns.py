"""Rows of text as aligned columns."""

from collections.abc import Iterator, Sequence


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Each row as a line, its cells as wide as the widest of their column."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))] if rows else []
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def table(rows: Sequence[Sequence[str]], names: int) -> Iterator[str]:
    """Columns side by side: the first `names` to the left, numbers to the right."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.ljust(width) if index < names else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
