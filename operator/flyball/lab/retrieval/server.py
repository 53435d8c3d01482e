"""The application: POST /ask passes retrieval, rerank, prompt assembly, the model, post-processing and serialization.

Each is a span of the request's, and can be slowed while the application runs: PUT /delays {"retrieval": 1.5} (seconds).
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from flyball.lab.retrieval.search import Found, prompt, rerank, retrieve
from flyball.lab.retrieval.spans import Kind, Spans

STAGES = ("retrieval", "rerank", "prompt-assembly", "generation", "post-processing", "serialization")
REQUEST = "answer"
LONGEST_DELAY_SECONDS = 60.0
MODEL_TIMEOUT_SECONDS = 120.0
SEGMENTS = ("tenant", "tier", "route")
"""What requests say of themselves in headers X-Tenant, X-Tier and X-Route becomes attributes of their spans."""


@dataclass(frozen=True, slots=True)
class RetrievalConfig:
    """Where the application listens, the model server it asks (a base URL), and where its spans go."""

    model_url: str
    otlp_endpoint: str
    model_name: str = "chat-8b"
    service: str = "shop"
    max_tokens: int = 40
    host: str = "0.0.0.0"  # noqa: S104 - a pod's own address is not known before
    port: int = 8080


class RetrievalApp:
    """The application with its connections; `delays` are the seconds by which stages are slowed."""

    def __init__(self, config: RetrievalConfig) -> None:
        self._config = config
        self._spans = Spans(config.otlp_endpoint, config.service)
        self.delays: dict[str, float] = {}
        self._session: aiohttp.ClientSession | None = None

    def application(self) -> web.Application:
        """The web application."""
        application = web.Application()
        application.add_routes(
            [
                web.post("/ask", self._ask),
                web.get("/health", self._health),
                web.get("/delays", self._tell_delays),
                web.put("/delays", self._set_delays),
            ]
        )
        application.cleanup_ctx.append(self._connected)
        return application

    async def _connected(self, _: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(MODEL_TIMEOUT_SECONDS)) as session:
            self._session = session
            sending = asyncio.create_task(self._spans.run(session))
            yield
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending
            await self._spans.flush(session)

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"droppedSpans": self._spans.dropped})

    async def _tell_delays(self, _: web.Request) -> web.Response:
        return web.json_response(self.delays)

    async def _set_delays(self, request: web.Request) -> web.Response:
        try:
            self.delays = delays_of(await request.json())
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(self.delays)

    async def _ask(self, request: web.Request) -> web.Response:
        try:
            question = str((await request.json())["question"])
        except (ValueError, KeyError, TypeError):
            return web.json_response({"error": 'the body must be {"question": "…"}'}, status=400)
        told = {name: request.headers[f"X-{name}"] for name in SEGMENTS if f"X-{name}" in request.headers}
        trace = self._spans.trace()
        try:
            with self._spans.span(trace, REQUEST, kind=Kind.SERVER, attributes=told) as root:
                return web.Response(body=await self._answer(trace, root, question, told))
        except (aiohttp.ClientError, TimeoutError) as error:
            return web.json_response({"error": f"the model did not answer: {error}"}, status=502)

    async def _answer(self, trace: str, root: str, question: str, told: Mapping[str, str]) -> bytes:
        @asynccontextmanager
        async def stage(name: str, kind: Kind = Kind.INTERNAL) -> AsyncIterator[None]:
            with self._spans.span(trace, name, root, kind, told):
                await asyncio.sleep(self.delays.get(name, 0.0))
                yield

        async with stage("retrieval"):
            found = retrieve(question)
        async with stage("rerank"):
            found = rerank(question, found)
        async with stage("prompt-assembly"):
            asked = prompt(question, found)
        async with stage("generation", Kind.CLIENT):
            text = await self._generate(asked)
        async with stage("post-processing"):
            answer = {"answer": text.strip(), "passages": [_cited(each) for each in found]}
        async with stage("serialization"):
            return json.dumps(answer).encode()

    async def _generate(self, asked: str) -> str:
        if self._session is None:
            raise aiohttp.ClientError("the application is closing")
        body = {"model": self._config.model_name, "prompt": asked, "max_tokens": self._config.max_tokens}
        url = f"{self._config.model_url.rstrip('/')}/v1/completions"
        async with self._session.post(url, json=body | {"ignore_eos": True}) as answer:
            answer.raise_for_status()
            return str((await answer.json())["choices"][0]["text"])


def delays_of(document: object) -> dict[str, float]:
    """The seconds by stage. Raises ValueError, with what to write instead."""
    if not isinstance(document, Mapping):
        raise ValueError(f"the body must be a JSON object with any of {', '.join(STAGES)}")  # noqa: TRY004 - bad input
    for name, seconds in document.items():
        if name not in STAGES:
            raise ValueError(f"there is no stage {name!r}; use {', '.join(STAGES)}")
        number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
        if not number or not 0 <= seconds <= LONGEST_DELAY_SECONDS:
            raise ValueError(f"{name} is {seconds!r}; give seconds from 0 to {LONGEST_DELAY_SECONDS:g}")
    return {str(name): float(seconds) for name, seconds in document.items()}


def _cited(found: Found) -> dict[str, object]:
    return {"number": found.number, "text": found.text}


async def serve(config: RetrievalConfig) -> None:
    """Serve until SIGINT or SIGTERM. Raises OSError when the address is taken."""
    runner = web.AppRunner(RetrievalApp(config).application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, config.host, config.port).start()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    await runner.cleanup()
