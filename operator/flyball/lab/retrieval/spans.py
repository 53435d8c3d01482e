"""Spans of requests, sent to an OpenTelemetry Collector as OTLP over HTTP in its JSON form (opentelemetry-proto 1.0).

Written here rather than taken from OpenTelemetry's SDK: the image would carry a dozen packages for one POST.
"""

import asyncio
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import aiohttp

SCOPE = "flyball.retrieval"
FLUSH_SECONDS = 1.0
MOST_WAITING = 4096
"""Spans that wait for the collector; of more, the newest are dropped: an application outlives its collector."""


class Kind(IntEnum):
    """A span's kind, by OTLP's numbers."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3


@dataclass(frozen=True, slots=True)
class Span:
    """One finished span. Times are nanoseconds since the epoch."""

    trace: str
    id: str
    parent: str
    name: str
    kind: Kind
    began: int
    ended: int
    failed: bool
    attributes: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The span as OTLP's JSON has it."""
        return {
            "traceId": self.trace,
            "spanId": self.id,
            "parentSpanId": self.parent,
            "name": self.name,
            "kind": int(self.kind),
            "startTimeUnixNano": str(self.began),
            "endTimeUnixNano": str(self.ended),
            "attributes": _attributes(self.attributes),
            "status": {"code": 2} if self.failed else {},
        }


class Spans:
    """Gathers finished spans and posts them to `endpoint` (without its path) once a second; `dropped` counts others."""

    def __init__(self, endpoint: str, service: str) -> None:
        self._url = f"{endpoint.rstrip('/')}/v1/traces"
        self._service = service
        self._waiting: list[Span] = []
        self.dropped = 0

    def trace(self) -> str:
        """A new trace's id."""
        return secrets.token_hex(16)

    @contextmanager
    def span(
        self,
        trace: str,
        name: str,
        parent: str = "",
        kind: Kind = Kind.INTERNAL,
        attributes: Mapping[str, str] | None = None,
    ) -> Iterator[str]:
        """Time what happens inside; gives the span's id, for its children."""
        id_, began, failed = secrets.token_hex(8), time.time_ns(), True
        started = time.perf_counter_ns()
        try:
            yield id_
            failed = False
        finally:
            ended = began + time.perf_counter_ns() - started
            self._add(Span(trace, id_, parent, name, kind, began, ended, failed, attributes or {}))

    def _add(self, span: Span) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
        else:
            self._waiting.append(span)

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Send what has gathered, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush(session)

    async def flush(self, session: aiohttp.ClientSession) -> None:
        """Send what has gathered now; what a collector does not take waits for the next time."""
        sent, self._waiting = self._waiting, []
        if not sent:
            return
        with suppress(aiohttp.ClientError, TimeoutError):
            async with session.post(self._url, json=self._body(sent)) as answer:
                if answer.status < 400:
                    return
        for span in sent:
            self._add(span)

    def _body(self, spans: list[Span]) -> dict[str, Any]:
        scope = {"scope": {"name": SCOPE}, "spans": [span.to_json() for span in spans]}
        resource = {"attributes": _attributes({"service.name": self._service})}
        return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}


def _attributes(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]
