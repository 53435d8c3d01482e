"""Clients that ask all along, each one request after the other, and what they were told."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


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

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self.ask() as ask:
                    while not self._stop.is_set():
                        self.answers.append((time.monotonic(), ask()))
                        self._stop.wait(0.005)
            except (OSError, http.client.HTTPException, grpc.RpcError) as error:
                self.errors.append(f"{type(error).__name__}: {error}"[:200])
                self._stop.wait(0.005)
