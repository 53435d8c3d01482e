"""What a load test brought, request by request, and the results file.

The file is CSV (`.csv`, `.csv.gz`) or one JSON object a line (`.jsonl`, `.jsonl.gz`), with these columns or keys. All
times are as the client saw them, in seconds; what is not known is empty in CSV and null in JSON.

| column | what |
|---|---|
| index | position in the trace as it was played, from 0 |
| tenant | the trace's tenant, or empty |
| scheduled_seconds | when the trace has the request, from the beginning of the run |
| send_lag_seconds | how much later it was sent: the generator's own lateness, not in any latency below |
| input_tokens, output_tokens | what the trace asks for |
| prompt_tokens | how many prompt tokens the server counted, where it says so |
| received_tokens | output tokens received: the server's count where it sends one, else the events with output |
| ttft_seconds | from sending (connecting included) to the first token |
| itl_mean_seconds | (last token − first token) / (received tokens − 1); not known for fewer than two |
| itl_max_seconds | the longest wait between two arrivals of tokens; not known for fewer than two |
| e2e_seconds | from sending to the end of the answer, or to the failure |
| status | the HTTP status, where there was one |
| error | empty, or one of ErrorKind's values |
| detail | what the error said |
| backend | which backend served it, where a response header tells |
"""

import csv
import gzip
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Any, get_args

SUFFIXES = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz")


class ErrorKind(StrEnum):
    """How a request failed."""

    NONE = ""
    CONNECT = "connect"
    """No connection: refused, reset before the answer began, no such name."""
    TIMEOUT = "timeout"
    """The client's own limit passed."""
    CLIENT_ERROR = "4xx"
    SERVER_ERROR = "5xx"
    PROTOCOL = "protocol"
    """An answer that is no stream of server-sent events: a redirect, plain JSON, a stream without a token."""
    STREAM = "stream"
    """The stream carried an error event."""
    TRUNCATED = "truncated"
    """The stream ended before its end was announced."""
    CANCELLED = "cancelled"
    """Still running when the user stopped the test."""
    REFUSED = "refused"
    """Never sent: as many requests were in flight as the user allowed."""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request; the module's docstring explains the fields."""

    index: int
    tenant: str
    scheduled_seconds: float
    send_lag_seconds: float | None
    input_tokens: int
    output_tokens: int
    prompt_tokens: int | None = None
    received_tokens: int = 0
    ttft_seconds: float | None = None
    itl_mean_seconds: float | None = None
    itl_max_seconds: float | None = None
    e2e_seconds: float | None = None
    status: int | None = None
    error: ErrorKind = ErrorKind.NONE
    detail: str = ""
    backend: str = ""

    @property
    def succeeded(self) -> bool:
        return self.error is ErrorKind.NONE


COLUMNS = tuple(field.name for field in fields(RequestRecord))


def write_results(records: Iterable[RequestRecord], path: Path) -> None:
    """Write the results file; the suffix (one of SUFFIXES) chooses its form. Times are rounded to a microsecond."""
    text = io.StringIO()
    rows = (_rounded(record) for record in records)
    if ".jsonl" in path.suffixes:
        text.writelines(f"{json.dumps(row)}\n" for row in rows)
    else:
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    content = text.getvalue().encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def read_results(path: Path) -> list[RequestRecord]:
    """Read a results file back. Raises ValueError for a file that is none."""
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    lines = io.StringIO(text, newline="")
    rows: Iterable[dict[str, Any]] = map(json.loads, lines) if ".jsonl" in path.suffixes else csv.DictReader(lines)
    try:
        return [RequestRecord(**{name: _parse(name, row[name]) for name in COLUMNS}) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is no results file of this version ({error}); write it again with flyball load --out"
        ) from None


def _rounded(record: RequestRecord) -> dict[str, object]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(record).items()}


_TYPES: dict[str, Any] = {field.name: field.type for field in fields(RequestRecord)}


def _parse(name: str, value: Any) -> Any:
    options = get_args(_TYPES[name]) or (_TYPES[name],)
    if value in ("", None) and NoneType in options:
        return None
    return options[0](value)
