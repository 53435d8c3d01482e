"""What goes over the wire, as vLLM writes it: JSON answers, and server-sent events prepared once per request.

Each token is one of eight words. A stream's events for all eight are encoded when it begins, so that a token costs one
write of ready bytes.
"""

import json
from dataclasses import dataclass

WORDS = (" alpha", " bravo", " delta", " gamma", " kappa", " omega", " sigma", " theta")


def words(tokens: int) -> str:
    """The text of so many tokens."""
    whole, rest = divmod(tokens, len(WORDS))
    return "".join(WORDS) * whole + "".join(WORDS[:rest])


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, object]:
    """OpenAI's usage object, in vLLM's order of fields."""
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "completion_tokens": completion_tokens,
        "prompt_tokens_details": None,
    }


def error_body(message: str, kind: str, param: str | None, code: int) -> dict[str, object]:
    """OpenAI's error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer's identity; renders each form of it."""

    request_id: str
    created: int
    model: str
    chat: bool

    def full(self, text: str, finish_reason: str, prompt_tokens: int, completion_tokens: int) -> bytes:
        """The answer of a request that does not stream."""
        choice: dict[str, object] = {"index": 0}
        if self.chat:
            choice["message"] = {"role": "assistant", "content": text, "tool_calls": []}
        else:
            choice["text"] = text
        choice |= {"logprobs": None, "finish_reason": finish_reason, "stop_reason": None}
        kind = "chat.completion" if self.chat else "text_completion"
        return json.dumps(
            self._head(kind) | {"choices": [choice], "usage": usage(prompt_tokens, completion_tokens)}
        ).encode()

    def role_event(self) -> bytes:
        """The first event of a chat; nothing for a completion."""
        if not self.chat:
            return b""
        return self._event([self._choice({"role": "assistant", "content": ""}, None)])

    def token_events(self) -> list[bytes]:
        """One event for each of WORDS."""
        sample = WORDS[0].encode()
        head, tail = self._event([self._choice(self._text(WORDS[0]), None)]).rsplit(sample, 1)
        return [head + word.encode() + tail for word in WORDS]

    def last_event(self, word: str, finish_reason: str) -> bytes:
        """The event of the last token; `word` is empty when that was the end-of-sequence token."""
        return self._event([self._choice(self._text(word), finish_reason)])

    def usage_event(self, prompt_tokens: int, completion_tokens: int) -> bytes:
        return self._event([], usage(prompt_tokens, completion_tokens))

    def _head(self, kind: str) -> dict[str, object]:
        return {"id": self.request_id, "object": kind, "created": self.created, "model": self.model}

    def _text(self, word: str) -> dict[str, object]:
        return {"content": word} if self.chat else {"text": word}

    def _choice(self, text: dict[str, object], finish_reason: str | None) -> dict[str, object]:
        choice: dict[str, object] = {"index": 0} | ({"delta": text} if self.chat else text)
        choice |= {"logprobs": None, "finish_reason": finish_reason}
        if finish_reason is not None or not self.chat:
            choice["stop_reason"] = None
        return choice

    def _event(self, choices: list[dict[str, object]], usage: dict[str, object] | None = None) -> bytes:
        body = self._head("chat.completion.chunk" if self.chat else "text_completion") | {"choices": choices}
        if usage is not None:
            body["usage"] = usage
        return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


DONE_EVENT = b"data: [DONE]\n\n"
