"""Clients that ask all along, each one request after the other, and what they were told."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import grpc
from e2e.story.watch import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from e2e.story.kit import Kit

COMPLETION = "/v1/completions", json.dumps({"model": "chat-8b", "prompt": "Can an order be returned?", "max_tokens": 8})
"""Path and body of a short question to a model server."""
UNANSWERED = (OSError, http.client.HTTPException, grpc.RpcError)
GATEWAY_SECONDS = 60.0
"""For how long a gateway may take to take a route."""


@contextmanager
def over_http(
    kit: Kit, host: str, path: str = "/", body: str | None = None, *, method: str = "", **headers: str
) -> Iterator[Callable[[], str]]:
    """A client that keeps its connection to the gateway; it is told what is answered, anything but 200 is an error.

    Without a method it is POST where there is a body, which is JSON, else GET. `x_tier="gold"` is the header x-tier.
    """
    told = {"Host": host, "Content-Type": "application/json"}
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(http.client.HTTPConnection(urlsplit(kit.gateway).netloc, timeout=60)) as connection:

        def ask() -> str:
            connection.request(method or ("POST" if body else "GET"), path, body, told)
            answer = connection.getresponse()
            text = answer.read().decode()
            if answer.status != 200:
                raise http.client.HTTPException(f"{answer.status}: {text}")
            return text

        yield ask


@contextmanager
def over_grpc(kit: Kit, host: str) -> Iterator[Callable[[], str]]:
    """A client of story/whoami.py over gRPC."""
    options = [("grpc.default_authority", host)]
    with grpc.insecure_channel(urlsplit(kit.gateway).netloc, options=options) as channel:
        call = channel.unary_unary("/flyball.Who/Ask")
        yield lambda: bytes(call(b"", timeout=10)).decode()


@dataclass
class Clients:
    """Threads that ask, each one request after the other, until told to stop; every answer by its time."""

    ask: Callable[[], AbstractContextManager[Callable[[], str]]]
    answers: list[tuple[float, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def asking(self, threads: int = 4) -> Iterator[Clients]:
        """Ask all along."""
        workers = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for worker in workers:
            worker.start()
        try:
            yield self
        finally:
            self._stop.set()
            for worker in workers:
                worker.join(30)

    def between(self, start: float, end: float) -> Counter[str]:
        """Who answered in that time."""
        return Counter(who for at, who in self.answers if start <= at < end)

    def wait_until_served(self) -> None:
        """Wait until the gateway has taken the route and somebody answers."""
        until("an answer through the gateway", self._served, GATEWAY_SECONDS)

    def _served(self) -> bool:
        try:
            with self.ask() as ask:
                ask()
        except UNANSWERED:
            return False
        return True

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self.ask() as ask:
                    while not self._stop.is_set():
                        self.answers.append((time.monotonic(), ask()))
                        self._stop.wait(0.005)
            except UNANSWERED as error:
                self.errors.append(f"{type(error).__name__}: {error}"[:200])
                self._stop.wait(0.005)
