"""A closed loop around `decide`: a fluid model of replicas under a given load, seen as Prometheus would show it.

Requests are a continuous quantity. Each replica runs up to 20 of them as `cases` describes its engine; n replicas
carry n × (1 − 0.1 / n^0.75) of what one would alone; a replica that is asked for serves 30 s later. Rates are over
the last minute, everything else is as of the tick. Nothing is random: noise is a fixed sequence.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from core import cases

from flyball.core.decide import decide
from flyball.core.decision import Decision
from flyball.core.memory import Memory
from flyball.core.observation import ObjectiveReading, SignalState, WindowShare
from flyball.core.spec import WorkloadSpec

STARTUP_SECONDS = 30.0
WINDOW_SECONDS = 60.0
PATIENCE_SECONDS = 0.5


@dataclass
class Fleet:
    """The modelled replicas; one step is a second."""

    workload: WorkloadSpec
    replicas: int
    now: float = cases.START
    backlog: float = 0.0
    coming: list[float] = field(default_factory=list)
    done: deque[tuple[float, float]] = field(default_factory=deque)
    memory: Memory = field(default_factory=Memory)

    def step(self, arrivals: float) -> None:
        self.now += 1.0
        self.coming = [at for at in self.coming if at > self.now]
        able = self.ready * cases.FULL_REPLICA * (1.0 - 0.1 / self.ready**0.75)
        self.backlog += arrivals
        finished = min(able, self.backlog, able * self.running / (20.0 * self.ready) * self._speedup())
        waited = (self.backlog - self.running) / able
        self.backlog -= finished
        self.done.append((finished if waited <= PATIENCE_SECONDS else 0.0, finished))
        if len(self.done) > 3600:
            self.done.popleft()

    @property
    def ready(self) -> int:
        return self.replicas - len(self.coming)

    @property
    def running(self) -> float:
        return min(self.backlog, 20.0 * self.ready)

    def _speedup(self) -> float:
        """How much faster the iterations of a batch are than those of a full one."""
        return 0.040 / (0.020 + 0.001 * self.running / self.ready)

    def tick(self) -> Decision:
        decision, self.memory = decide(self.workload, self._seen(), self.memory)
        wanted = cases.desired(decision)
        if wanted > self.replicas:
            self.coming += [self.now + STARTUP_SECONDS] * (wanted - self.replicas)
        else:
            self.coming = self.coming[: max(0, len(self.coming) - (self.replicas - wanted))]
        self.replicas = wanted
        return decision

    def _seen(self) -> "cases.Observation":
        rate = self._over(WINDOW_SECONDS)[1] / WINDOW_SECONDS
        batch = self.running / self.ready
        signal = cases.signals(
            rate=rate,
            running=self.running,
            waiting=self.backlog - self.running,
            gpu_utilization=min(1.0, batch / 4.0),
            kv_cache_usage=0.8 * batch / 20.0,
        )
        shares = tuple(WindowShare(w, *self._over(w)) for w in (60.0, 300.0, 3600.0))
        state = cases.running(self.replicas, ready=self.ready, starting=len(self.coming))
        reading = ObjectiveReading("ttft", SignalState.OK, shares)
        return cases.observation(at=self.now, signal=signal, state=state, objectives=reading)

    def _over(self, seconds: float) -> tuple[float, float]:
        latest = list(self.done)[-int(seconds) :]
        return sum(good for good, _ in latest), sum(total for _, total in latest)


def run(fleet: Fleet, load: Callable[[float], float], seconds: float) -> list[int]:
    """The replicas after each tick of so many seconds; `load` gives requests/s by the seconds since this call."""
    counts = []
    for second in range(int(seconds)):
        fleet.step(load(float(second)))
        if (second + 1) % int(cases.TICK) == 0:
            fleet.tick()
            counts.append(fleet.replicas)
    return counts
