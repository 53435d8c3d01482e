"""Reading a stream of server-sent events as it arrives, cheaply: thousands of chunks a second, of which only a few are
decoded.

Events are counted by scanning bytes. JSON is decoded up to the first token (a chat begins with an event that has none)
and at the end.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

_END = b"\n\n"
_DONE = b"data: [DONE]"
_TAIL_BYTES = 4096
# An event without a choice, as the usage event at the end is; with and without the space that some encoders write.
_NO_CHOICES = (b'"choices":[]', b'"choices": []')


@dataclass(slots=True)
class StreamMeter:
    """What one stream has brought so far. Times are those of the clock that `feed` is given, in seconds.

    `token_events` counts events with output; an event may carry several tokens, so that `usage` tells the tokens where
    the server sends it. `error` is the message of an error event.
    """

    token_events: int = 0
    first_token_at: float | None = None
    last_token_at: float | None = None
    longest_gap: float = 0.0
    done: bool = False
    error: str | None = None
    _rest: bytes = b""
    _tail: bytes = b""

    def feed(self, chunk: bytes, now: float) -> None:
        """Take what arrived at `now`."""
        if self._rest:
            chunk = self._rest + chunk
        if chunk.endswith(_END):
            self._rest = b""
        else:
            if b"\r" in chunk:
                chunk = chunk.replace(b"\r\n", b"\n")
            cut = chunk.rfind(_END) + 2
            self._rest = chunk[cut:] if cut >= 2 else chunk
            if cut < 2:
                return
            chunk = chunk[:cut]
        self._tail = chunk if len(chunk) >= _TAIL_BYTES else self._tail[len(chunk) - _TAIL_BYTES :] + chunk
        if self.first_token_at is None:
            self._begin(chunk, now)
            return
        events = self._count(chunk)
        if events > 0:
            self.token_events += events
            gap = now - self.last_token_at  # type: ignore[operator]
            if gap > self.longest_gap:
                self.longest_gap = gap
            self.last_token_at = now

    def finish(self) -> Mapping[str, object]:
        """Decode the end: sets `done` and `error`, and returns the usage object, empty when the server sent none."""
        usage: Mapping[str, object] = {}
        for event in (self._tail + self._rest).split(_END):
            if event.endswith(_DONE):
                self.done = True
                continue
            body = _decode(event)
            if isinstance(sent := body.get("usage"), Mapping):
                usage = sent
            if "error" in body:
                self._fail(body["error"])
        return usage

    def _begin(self, chunk: bytes, now: float) -> None:
        """Decode events until the first one with output."""
        for event in chunk.split(_END):
            if self.first_token_at is not None:
                self.token_events += self._count(event + _END) if event else 0
            elif _has_output(_decode(event)):
                self.first_token_at = self.last_token_at = now
                self.token_events = 1

    def _count(self, chunk: bytes) -> int:
        events = chunk.count(_END)
        for empty in _NO_CHOICES:
            events -= chunk.count(empty)
        if _DONE in chunk:
            events -= 1
        if chunk.startswith(b":") or b"\n:" in chunk:
            events -= sum(b"data:" not in event for event in chunk.split(_END)[:-1])
        if b'"error"' in chunk:
            events -= sum("error" in _decode(event) for event in chunk.split(_END))
        return events

    def _fail(self, error: object) -> None:
        message = error.get("message", error) if isinstance(error, Mapping) else error
        self.error = str(message)[:200]


def _decode(event: bytes) -> Mapping[str, object]:
    """The JSON object of an event's data line; empty for anything else."""
    try:
        body = json.loads(event.rpartition(b"\n")[2].removeprefix(b"data:"))
    except ValueError:
        return {}
    return body if isinstance(body, Mapping) else {}


def _has_output(body: Mapping[str, object]) -> bool:
    """Whether an event carries a token: any completion event with a choice, or a chat event with more than a role."""
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        return False
    choice = choices[0]
    delta = choice.get("delta")
    if not isinstance(delta, Mapping):
        return True
    return choice.get("finish_reason") is not None or any(value for name, value in delta.items() if name != "role")
