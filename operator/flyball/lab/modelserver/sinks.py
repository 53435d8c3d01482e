"""Where a sequence's tokens go: a stream's transport, or nowhere when the answer is sent whole.

Streams write ready bytes straight to the transport: no coroutine runs and nothing is encoded for a token.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from flyball.lab.modelserver.replies import DONE_EVENT, WORDS, Reply


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request will end, decided when it arrives."""

    finish_reason: str
    """stop or length."""
    max_tokens: int
    block_hashes: Sequence[int]
    """What the prefix cache will hold once the prompt is computed."""
    events: tuple[bytes, ...] = ()
    """The last server-sent events of a stream, in order."""


class Sink:
    """Awaits the end of a request whose answer is sent whole."""

    __slots__ = ("complete", "ending")

    def __init__(self, ending: Ending) -> None:
        self.ending = ending
        self.complete: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Resolves at the end, to whether everything was said."""

    def token(self) -> None:
        """A token that is not the last."""

    def finish(self) -> None:
        """The last token."""
        self._resolve(complete=True)

    def _resolve(self, *, complete: bool) -> None:
        if not self.complete.done():
            self.complete.set_result(complete)


class StreamSink(Sink):
    """Writes server-sent events, framed as HTTP chunks when `chunked`; keeps them until `open` says headers are out."""

    __slots__ = ("_chunked", "_events", "_held", "_index", "_opening", "_transport")

    def __init__(self, ending: Ending, reply: Reply, transport: asyncio.Transport, *, chunked: bool) -> None:
        super().__init__(ending)
        self._transport = transport
        self._chunked = chunked
        self._events = [self._framed(event) for event in reply.token_events()]
        self._opening = self._framed(reply.role_event())
        self._index = 0
        self._held: list[bytes] | None = []

    def open(self) -> None:
        """The response's headers were sent: write what was held, and from now on at once."""
        held, self._held = self._held or [], None
        if held:
            self._transport.write(b"".join(held))

    @override
    def token(self) -> None:
        event = self._events[self._index]
        self._index = (self._index + 1) % len(WORDS)
        if self._opening:
            event, self._opening = self._opening + event, b""
        self._write(event)

    @override
    def finish(self) -> None:
        events = [self._framed(event) for event in (*self.ending.events, DONE_EVENT)]
        self._write(b"".join((self._opening, *events)))
        self._resolve(complete=True)

    def _write(self, data: bytes) -> None:
        if self._held is None:
            self._transport.write(data)
        else:
            self._held.append(data)

    def _framed(self, event: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(event), event) if event and self._chunked else event


class CutStreamSink(StreamSink):
    """Stops after so many tokens, as a connection that breaks."""

    __slots__ = ("_left",)

    def __init__(
        self, ending: Ending, reply: Reply, transport: asyncio.Transport, *, chunked: bool, cut_after: int
    ) -> None:
        super().__init__(ending, reply, transport, chunked=chunked)
        self._left = cut_after

    @override
    def token(self) -> None:
        if self._left:
            self._left -= 1
            super().token()
        if not self._left:
            self._resolve(complete=False)

    @override
    def finish(self) -> None:
        self._resolve(complete=False)
