"""Runs an engine in real time on the event loop.

Iterations follow each other on the engine's own schedule: the next one begins when the last one was due, not when the
loop got round to it, so that timer error never adds up. A loop that falls behind catches up, one iteration per pass,
and the lag is exported.
Without requests there is no timer at all.
"""

import asyncio
from collections.abc import Callable

from flyball.lab.engine import Completion, Engine, Iteration, Request, Sequence
from flyball.lab.modelserver.sinks import Sink


class EngineDriver:
    """Owns the engine's clock: the event loop's, in seconds."""

    __slots__ = ("_loop", "_on_completion", "_timer", "engine", "hang", "lag_seconds", "peak_lag_seconds")

    def __init__(self, engine: Engine[Sink], on_completion: Callable[[Completion[Sink]], None]) -> None:
        self.engine = engine
        self._loop = asyncio.get_running_loop()
        self._on_completion = on_completion
        self._timer: asyncio.TimerHandle | None = None
        self.hang = False
        self.lag_seconds = 0.0
        """How late the latest iteration was handled."""
        self.peak_lag_seconds = 0.0

    @property
    def now(self) -> float:
        return self._loop.time()

    def submit(self, request: Request, sink: Sink) -> Sequence[Sink]:
        """Hand a request to the engine. Raises RequestTooLargeError."""
        sequence = self.engine.submit(request, self.now, sink)
        self.wake()
        return sequence

    def wake(self) -> None:
        """Begin an iteration if the engine rests; to be called after what may have made work, a hang's end too."""
        if self._timer is None:
            self._begin(self.now)

    def close(self) -> None:
        """Stop where it is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self, now: float) -> None:
        self._timer = None
        if self.hang:
            return
        iteration = self.engine.next_iteration(now)
        if iteration is not None:
            self._timer = self._loop.call_at(iteration.ends_at, self._end, iteration)
        elif (ready_at := self.engine.next_ready_at) is not None:
            self._timer = self._loop.call_at(ready_at, self._begin, ready_at)

    def _end(self, iteration: Iteration[Sink]) -> None:
        due = iteration.ends_at
        self.lag_seconds = max(0.0, self.now - due)
        self.peak_lag_seconds = max(self.peak_lag_seconds, self.lag_seconds)
        completion = self.engine.complete(iteration, due)
        for sequence in completion.tokens:
            if sequence.done:
                sequence.owner.finish()
            else:
                sequence.owner.token()
        self._on_completion(completion)
        self._begin(due)
