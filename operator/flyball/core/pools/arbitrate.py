"""Who gets the GPUs when there are fewer than all want: `arbitrate(pools, asks) -> grants`, pure.

The laws, in the order in which they win, for each accelerator of a pool:

1. Never more than the inventory less its reserve, nor than a namespace's quota. Targets that Flyball may not change
   hold what they hold.
2. First one replica for every target that was promised a minimum, then the minimums, each time those of the highest
   priority before others. So nobody with a minimum starves where one replica for each fits.
3. A higher priority goes before a lower one, also with GPUs that run for the lower (unless preemption is Never).
4. Within a priority nobody loses what runs; a GPU that is free goes where it serves most: the next replica's requests/s
   × the worth of a request, per GPU. What replicas serve grows with their number until all that arrives is served,
   so the greedy order is the best one (a separable concave benefit).
5. What is worth the same goes to whom less of what it asks for is granted, then by name.

Deciding again with the grants as what runs changes nothing: every law then finds its own outcome in place.
"""

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby

from flyball.core.names import WorkloadKey
from flyball.core.pools.gpu_pools import Ask, Grant, Peers, Pool, Preemption, Stock, pool_for
from flyball.core.units import conjoin, counted

# Of those who hold a short workload's GPUs this many are named, and the others counted.
NAMED_HOLDERS = 2


class Measure(Enum):
    """What replicas of one priority are compared by, said as where a free GPU goes."""

    DOLLARS = "where it earns most"
    REQUESTS = "where it serves most requests"
    SHARE = "to whom the smallest share is granted"


def arbitrate(pools: Sequence[Pool], asks: Sequence[Ask]) -> tuple[Grant, ...]:
    """A grant for each ask, in their order."""
    drawn: dict[tuple[str, str], list[int]] = defaultdict(list)
    found: dict[str, Pool] = {}
    grants = [Grant(ask, ask.desired) for ask in asks]
    for index, ask in enumerate(asks):
        pool = pool_for(pools, ask.key.namespace, ask.accelerator)
        if pool is not None and ask.accelerator is not None:
            found[pool.name] = pool
            drawn[pool.name, ask.accelerator].append(index)
    wanted: dict[WorkloadKey, int] = defaultdict(int)
    for ask in asks:
        wanted[ask.key] += ask.desired
    for (name, accelerator), indices in drawn.items():
        pool = found[name]
        stock = pool.stock(accelerator)
        if stock is not None:
            shared = _of_stock(pool, stock, [asks[index] for index in indices], wanted)
            for index, grant in zip(indices, shared, strict=True):
                grants[index] = grant
    return tuple(grants)


def _of_stock(pool: Pool, stock: Stock, asks: Sequence[Ask], wanted: Mapping[WorkloadKey, int]) -> list[Grant]:
    if stock.available is None or _enough(stock, asks):
        return [Grant(ask, ask.desired, pool.name) for ask in asks]
    counts = _Sharing(pool, stock, asks, wanted).counts()
    story = _Story(pool, stock, asks, counts)
    return [
        Grant(ask, counts[i], pool.name, story.of(i) if counts[i] < ask.desired else "") for i, ask in enumerate(asks)
    ]


def _enough(stock: Stock, asks: Sequence[Ask]) -> bool:
    by_namespace: dict[str, int] = defaultdict(int)
    for ask in asks:
        by_namespace[ask.key.namespace] += ask.desired * ask.gpus_per_replica
    within = all(by_namespace[namespace] <= most for namespace, most in stock.quotas)
    return within and sum(by_namespace.values()) <= (stock.available or 0)


@dataclass(slots=True)
class _Sharing:
    """One stock being handed out."""

    pool: Pool
    stock: Stock
    asks: Sequence[Ask]
    wanted: Mapping[WorkloadKey, int]
    granted: list[int] = field(init=False)
    replicas: dict[WorkloadKey, int] = field(init=False)
    """By workload, the replicas that serve its load: those granted here, and those that it wants elsewhere."""
    free: int = field(init=False)
    quota: dict[str, int] = field(init=False)

    def counts(self) -> list[int]:
        """Replicas by ask."""
        self.granted = [ask.current if ask.fixed else 0 for ask in self.asks]
        held: dict[str, int] = defaultdict(int)
        own: dict[WorkloadKey, int] = defaultdict(int)
        for ask, count in zip(self.asks, self.granted, strict=True):
            held[ask.key.namespace] += count * ask.gpus_per_replica
            own[ask.key] += ask.desired - count
        self.replicas = {key: self.wanted.get(key, 0) - here for key, here in own.items()}
        self.free = (self.stock.available or 0) - sum(held.values())
        self.quota = {namespace: most - held[namespace] for namespace, most in self.stock.quotas}
        open_ = sorted((i for i, ask in enumerate(self.asks) if not ask.fixed), key=lambda i: -self.asks[i].priority)
        bands = [list(band) for _, band in groupby(open_, key=lambda i: self.asks[i].priority)]
        for least in (self._one, self._minimum):
            for band in bands:
                self._hand_out(band, least, Measure.SHARE, running=True)
                self._hand_out(band, least, Measure.SHARE)
        if self.pool.preemption is Preemption.NEVER:
            for band in bands:
                self._hand_out(band, self._desired, self._measure(band), running=True)
        for band in bands:
            self._hand_out(band, self._desired, self._measure(band), running=True)
            self._hand_out(band, self._desired, self._measure(band))
        return self.granted

    def _minimum(self, index: int) -> int:
        return min(self.asks[index].desired, self.asks[index].minimum)

    def _one(self, index: int) -> int:
        return min(self._minimum(index), 1)

    def _desired(self, index: int) -> int:
        return self.asks[index].desired

    def _measure(self, band: Sequence[int]) -> Measure:
        return measure(self.pool.peers, [self.asks[i] for i in band])

    def _hand_out(
        self, band: Sequence[int], limit: Callable[[int], int], measure: Measure, *, running: bool = False
    ) -> None:
        """Give replica after replica to the band's asks, each up to its limit, the most worthy next one first.

        With `running` only as many as run.
        """
        limits = {i: min(limit(i), self.asks[i].current) if running else limit(i) for i in band}
        if self._fit(limits):
            for index, count in limits.items():
                self._give(index, max(0, count - self.granted[index]))
            return
        heap = [self._next(i, measure) for i in band if self.granted[i] < limits[i]]
        heapq.heapify(heap)
        while heap:
            index = heap[0][-1]
            current = self._next(index, measure)
            if current != heap[0]:  # its workload got a replica of another target meanwhile
                heapq.heapreplace(heap, current)
                continue
            if not self._give(index) or self.granted[index] >= limits[index]:
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, self._next(index, measure))

    def _next(self, index: int, measure: Measure) -> tuple[float, float, WorkloadKey, str, int]:
        ask = self.asks[index]
        worth = 0.0 if measure is Measure.SHARE else served_more(ask, self.replicas[ask.key]) / ask.gpus_per_replica
        if measure is Measure.DOLLARS:
            worth *= ask.value_per_request or 0.0
        return -worth, self.granted[index] / ask.desired, ask.key, ask.target, index

    def _fit(self, limits: Mapping[int, int]) -> bool:
        """Whether all of them can have as many: then no order is needed."""
        needed: dict[str, int] = defaultdict(int)
        for index, count in limits.items():
            ask = self.asks[index]
            needed[ask.key.namespace] += max(0, count - self.granted[index]) * ask.gpus_per_replica
        within = all(gpus <= self.quota.get(namespace, gpus) for namespace, gpus in needed.items())
        return within and sum(needed.values()) <= self.free

    def _give(self, index: int, replicas: int = 1) -> bool:
        """Replicas, if they fit: GPUs get only fewer, so what does not fit now never will."""
        ask = self.asks[index]
        gpus, namespace = ask.gpus_per_replica * replicas, ask.key.namespace
        if gpus > self.free or gpus > self.quota.get(namespace, gpus):
            return False
        self.free -= gpus
        if namespace in self.quota:
            self.quota[namespace] -= gpus
        self.granted[index] += replicas
        self.replicas[ask.key] += replicas
        return True


def measure(peers: Peers, asks: Sequence[Ask]) -> Measure:
    """What targets of one priority are compared by: the best measure that all of them who want something have."""
    contenders = [ask for ask in asks if ask.desired]
    if peers is Peers.EQUAL_SHARE or any(
        not (_known(a.arrivals_per_second) and a.capacity_per_replica) for a in contenders
    ):
        return Measure.SHARE
    return Measure.DOLLARS if all(_known(a.value_per_request) for a in contenders) else Measure.REQUESTS


def _known(figure: float | None) -> bool:
    return figure is not None and math.isfinite(figure)


def served_more(ask: Ask, replicas: int) -> float:
    """The requests/s that one replica more would serve beside that many; 0 where its figures are not known."""
    arrivals, capacity = ask.arrivals_per_second or 0.0, ask.capacity_per_replica or 0.0
    return min(arrivals, (replicas + 1) * capacity) - min(arrivals, replicas * capacity)


class _Story:
    """Why the asks of one stock are granted what they are."""

    def __init__(self, pool: Pool, stock: Stock, asks: Sequence[Ask], counts: Sequence[int]) -> None:
        self._pool, self._stock, self._asks = pool, stock, asks
        self._by_workload: dict[WorkloadKey, int] = defaultdict(int)
        self._by_namespace: dict[str, int] = defaultdict(int)
        self._peers: dict[int, list[Ask]] = defaultdict(list)
        for ask, count in zip(asks, counts, strict=True):
            self._by_workload[ask.key] += count * ask.gpus_per_replica
            self._by_namespace[ask.key.namespace] += count * ask.gpus_per_replica
            self._peers[ask.priority] += [] if ask.fixed else [ask]
        priorities = {ask.key: ask.priority for ask in asks}
        held = [(key, gpus, priorities[key]) for key, gpus in self._by_workload.items() if gpus]
        self._holders = sorted(held, key=lambda holder: (-holder[2], -holder[1], holder[0]))
        self._measures = {priority: measure(pool.peers, peers) for priority, peers in self._peers.items()}
        self._all = sum(self._by_workload.values())
        self._workloads_holding = Counter(priority for _, _, priority in held)

    def of(self, index: int) -> str:
        """Why fewer replicas are granted than this ask wants, in words."""
        ask, pool = self._asks[index], self._pool.name
        namespace, accelerator = ask.key.namespace, self._stock.accelerator
        most = dict(self._stock.quotas).get(namespace)
        if most is not None and self._by_namespace[namespace] + ask.gpus_per_replica > most:
            return f"namespace {namespace} may hold {most} {accelerator} of GPUPool {pool}"
        parts = [f"GPUPool {pool} hands out {self._stock.available} {accelerator}", *self._others(ask.key)]
        own = 1 if self._by_workload[ask.key] else 0
        rule = ""
        if self._workloads_holding[ask.priority] > own and ask.priority in self._measures:
            rule = f"; of one priority, what runs stays and a free GPU goes {self._measures[ask.priority].value}"
        return ", ".join(parts) + rule

    def _others(self, key: WorkloadKey) -> list[str]:
        """Who else holds GPUs: the first by rank by name, the others counted."""
        first = [holder for holder in self._holders[: NAMED_HOLDERS + 1] if holder[0] != key][:NAMED_HOLDERS]
        named = [f"{gpus} to {other} (priority {priority})" for other, gpus, priority in first]
        own = self._by_workload[key]
        left = len(self._holders) - len(first) - (1 if own else 0)
        gpus = self._all - own - sum(held for _, held, _ in first)
        named += [f"{gpus} to {counted(left, 'other workload')}"] if left else []
        return [conjoin(named)] if named else []
