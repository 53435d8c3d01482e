"""Request traces: when each request came, and how many tokens it asked and got.

A trace file is CSV, plain or gzipped, with a header and the columns `t_seconds,input_tokens,output_tokens`, and
optionally `cached_tokens,media_tokens,tenant` in any order; further columns are ignored. `t_seconds` is sorted and
counts from the trace's own beginning. `input_tokens` are all tokens of the prompt; `cached_tokens` (a shared prefix)
and `media_tokens` are parts of them.

A trace is never compressed in time, since that would shorten start-up times against the ramps. Its rate is scaled by
thinning, or by overlaying copies of it.
"""

import gzip
import io
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flyball.core.units import format_duration

Seconds = npt.NDArray[np.float64]
Tokens = npt.NDArray[np.int64]

REQUIRED_COLUMNS = ("t_seconds", "input_tokens", "output_tokens")
OPTIONAL_TOKEN_COLUMNS = ("cached_tokens", "media_tokens")
TENANT_COLUMN = "tenant"

MOST_TOKENS = 10_000_000
"""More than any model's context: such a count is a mistake in the file."""
MOST_BYTES = 2 << 30
MOST_REQUESTS = 20_000_000
LARGEST_SHIFT_SECONDS = 600.0


class InvalidTraceError(ValueError):
    """A trace that cannot be used; the message names the file, the line and column where there is one, and what to
    do.
    """


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in the order of their arrival; all arrays have one entry for each request.

    `t_seconds` counts from the beginning of the trace and is sorted; `span_seconds` is the trace's length, at least
    its last arrival.
    """

    name: str
    t_seconds: Seconds
    input_tokens: Tokens
    output_tokens: Tokens
    span_seconds: float
    cached_tokens: Tokens | None = None
    media_tokens: Tokens | None = None
    tenants: npt.NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.t_seconds)

    @property
    def mean_rate(self) -> float:
        """Requests per second over the whole span."""
        return len(self) / self.span_seconds if self.span_seconds > 0 else 0.0

    def slice(self, start_seconds: float, duration_seconds: float | None = None) -> "Trace":
        """The requests of [start, start + duration), with times counted from `start`. Raises InvalidTraceError when
        there are none.
        """
        end = math.inf if duration_seconds is None else start_seconds + duration_seconds
        first, last = np.searchsorted(self.t_seconds, [start_seconds, end], side="left")
        if first == last:
            raise InvalidTraceError(
                f"{self.name}: no requests from {format_duration(start_seconds)} on"
                + ("" if duration_seconds is None else f" for {format_duration(duration_seconds)}")
                + f"; the trace holds {len(self)} requests in {format_duration(self.span_seconds)}: "
                "choose another start or duration"
            )
        rows = self._rows(np.arange(first, last))
        span = min(end, max(self.span_seconds, start_seconds)) - start_seconds
        return replace(rows, t_seconds=rows.t_seconds - start_seconds, span_seconds=span)

    def scaled(self, rate_scale: float, seed: int) -> "Trace":
        """The same span at `rate_scale` times the rate.

        Below 1, requests are left out at random. Above 1, copies are laid over the trace: each is shifted by up to ten
        minutes (what leaves at the end comes in at the beginning), with all token counts drawn afresh, row by row,
        from the trace; the last copy is thinned to the fraction that is left. Raises InvalidTraceError for a scale
        that is not positive, or too large to hold.
        """
        if not (math.isfinite(rate_scale) and rate_scale > 0):
            raise InvalidTraceError(f"a rate scale of {rate_scale:g} is not possible; give a number above 0")
        if len(self) * rate_scale > MOST_REQUESTS:
            raise InvalidTraceError(
                f"{self.name}: {len(self)} requests at a rate scale of {rate_scale:g} are more than {MOST_REQUESTS}; "
                "give a smaller scale, or a shorter trace"
            )
        draw = np.random.default_rng(seed)
        copies, fraction = divmod(rate_scale, 1.0)
        times, rows = [], []
        for copy in range(math.ceil(rate_scale)):
            kept = np.arange(len(self)) if copy < copies else np.flatnonzero(draw.random(len(self)) < fraction)
            times.append(self.t_seconds[kept] if copy == 0 else self._shifted(kept, draw))
            rows.append(kept if copy == 0 else draw.integers(0, len(self), len(kept)))
        t_seconds, chosen = np.concatenate(times), np.concatenate(rows)
        if not len(t_seconds):
            raise InvalidTraceError(f"{self.name}: a rate scale of {rate_scale:g} leaves no request; give a larger one")
        order = np.argsort(t_seconds, kind="stable")
        return replace(self._rows(chosen[order]), t_seconds=t_seconds[order])

    def _shifted(self, kept: npt.NDArray[np.intp], draw: np.random.Generator) -> Seconds:
        shifted = self.t_seconds[kept] + draw.uniform(0.0, LARGEST_SHIFT_SECONDS)
        return shifted % self.span_seconds if self.span_seconds > 0 else self.t_seconds[kept]

    def _rows(self, rows: npt.NDArray[np.intp]) -> "Trace":
        return replace(
            self,
            t_seconds=self.t_seconds[rows],
            input_tokens=self.input_tokens[rows],
            output_tokens=self.output_tokens[rows],
            cached_tokens=None if self.cached_tokens is None else self.cached_tokens[rows],
            media_tokens=None if self.media_tokens is None else self.media_tokens[rows],
            tenants=None if self.tenants is None else self.tenants[rows],
        )


def read_trace(path: Path) -> Trace:
    """Read a trace file. Raises InvalidTraceError."""
    text = _read_text(path)
    header_line, separator, body = text.partition("\n")
    header = [name.strip().strip('"') for name in header_line.lstrip("\ufeff").split(",")]
    columns = _columns(path, header)
    if not separator or not body.strip():
        raise InvalidTraceError(f"{path}: no requests; a trace has a header and at least one line")
    values = _parse_numbers(path, body, columns)
    _check_values(path, body, columns, values)
    tokens = {name: values[:, index].astype(np.int64) for index, name in enumerate(columns) if name != "t_seconds"}
    t_seconds = np.ascontiguousarray(values[:, list(columns).index("t_seconds")])
    return Trace(
        name=path.name,
        t_seconds=t_seconds,
        input_tokens=tokens["input_tokens"],
        output_tokens=tokens["output_tokens"],
        span_seconds=float(t_seconds[-1]),
        cached_tokens=tokens.get("cached_tokens"),
        media_tokens=tokens.get("media_tokens"),
        tenants=_tenants(body, header.index(TENANT_COLUMN)) if TENANT_COLUMN in header else None,
    )


def write_trace(trace: Trace, path: Path) -> None:
    """Write a trace file, gzipped when its name ends in .gz; times to the millisecond. The same trace gives the same
    bytes.
    """
    columns: dict[str, list[str]] = {
        "t_seconds": [f"{t:.3f}" for t in trace.t_seconds.tolist()],
        "input_tokens": list(map(str, trace.input_tokens.tolist())),
        "output_tokens": list(map(str, trace.output_tokens.tolist())),
    }
    if trace.cached_tokens is not None:
        columns["cached_tokens"] = list(map(str, trace.cached_tokens.tolist()))
    if trace.media_tokens is not None:
        columns["media_tokens"] = list(map(str, trace.media_tokens.tolist()))
    if trace.tenants is not None:
        columns[TENANT_COLUMN] = trace.tenants.tolist()
    lines = map(",".join, zip(*columns.values(), strict=True))
    content = "\n".join([",".join(columns), *lines, ""]).encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as raw, gzip.open(raw) if path.suffix == ".gz" else raw as content:
            data = content.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise InvalidTraceError(f"{path}: no such file; give a trace file, or generate:conversation?rate=1") from None
    except EOFError:
        raise InvalidTraceError(f"{path}: the gzip data end too early; the file was cut off: copy it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InvalidTraceError(
            f"{path}: not valid gzip data ({error}); copy it again, or name it .csv if it is plain text"
        ) from None
    except OSError as error:
        raise InvalidTraceError(f"{path}: cannot be read ({error.strerror or error})") from None
    if len(data) > MOST_BYTES:
        raise InvalidTraceError(f"{path}: more than {MOST_BYTES >> 30} GiB of text; cut the trace into parts")
    if data.startswith(b"\x1f\x8b"):
        raise InvalidTraceError(f"{path}: holds gzip data; rename it to end in .csv.gz")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidTraceError(
            f"{path}, line {line}: not UTF-8 text; a trace is a CSV file, plain or as .csv.gz"
        ) from None


def _columns(path: Path, header: list[str]) -> dict[str, int]:
    """Position of each numeric column in a line, required ones first."""
    wanted = (*REQUIRED_COLUMNS, *(name for name in OPTIONAL_TOKEN_COLUMNS if name in header))
    if missing := [name for name in wanted if name not in header]:
        found = ", ".join(header)[:200] or "an empty line"
        raise InvalidTraceError(
            f"{path}, line 1: column {', '.join(missing)} is missing (found: {found}); "
            f"the header must name {', '.join(REQUIRED_COLUMNS)}"
        )
    return {name: header.index(name) for name in wanted}


def _parse_numbers(path: Path, body: str, columns: dict[str, int]) -> npt.NDArray[np.float64]:
    """One row for each request, one column for each of `columns`."""
    try:
        return np.loadtxt(
            io.StringIO(body),
            delimiter=",",
            usecols=list(columns.values()),
            ndmin=2,
            comments=None,
            quotechar='"',
            dtype=np.float64,
        )
    except (ValueError, IndexError) as error:
        for line, fields in _lines(body):
            for name, position in columns.items():
                if position >= len(fields):
                    raise _fault(
                        path, line, name, f"is missing, the line has only {len(fields)} fields", "complete it"
                    ) from None
                if not _is_number(fields[position]):
                    raise _fault(path, line, name, f"is {fields[position][:40]!r}", "give a number") from None
        raise InvalidTraceError(f"{path}: {error}; see that every line has the header's columns") from None


def _check_values(path: Path, body: str, columns: dict[str, int], values: npt.NDArray[np.float64]) -> None:
    for index, name in enumerate(columns):
        column = values[:, index]
        least = 1.0 if name in REQUIRED_COLUMNS[1:] else 0.0
        checks = [(~np.isfinite(column), "give a finite number")]
        if name == "t_seconds":
            checks.append((column < 0, "times count up from 0: subtract the first one"))
            checks.append(
                (np.diff(column, prepend=column[:1]) < 0, "that is before the line above: sort the file by t_seconds")
            )
        else:
            checks.append((column < least, f"give at least {least:g}, or leave the request out"))
            checks.append((column > MOST_TOKENS, f"no model takes more than {MOST_TOKENS} tokens: check the column"))
            checks.append((column != np.floor(column), "give a whole number"))
        if name == "cached_tokens":
            checks.append(
                (
                    column > values[:, list(columns).index("input_tokens")],
                    "it is a part of input_tokens: give no more than those",
                )
            )
        for wrong, fix in checks:
            if wrong.any():
                row = int(np.argmax(wrong))
                raise _fault(path, _line_of(body, row), name, f"is {column[row]:.15g}", fix)


def _fault(path: Path, line: int, column: str, what: str, fix: str) -> InvalidTraceError:
    return InvalidTraceError(f"{path}, line {line}, column {column}: {what}; {fix}")


def _lines(body: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers, counted from the header as 1, and fields of the lines that are not blank."""
    for line, text in enumerate(body.splitlines(), start=2):
        if text.strip():
            yield line, [field.strip().strip('"') for field in text.split(",")]


def _line_of(body: str, row: int) -> int:
    return next(line for index, (line, _) in enumerate(_lines(body)) if index == row)


def _tenants(body: str, position: int) -> npt.NDArray[np.str_]:
    return np.array([fields[position] if position < len(fields) else "" for _, fields in _lines(body)], dtype=np.str_)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
