"""One request to the server, timed and classified."""

import asyncio
import io
from collections.abc import Mapping
from dataclasses import replace

import aiohttp

from flyball.lab.load.results import ErrorKind, RequestRecord
from flyball.lab.load.stream import StreamMeter

_DETAIL_CHARACTERS = 200
_LARGE_BODY_BYTES = 1 << 20
"""From here on a body is written in pieces, so that it does not hold up the other streams."""


class Client:
    """Sends requests to one endpoint over a session's pool of connections."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, headers: Mapping[str, str], backend_headers: tuple[str, ...]
    ) -> None:
        self._session, self._url, self._backend_headers = session, url, backend_headers
        self._headers = {"Content-Type": "application/json", "Accept": "text/event-stream", **headers}
        self._clock = asyncio.get_running_loop().time

    async def request(self, planned: RequestRecord, body: bytes, sent_at: float) -> RequestRecord:
        """Send the body and read the stream to its end. Never raises for what the server or the network does, nor when
        cancelled.
        """
        meter, seen = StreamMeter(), planned
        payload = body if len(body) < _LARGE_BODY_BYTES else io.BytesIO(body)
        try:
            async with self._session.post(
                self._url, data=payload, headers=self._headers, allow_redirects=False
            ) as response:
                seen = replace(planned, status=response.status, backend=self._backend(response))
                if response.status != 200 or response.content_type != "text/event-stream":
                    return await self._refused(seen, response, sent_at)
                await self._read(response, meter)
            error, detail = ErrorKind.NONE, ""
        except asyncio.CancelledError:
            error, detail = ErrorKind.CANCELLED, "the test was stopped"
        except (aiohttp.ClientError, OSError) as failure:
            error, detail = _classify(failure, answered=seen.status is not None), _describe(failure)
        return _measured(seen, meter, error, detail, sent_at, self._clock())

    async def _read(self, response: aiohttp.ClientResponse, meter: StreamMeter) -> None:
        read, clock, feed = response.content.readany, self._clock, meter.feed
        while chunk := await read():
            feed(chunk, clock())

    def _backend(self, response: aiohttp.ClientResponse) -> str:
        return next((response.headers[name] for name in self._backend_headers if name in response.headers), "")

    async def _refused(self, seen: RequestRecord, response: aiohttp.ClientResponse, sent_at: float) -> RequestRecord:
        status = response.status
        kind = (
            ErrorKind.CLIENT_ERROR
            if 400 <= status < 500
            else ErrorKind.SERVER_ERROR
            if status >= 500
            else ErrorKind.PROTOCOL
        )
        detail = (await response.content.read(_DETAIL_CHARACTERS)).decode(errors="replace")
        if kind is ErrorKind.PROTOCOL:
            detail = f"{status} {response.content_type} instead of a stream: {detail}"
        return replace(seen, error=kind, detail=detail[:_DETAIL_CHARACTERS], e2e_seconds=self._clock() - sent_at)


def _measured(
    seen: RequestRecord, meter: StreamMeter, error: ErrorKind, detail: str, sent_at: float, now: float
) -> RequestRecord:
    usage = meter.finish()
    if meter.error is not None:
        error, detail = ErrorKind.STREAM, meter.error
    elif error is ErrorKind.NONE and not meter.done:
        error, detail = ErrorKind.TRUNCATED, "the stream ended without [DONE]"
    elif error is ErrorKind.NONE and meter.first_token_at is None:
        error, detail = ErrorKind.PROTOCOL, "the stream brought no token"
    tokens = _count(usage.get("completion_tokens")) or meter.token_events
    first, last = meter.first_token_at, meter.last_token_at
    several = first is not None and last is not None and tokens > 1
    return replace(
        seen,
        error=error,
        detail=detail,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        received_tokens=tokens,
        ttft_seconds=None if first is None else first - sent_at,
        itl_mean_seconds=(last - first) / (tokens - 1) if several and first is not None and last is not None else None,
        itl_max_seconds=meter.longest_gap if several else None,
        e2e_seconds=now - sent_at,
    )


def _classify(failure: BaseException, *, answered: bool) -> ErrorKind:
    if isinstance(failure, aiohttp.ConnectionTimeoutError):
        return ErrorKind.CONNECT
    if isinstance(failure, TimeoutError):
        return ErrorKind.TIMEOUT
    return ErrorKind.TRUNCATED if answered else ErrorKind.CONNECT


def _describe(failure: BaseException) -> str:
    return f"{type(failure).__name__}: {failure}".strip(": ")[:_DETAIL_CHARACTERS]


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
