"""Sweeps in a thread of their own: a call of NVML may take its time, or never return.

The thread is a daemon, so that a call that hangs does not hold up the end of the process. Nothing else waits for it:
whoever wants to know what the GPUs do is told what the last sweep found, or that one is stuck.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from flyball.gpuagent.pods import PodResources
from flyball.gpuagent.readings import MEANING, AgentState, Snapshot
from flyball.gpuagent.sampler import Sampler

log = structlog.get_logger("flyball.gpuagent")


class Watch:
    """Sweeps every `interval_seconds`. `sweeps` have finished, `defects` of them in an error of the agent's own."""

    def __init__(
        self,
        sampler: Sampler,
        kubelet: PodResources | None,
        interval_seconds: float,
        stuck_after_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sampler, self._kubelet = sampler, kubelet
        self._interval, self._stuck_after, self._clock = interval_seconds, stuck_after_seconds, clock
        self._last = Snapshot(AgentState.STARTING, MEANING[AgentState.STARTING])
        self._began_at: float | None = None
        self._said = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeps", daemon=True)
        self.sweeps = self.defects = 0
        self.finished_at = self.duration_seconds = 0.0

    @property
    def alive(self) -> bool:
        """Whether more sweeps will come."""
        return self._thread.is_alive()

    @property
    def maps_pods(self) -> bool:
        """Whether the kubelet is asked who holds the GPUs."""
        return self._kubelet is not None

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    def stop(self, patience_seconds: float = 2.0) -> None:
        """Sweep no more; a sweep that does not end in time is left behind."""
        self._stop.set()
        self._thread.join(patience_seconds)

    def look(self) -> Snapshot:
        """What is known now: the last sweep, or that the one under way does not return."""
        began_at = self._began_at
        if began_at is None or (seconds := self._clock() - began_at) <= self._stuck_after:
            return self._last
        asking = self._sampler.asking or "the sweep"
        message = f"{asking} has not returned for {seconds:.0f} s"
        return replace(self._last, state=AgentState.STUCK, message=message, gpus=(), holders=None)

    def sweep(self) -> None:
        """Sweep once and keep what was found."""
        self._began_at = began_at = self._clock()
        try:
            found = self._sampler.sweep()
        except Exception as error:  # a defect costs one sweep, is counted and said: the next may do better
            self.defects += 1
            log.exception("sweep failed")
            found = Snapshot(AgentState.FAILING, f"a defect of the agent: {error!r}")
        self._last = self._with_holders(found)
        self._began_at = None
        self.sweeps += 1
        self.finished_at, self.duration_seconds = time.time(), self._clock() - began_at
        self._say(f"{self._last.state}: {self._last.message}")

    def _with_holders(self, found: Snapshot) -> Snapshot:
        if self._kubelet is None or not found.gpus:
            return found
        try:
            return replace(found, holders=self._kubelet.holders())
        except ConnectionError as error:
            return replace(found, message=f"{found.message}; GPUs are not mapped to pods: {error}")

    def _say(self, what: str) -> None:
        if what != self._said:
            self._said = what
            log.info(what)

    def _run(self) -> None:
        due = self._clock()
        while not self._stop.wait(max(0.0, due - self._clock())):
            due = max(due + self._interval, self._clock())
            self.sweep()
        self._sampler.close()
        if self._kubelet is not None:
            self._kubelet.close()
