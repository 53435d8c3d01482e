"""A tiny OpenAI-compatible server that answers as each test tells it to."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass
class Stub:
    """Streams `max_tokens` events, `gap_seconds` apart, after `first_seconds`; keeps bodies and headers."""

    first_seconds: float = 0.0
    gap_seconds: float = 0.0
    answer: Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]] | None = None
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    arrived_at: list[float] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.arrived_at.append(asyncio.get_running_loop().time())
        body = await request.json()
        self.bodies.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        return await (self.answer or self.stream)(request, body)

    async def stream(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = await self.begin(request)
        await asyncio.sleep(self.first_seconds)
        for _ in range(body["max_tokens"]):
            await response.write(self.event({"text": " word"}))
            await asyncio.sleep(self.gap_seconds)
        await self.finish(response, len(body.get("prompt", ())), body["max_tokens"])
        return response

    @staticmethod
    async def begin(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Served-By": "stub-0"}
        )
        await response.prepare(request)
        return response

    @staticmethod
    async def finish(response: web.StreamResponse, prompt_tokens: int, completion_tokens: int) -> None:
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
        await response.write(b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()

    @staticmethod
    def event(choice: dict[str, Any]) -> bytes:
        return b"data: " + json.dumps({"choices": [{"index": 0, **choice, "finish_reason": None}]}).encode() + b"\n\n"


@asynccontextmanager
async def serving() -> AsyncIterator[Stub]:
    served = Stub()
    application = web.Application(client_max_size=1 << 24)
    application.router.add_post("/v1/completions", served.handle)
    application.router.add_post("/v1/chat/completions", served.handle)
    async with TestServer(application, handler_cancellation=True, shutdown_timeout=0.1) as server:
        served.url = str(server.make_url("/"))
        yield served


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    """The server in the test's own event loop."""
    async with serving() as served:
        yield served


@pytest.fixture
def threaded_stub() -> Iterator[Stub]:
    """The server in a thread, for tests of commands, which run event loops of their own."""
    loop, stop, started = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    stubs: list[Stub] = []

    async def serve() -> None:
        async with serving() as served:
            stubs.append(served)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(60)
    yield stubs[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(60)
    loop.close()
