"""Request bodies with exactly as many prompt tokens as the trace asks for.

For completions the prompt is a list of token ids, so no tokenizer stands between the trace and the engine. For chat it
is text of four characters a token, which is what the simulated server counts; a real tokenizer will differ somewhat,
and the server's own count is in the results. Prompts are cut from one random block that is encoded once: building a
body is a copy, not a loop over tokens.

No two prompts share a prefix, or an engine's prefix cache would answer for load that the trace has not got: each
begins with its own number. Where the trace has cached_tokens, that many tokens at the beginning are the same for all
requests of one tenant.
"""

import json
import random

from flyball.lab.trace import Trace

_LOWEST_ID, _HIGHEST_ID = 10_000, 20_999
"""Token ids that every model's vocabulary has; all have five digits, so that cutting the block is a multiplication."""
_ID_WIDTH = len("10000,")
_CHARACTERS_PER_TOKEN = 4
_SYLLABLES = [f"{a}{b}{c} " for a in "bdfgklmnprst" for b in "aeiou" for c in "bdfgklmnprst"]
_CHAT_MESSAGE_TOKENS = 4
_STARTS = 4096


class Bodies:
    """Makes the JSON body of each of a trace's requests."""

    def __init__(self, trace: Trace, model: str | None, api: str, seed: int) -> None:
        draw = random.Random(seed)  # noqa: S311 - prompts need no secrecy
        longest = int(trace.input_tokens.max()) + _STARTS
        self._trace = trace
        self._chat = api == "chat"
        pieces = _SYLLABLES if self._chat else [f"{token}," for token in range(_LOWEST_ID, _HIGHEST_ID + 1)]
        self._block = "".join(draw.choices(pieces, k=longest))
        self._starts = [draw.randrange(_STARTS) for _ in range(_STARTS)]
        fixed = {"stream": True, "stream_options": {"include_usage": True}, "ignore_eos": True}
        self._head = json.dumps(({} if model is None else {"model": model}) | fixed)[:-1]

    def body(self, index: int) -> bytes:
        """The body of request `index` of the trace."""
        trace = self._trace
        tokens = int(trace.input_tokens[index])
        cached = 0 if trace.cached_tokens is None else min(int(trace.cached_tokens[index]), tokens)
        tenant = "" if trace.tenants is None else str(trace.tenants[index])
        prompt = (
            self._messages(index, tokens, cached, tenant) if self._chat else self._ids(index, tokens, cached, tenant)
        )
        return f'{self._head}, "max_tokens": {int(trace.output_tokens[index])}, {prompt}}}'.encode()

    def _ids(self, index: int, tokens: int, cached: int, tenant: str) -> str:
        shared = self._shared_start(tenant) * _ID_WIDTH
        prefix = self._block[shared : shared + cached * _ID_WIDTH]
        own_length = (tokens - cached) * _ID_WIDTH
        mark = "".join(f"{_LOWEST_ID + part}," for part in _digits(index))[:own_length]
        own = self._starts[index % _STARTS] * _ID_WIDTH
        rest = self._block[own : own + own_length - len(mark)]
        return f'"prompt": [{(prefix + mark + rest)[:-1]}]'

    def _messages(self, index: int, tokens: int, cached: int, tenant: str) -> str:
        characters = max(1, tokens - _CHAT_MESSAGE_TOKENS) * _CHARACTERS_PER_TOKEN
        shared = self._shared_start(tenant) * _CHARACTERS_PER_TOKEN
        prefix = self._block[shared : shared + min(cached * _CHARACTERS_PER_TOKEN, characters)]
        mark = f"{index:07d} "[: characters - len(prefix)]
        own = self._starts[index % _STARTS] * _CHARACTERS_PER_TOKEN
        rest = self._block[own : own + characters - len(prefix) - len(mark)]
        return f'"messages": [{{"role": "user", "content": "{prefix}{mark}{rest}"}}]'

    def _shared_start(self, tenant: str) -> int:
        return self._starts[sum(tenant.encode()) % _STARTS]


def _digits(index: int) -> tuple[int, int, int]:
    """Three numbers below 10,000 that tell requests apart."""
    return index % 10_000, index // 10_000 % 10_000, index // 100_000_000 % 10_000
