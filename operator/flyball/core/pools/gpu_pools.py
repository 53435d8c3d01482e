"""GPUs that workloads share: what a GPUPool holds, what each target asks of it, and what it is granted.

Counts of replicas are a target's; counts of GPUs are replicas × GPUs per replica.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from flyball.core.names import WorkloadKey
from flyball.core.units import counted
from flyball.core.values import dataclass


class Peers(StrEnum):
    """Who comes first among workloads of one priority."""

    MARGINAL_VALUE = "MarginalValue"
    EQUAL_SHARE = "EqualShare"


class Preemption(StrEnum):
    """Whether GPUs that serve one workload may be given to another."""

    HIGHER_PRIORITY = "HigherPriority"
    NEVER = "Never"


@dataclass(frozen=True, slots=True)
class NodeGpus:
    """The GPUs that pods can be given on one node, and its labels."""

    accelerator: str
    gpus: int
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Stock:
    """A pool's GPUs of one accelerator. `gpus` is None where they could not be counted.

    `reserve` of them are never handed out. `quotas` are the most that a namespace may hold.
    """

    accelerator: str
    gpus: int | None
    reserve: int = 0
    quotas: tuple[tuple[str, int], ...] = ()

    @property
    def available(self) -> int | None:
        """What may be handed out; None where that is not known."""
        return None if self.gpus is None else max(0, self.gpus - self.reserve)


@dataclass(frozen=True, slots=True)
class Pool:
    """A GPUPool: its stocks, the namespaces that draw on it (none named: all), and its yield rule."""

    name: str
    stocks: tuple[Stock, ...]
    namespaces: frozenset[str] = frozenset()
    peers: Peers = Peers.MARGINAL_VALUE
    preemption: Preemption = Preemption.HIGHER_PRIORITY

    def stock(self, accelerator: str | None) -> Stock | None:
        """The stock of that accelerator, None where the pool holds none."""
        return next((stock for stock in self.stocks if stock.accelerator == accelerator), None)


@dataclass(frozen=True, slots=True)
class Ask:
    """What one target of a workload wants: `desired` replicas, where `current` run and `minimum` were promised.

    `fixed` targets are not Flyball's to change now: they hold what they hold, and ask for nothing more.
    """

    key: WorkloadKey
    target: str
    accelerator: str | None
    gpus_per_replica: int
    minimum: int
    current: int
    desired: int
    priority: int = 0
    arrivals_per_second: float | None = None
    capacity_per_replica: float | None = None
    value_per_request: float | None = None
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """The replicas that one target may have. `pool` is empty where no pool holds its accelerator for its namespace.

    `why` says for what reason it is fewer than asked, and is empty where it is not.
    """

    ask: Ask
    replicas: int
    pool: str = ""
    why: str = ""

    @property
    def short(self) -> bool:
        """Whether fewer replicas are granted than were asked for."""
        return self.replicas < self.ask.desired

    @property
    def text(self) -> str:
        """How few are granted and why, in a sentence; empty where it is all."""
        if not self.short:
            return ""
        verb = "is" if self.replicas == 1 else "are"
        return f"{self.replicas} of the {counted(self.ask.desired, 'replica')} asked for {verb} granted: {self.why}"

    @property
    def gpus(self) -> int:
        """The GPUs granted."""
        return self.replicas * self.ask.gpus_per_replica


def pool_for(pools: Iterable[Pool], namespace: str, accelerator: str | None) -> Pool | None:
    """The pool that a namespace draws that accelerator from.

    One that names the namespace goes before one for all; of several, the first by name.
    """
    found = [
        pool
        for pool in pools
        if pool.stock(accelerator) is not None and (not pool.namespaces or namespace in pool.namespaces)
    ]
    return min(found, key=lambda pool: (not pool.namespaces, pool.name), default=None)
