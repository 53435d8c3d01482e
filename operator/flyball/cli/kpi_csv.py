"""Business outcomes in a CSV file: its rows as records, and what is wrong with the others by line and field."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

import click

from flyball.core.value.outcomes import COLUMNS, REQUIRED, BadRecord, Outcome, parse_record

SHOWN_ERRORS = 10


@dataclass(slots=True)
class Rows:
    """Reads records from a CSV file. Holds one row at a time."""

    file: IO[str]
    now: int
    bad: int = 0
    errors: list[str] = field(default_factory=list)

    def records(self) -> Iterator[Outcome]:
        """The rows that can be counted. Raises BadParameter where the file is no such CSV."""
        rows = csv.reader(_decoded(self.file))
        try:
            head = next(rows, [])
            _check_head(head)
            for row in rows:
                try:
                    if row:
                        yield _parsed(head, row, self.now)
                except BadRecord as error:
                    self.bad += 1
                    if len(self.errors) < SHOWN_ERRORS:
                        self.errors.append(f"line {rows.line_num}: {error}")
        except csv.Error as error:
            raise click.BadParameter(f"line {rows.line_num} is no CSV: {error}", param_hint="FILE") from error


def _parsed(head: list[str], row: list[str], now: int) -> Outcome:
    if len(row) > len(head):
        raise BadRecord("the line has more cells than the first one; quote cells that hold commas")
    return parse_record(dict(zip(head, row, strict=False)), now)


def _check_head(head: list[str]) -> None:
    if lacking := [name for name in REQUIRED if name not in head]:
        raise click.BadParameter(
            f"its first line lacks {', '.join(lacking)}; write the columns {','.join(COLUMNS)}", param_hint="FILE"
        )
    if unknown := [name for name in head if name not in COLUMNS]:
        raise click.BadParameter(f"{unknown[0]!r} is no column; write {','.join(COLUMNS)}", param_hint="FILE")
    if twice := [name for name in COLUMNS if head.count(name) > 1]:
        raise click.BadParameter(f"the column {twice[0]} is there twice; leave one out", param_hint="FILE")


def _decoded(file: IO[str]) -> Iterator[str]:
    """The lines, for as long as they are text. Raises BadParameter."""
    try:
        yield from file
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"it is not UTF-8: {error}", param_hint="FILE") from error
