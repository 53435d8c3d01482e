"""Model servers on free loopback ports, with an engine fast enough for tests."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from flyball.lab.engine import EngineParameters
from flyball.lab.modelserver.config import ModelServerConfig
from flyball.lab.modelserver.server import ModelServer
from flyball.lab.presets import accelerator

PARAMETERS = EngineParameters(
    base_ms=1,
    per_sequence_ms=0.01,
    per_context_token_ms=0.0001,
    per_prefill_token_ms=0.001,
    request_overhead_ms=1,
    kv_tokens=4096,
    max_batch=32,
    max_batched_tokens=512,
)


@pytest.fixture
def config() -> ModelServerConfig:
    return ModelServerConfig(
        parameters=PARAMETERS, accelerator=accelerator("NVIDIA-L4"), model_name="tiny", host="127.0.0.1", port=0
    )


@dataclass
class Replica:
    """A server that listens, and a client for it."""

    server: ModelServer
    session: aiohttp.ClientSession
    url: str

    async def post(self, path: str, body: object) -> tuple[int, Any]:
        async with self.session.post(self.url + path, json=body) as response:
            return response.status, await response.json()

    async def post_raw(self, path: str, body: object, http: str = "1.1") -> bytes:
        """Every byte that comes back until the server closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        payload = json.dumps(body)
        writer.write(f"POST {path} HTTP/{http}\r\nHost: x\r\nContent-Length: {len(payload)}\r\n\r\n{payload}".encode())
        received = await reader.read()
        writer.close()
        await writer.wait_closed()
        return received

    async def get_status(self, path: str) -> int:
        async with self.session.get(self.url + path) as response:
            return response.status

    async def healthy(self) -> bool:
        return await self.get_status("/health") == 200

    async def set_faults(self, **faults: object) -> None:
        status, _ = await self.post("/faults", faults)
        assert status == 200

    async def accepted(self) -> None:
        """Wait until the engine has a request, which it keeps while it hangs."""

        async def has_one() -> bool:
            return self.server.driver.engine.outstanding > 0

        await self.eventually(has_one)

    async def stream(self, path: str, body: dict[str, object]) -> list[Any]:
        """The events of a stream, parsed; the last is the text [DONE]. Raises when the connection breaks."""
        async with self.session.post(self.url + path, json={"stream": True, **body}) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            events = (await response.text()).split("\n\n")
        assert events.pop() == ""
        payloads = [event.removeprefix("data: ") for event in events]
        return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]

    async def metrics(self) -> dict[str, float]:
        """Values by sample name; of those with more labels than the model's, by name{label}."""
        async with self.session.get(self.url + "/metrics") as response:
            assert response.status == 200
            families = list(text_string_to_metric_families(await response.text()))
        values: dict[str, float] = {}
        for sample in (sample for family in families for sample in family.samples):
            labels = [value for name, value in sample.labels.items() if name in ("le", "finished_reason", "reason")]
            values[sample.name + (f"{{{labels[0]}}}" if labels else "")] = sample.value
        return values

    async def eventually(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(60):
            while not await condition():  # noqa: ASYNC110 - another process would ask again and again too
                await asyncio.sleep(0.01)


Start = Callable[..., Awaitable[Replica]]


@pytest.fixture
async def start(config: ModelServerConfig) -> AsyncIterator[Start]:
    """Starts a replica; keyword arguments change its configuration. It is ready, unless it has a start-up time."""
    replicas: list[Replica] = []

    async def start_one(**changes: Any) -> Replica:
        server = ModelServer(replace(config, **changes))
        await server.start()
        replica = Replica(server, aiohttp.ClientSession(), f"http://127.0.0.1:{server.port}")
        replicas.append(replica)
        if not changes.get("startup_seconds"):
            await replica.eventually(replica.healthy)
        return replica

    yield start_one
    for replica in replicas:
        await replica.session.close()
        await replica.server.close()


@pytest.fixture
async def replica(start: Start) -> Replica:
    return await start()
