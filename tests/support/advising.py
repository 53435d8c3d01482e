"""Stand-ins for what advisers read and ask: hours of load, replicas' samples, and rivals that do what a test says."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from flyball.core.advice.outlook import HourOfLoad
from flyball.core.advice.shadow import ReplicaSample, ReplicaSignal, RivalReply, Sight
from flyball.core.names import WorkloadKey
from flyball.core.ports import PortError
from flyball.core.spec import WorkloadSpec

GAUGES = {ReplicaSignal.RUNNING: 4.0, ReplicaSignal.WAITING: 0.0, ReplicaSignal.KV_CACHE: 0.3}


@dataclass
class FakeHours:
    """Implements the HourlyLoad port: `rate` requests/s and mean `prompts` in each hour from `since` on, by its end.

    The rate is NaN before.
    """

    rate: Callable[[float], float] = lambda _: 10.0
    peak: float = 1.2
    prompts: Callable[[float], float] = lambda _: 300.0
    since: float = 0.0
    fail: PortError | None = None
    left_out: frozenset[str] = frozenset()
    asked: list[tuple[frozenset[str], float, float]] = field(default_factory=list)

    async def read_hours(
        self, workloads: Sequence[WorkloadSpec], begin: float, end: float
    ) -> Mapping[WorkloadKey, Sequence[HourOfLoad]]:
        self.asked.append((frozenset(spec.key.name for spec in workloads), begin, end))
        if self.fail is not None:
            raise self.fail
        ends = [begin + 3600 * n for n in range(1, round((end - begin) / 3600) + 1)]
        hours = [self._hour(at) for at in ends]
        return {spec.key: hours for spec in workloads if spec.key.name not in self.left_out}

    def _hour(self, at: float) -> HourOfLoad:
        rate = self.rate(at) if at > self.since else float("nan")
        return HourOfLoad(at, rate, rate * self.peak, self.prompts(at))


@dataclass
class FakeReplicas:
    """Implements the ReplicaTelemetry port: two replicas of every variant, which export these gauges."""

    values: Mapping[ReplicaSignal, float] = field(default_factory=lambda: dict(GAUGES))
    fail: PortError | None = None
    asked: list[frozenset[str]] = field(default_factory=list)

    async def read_replicas(
        self, workloads: Sequence[WorkloadSpec], at: float
    ) -> Mapping[WorkloadKey, Sequence[ReplicaSample]]:
        self.asked.append(frozenset(spec.key.name for spec in workloads))
        if self.fail is not None:
            raise self.fail
        return {
            spec.key: [ReplicaSample(v.name, f"{v.name}-{n}", self.values) for v in spec.variants for n in range(2)]
            for spec in workloads
        }


Answer = Callable[[Sight], RivalReply]


@dataclass
class FakeRivals:
    """Implements the Rivals port: each rival answers as its function does."""

    answers: dict[str, Answer]
    begun: int = 0

    def beside(self, spec: WorkloadSpec) -> "FakeRivalsOfOne":
        self.begun += 1
        return FakeRivalsOfOne(self)


@dataclass
class FakeRivalsOfOne:
    rivals: FakeRivals
    sight: Sight | None = None

    def see(self, sight: Sight) -> None:
        self.sight = sight

    def ask(self, rival: str) -> RivalReply:
        assert self.sight is not None
        return self.rivals.answers[rival](self.sight)


def wants(replicas: int) -> Answer:
    """A rival that asks for so many of every variant."""
    return lambda sight: RivalReply(tuple((variant.name, replicas) for variant in sight.spec.variants))


def raises(error: Exception) -> Answer:
    """A rival that raises."""

    def answer(_: Sight) -> RivalReply:
        raise error

    return answer


def hangs(released: threading.Event) -> Answer:
    """A rival that does not answer until it is released."""

    def answer(sight: Sight) -> RivalReply:
        released.wait()
        return wants(99)(sight)

    return answer
