"""The HTTP side: vLLM's endpoints, fault switches, start-up and drain."""

import asyncio
import json
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from flyball import __version__
from flyball.lab.engine import Completion, Engine
from flyball.lab.modelserver.answers import Answers
from flyball.lab.modelserver.config import ModelServerConfig
from flyball.lab.modelserver.driver import EngineDriver
from flyball.lab.modelserver.faults import Faults, InvalidFaultError
from flyball.lab.modelserver.generation import InvalidRequestError, parse_generation
from flyball.lab.modelserver.metrics import ServerCollector
from flyball.lab.modelserver.replies import error_body
from flyball.lab.modelserver.sinks import Sink

_MAX_BODY_BYTES = 32 * 1024 * 1024
"""Room for a prompt of a million tokens, as a list of ids."""

_LAST_BYTES_SECONDS = 0.25
"""Given to answers that are complete and not yet sent when the server closes."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ModelServer:
    """One replica: `start`, and in the end `drain` and `close`, all on one running event loop."""

    def __init__(self, config: ModelServerConfig) -> None:
        self._config = config
        self.faults = Faults()
        self.ready = False
        self.draining = False
        self.driver = EngineDriver(Engine(config.parameters), self._on_completion)
        self._collector = ServerCollector(config, self.driver, lambda: self.faults, lambda: self.ready)
        self._answers = Answers(config, self.driver, self._collector.count_abort)
        self._registry = CollectorRegistry()
        self._registry.register(self._collector)
        self._frozen_metrics = b""
        self._errors = random.Random(config.seed)  # noqa: S311  which requests get an injected error
        self._created = int(time.time())
        self._open_requests = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._startup: asyncio.TimerHandle | None = None
        self._runner = web.AppRunner(
            self._application(), handler_cancellation=True, access_log=None, shutdown_timeout=_LAST_BYTES_SECONDS
        )

    @property
    def port(self) -> int:
        """The port that it listens on, once started."""
        return int(self._runner.addresses[0][1])

    async def start(self) -> None:
        """Listen; be ready after the start-up time. Raises OSError when the address is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._config.host, self._config.port, backlog=1024).start()
        loop = asyncio.get_running_loop()
        self._startup = loop.call_later(self._config.startup_seconds, self._become_ready)

    async def drain(self) -> None:
        """Refuse new requests and wait for those that run, at most the drain time."""
        self.draining = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._quiet.wait(), self._config.drain_seconds)

    async def close(self) -> None:
        """Abort what is left and stop listening."""
        if self._startup is not None:
            self._startup.cancel()
        self.driver.close()
        await self._runner.cleanup()

    def _become_ready(self) -> None:
        self.ready = True

    def _on_completion(self, completion: Completion[Sink]) -> None:
        self._collector.observe(completion)
        self._answers.remember_prefixes(completion)

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[self._answer_errors])
        application.add_routes(
            [
                web.post("/v1/completions", self._completions),
                web.post("/v1/chat/completions", self._chat_completions),
                web.get("/v1/models", self._models),
                web.get("/health", self._health),
                web.get("/ping", self._health),
                web.get("/version", self._version),
                web.get("/metrics", self._metrics),
                web.get("/faults", self._get_faults),
                web.post("/faults", self._post_faults),
                web.delete("/faults", self._delete_faults),
            ]
        )
        return application

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Errors as OpenAI's JSON; answers of the API counted."""
        try:
            response = await handler(request)
        except InvalidRequestError as error:
            body = error_body(str(error), error.kind, error.param, error.code)
            response = web.json_response(body, status=error.code)
        except InvalidFaultError as error:
            response = web.json_response(error_body(str(error), "BadRequestError", error.param, 400), status=400)
        if request.match_info.route.resource is not None and request.path.startswith("/v1/"):
            self._collector.count_response(request.path, request.method, response.status)
        return response

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, chat=False)

    async def _chat_completions(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, chat=True)

    async def _generate(self, request: web.Request, *, chat: bool) -> web.StreamResponse:
        self._check_serving()
        self._open_requests += 1
        self._quiet.clear()
        try:
            if self._errors.random() < self.faults.error_rate:
                raise InvalidRequestError("Internal server error (injected fault)", None, 500, "InternalServerError")
            generation = parse_generation(
                await _read_json(request),
                chat=chat,
                model_name=self._config.model_name,
                context_limit=self._config.context_limit,
            )
            return await self._answers.answer(request, generation, truncate=self.faults.truncate)
        finally:
            self._open_requests -= 1
            if not self._open_requests:
                self._quiet.set()

    def _check_serving(self) -> None:
        if self.ready and not self.draining:
            return
        reason = "the server is shutting down" if self.draining else "the model is still loading"
        raise InvalidRequestError(reason, None, 503, "ServiceUnavailableError")

    async def _models(self, _request: web.Request) -> web.Response:
        self._check_serving()
        name = self._config.model_name
        model = {
            "id": name,
            "object": "model",
            "created": self._created,
            "owned_by": "vllm",
            "root": name,
            "parent": None,
            "max_model_len": self._config.context_limit,
        }
        return web.json_response({"object": "list", "data": [model]})

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(status=200 if self.ready and not self.draining else 503)

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"version": f"flyball-{__version__}"})

    async def _metrics(self, _request: web.Request) -> web.Response:
        if self.faults.stop_metrics:
            return web.Response(status=503, text="metrics are stopped (injected fault)\n")
        body = self._frozen_metrics or generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _get_faults(self, _request: web.Request) -> web.Response:
        return web.json_response(self.faults.to_json())

    async def _post_faults(self, request: web.Request) -> web.Response:
        self._apply(self.faults.updated(await _read_json(request)))
        return web.json_response(self.faults.to_json())

    async def _delete_faults(self, _request: web.Request) -> web.Response:
        self._apply(Faults())
        return web.json_response(self.faults.to_json())

    def _apply(self, faults: Faults) -> None:
        if faults.lie_metrics != "frozen":
            self._frozen_metrics = b""
        elif not self._frozen_metrics:
            self._frozen_metrics = generate_latest(self._registry)
        self.faults = faults
        self.driver.engine.slowdown = faults.slow
        self.driver.hang = faults.hang
        self.driver.wake()


async def _read_json(request: web.Request) -> object:
    try:
        return json.loads(await request.read())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"the body is not JSON: {error}", None) from error


async def serve(config: ModelServerConfig, on_listening: Callable[[int], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain; `on_listening` is told the port. Raises OSError when it is taken."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = ModelServer(config)
    await server.start()
    if on_listening is not None:
        on_listening(server.port)
    try:
        await stop.wait()
        await server.drain()
    finally:
        await server.close()
