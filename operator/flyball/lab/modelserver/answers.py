"""From a checked request to its answer: work for the engine, tokens to the client, and what if the client leaves."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from uuid import uuid4

from aiohttp import HttpVersion11, web

from flyball.lab.engine import Completion, Request
from flyball.lab.modelserver.config import ModelServerConfig
from flyball.lab.modelserver.driver import EngineDriver
from flyball.lab.modelserver.generation import GenerationRequest
from flyball.lab.modelserver.prompts import PrefixCache, block_hashes
from flyball.lab.modelserver.replies import WORDS, Reply, words
from flyball.lab.modelserver.sinks import CutStreamSink, Ending, Sink, StreamSink

MEAN_OUTPUT_TOKENS = 211.0
OUTPUT_SIGMA = 1.0
"""Without ignore_eos an answer's length is log-normal with this mean (the Azure 2023 conversation trace's) and this
standard deviation of its logarithm, cut at max_tokens."""


class Answers:
    """Answers requests one by one; `on_abort` is called for each that ends before its last token."""

    def __init__(self, config: ModelServerConfig, driver: EngineDriver, on_abort: Callable[[], None]) -> None:
        self._config = config
        self._driver = driver
        self._on_abort = on_abort
        self._random = random.Random(config.seed)  # noqa: S311  lengths of answers, no secrets
        self._prefixes = PrefixCache(config.parameters.kv_blocks if config.prefix_caching else 0)

    def remember_prefixes(self, completion: Completion[Sink]) -> None:
        """Let later prompts find those that are computed now."""
        for sequence in completion.first:
            self._prefixes.insert(sequence.owner.ending.block_hashes)

    async def answer(
        self, request: web.Request, generation: GenerationRequest, *, truncate: bool
    ) -> web.StreamResponse:
        """Run the request to its end; with `truncate` the connection breaks half-way."""
        output_tokens, finish_reason = self._draw_output(generation)
        cached_tokens, hashes = self._look_up(generation)
        work = Request(generation.prompt_tokens, output_tokens, cached_tokens)
        reply = Reply(
            request_id=f"{'chatcmpl' if generation.chat else 'cmpl'}-{uuid4().hex}",
            created=int(time.time()),
            model=self._config.model_name,
            chat=generation.chat,
        )
        if generation.stream:
            events = _closing_events(reply, work, finish_reason, include_usage=generation.include_usage)
            ending = Ending(finish_reason, generation.max_tokens, hashes, events)
            return await self._stream(request, reply, work, ending, truncate=truncate)
        await self._run(work, Sink(Ending(finish_reason, generation.max_tokens, hashes)))
        # The end-of-sequence token counts as a token and has no text.
        text = words(output_tokens - 1 if finish_reason == "stop" else output_tokens)
        body = reply.full(text, finish_reason, work.prompt_tokens, output_tokens)
        if truncate:
            return await _send_half(request, body)
        return web.Response(body=body, content_type="application/json")

    async def _stream(
        self, request: web.Request, reply: Reply, work: Request, ending: Ending, *, truncate: bool
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        transport = request.transport
        if transport is None:  # the client left before the answer began
            return response
        chunked = request.version >= HttpVersion11
        if truncate:
            cut_after = max(1, work.output_tokens // 2)
            sink: StreamSink = CutStreamSink(ending, reply, transport, chunked=chunked, cut_after=cut_after)
        else:
            sink = StreamSink(ending, reply, transport, chunked=chunked)
        if not await self._run(work, sink, lambda: self._open(request, response, sink)):
            transport.close()
        return response

    async def _open(self, request: web.Request, response: web.StreamResponse, sink: StreamSink) -> None:
        """Send the headers, not before the request's overhead has passed.

        A proxy that reads a response's headers while it still believes to be sending the request drops the connection;
        a real server tokenizes first, and never answers within a millisecond.
        """
        await asyncio.sleep(self._config.parameters.request_overhead_ms / 1000)
        await response.prepare(request)
        sink.open()

    async def _run(self, work: Request, sink: Sink, begin: Callable[[], Awaitable[None]] | None = None) -> bool:
        """Wait for the engine; whether everything was said. A request whose client leaves or is cut off is aborted."""
        sequence = self._driver.submit(work, sink)
        try:
            if begin is not None:
                await begin()
            return await sink.complete
        finally:
            if not sequence.done:
                self._driver.engine.abort(sequence)
                self._on_abort()

    def _draw_output(self, generation: GenerationRequest) -> tuple[int, str]:
        """Output tokens and the finish reason."""
        if generation.ignore_eos:
            return generation.max_tokens, "length"
        mean_of_logarithm = math.log(MEAN_OUTPUT_TOKENS) - OUTPUT_SIGMA**2 / 2
        tokens = max(1, round(self._random.lognormvariate(mean_of_logarithm, OUTPUT_SIGMA)))
        return (tokens, "stop") if tokens <= generation.max_tokens else (generation.max_tokens, "length")

    def _look_up(self, generation: GenerationRequest) -> tuple[int, Sequence[int]]:
        """Prompt tokens that the prefix cache holds, and the hashes to remember once the prompt is computed."""
        if generation.cached_tokens is not None:
            return generation.cached_tokens, ()
        if not self._config.prefix_caching:
            return 0, ()
        block_tokens = self._config.parameters.block_tokens
        hashes = block_hashes(generation.prompt, block_tokens)
        return self._prefixes.match(hashes) * block_tokens, hashes


def _closing_events(reply: Reply, work: Request, finish_reason: str, *, include_usage: bool) -> tuple[bytes, ...]:
    word = "" if finish_reason == "stop" else WORDS[(work.output_tokens - 1) % len(WORDS)]
    last = reply.last_event(word, finish_reason)
    return (last, reply.usage_event(work.prompt_tokens, work.output_tokens)) if include_usage else (last,)


async def _send_half(request: web.Request, body: bytes) -> web.StreamResponse:
    """Promise the whole body, send half of it and close the connection."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
