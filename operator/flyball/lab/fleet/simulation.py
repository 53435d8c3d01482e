"""A fleet of replicas that serves a trace: advance its time, ask for replicas, scrape it."""

import heapq
import math
from collections.abc import Sequence

import numpy as np

from flyball.lab.fleet.gateway import release, take_back
from flyball.lab.fleet.loop import run, scrape
from flyball.lab.fleet.model import FleetOptions, FleetVariant, ReplicaCounts
from flyball.lab.fleet.outcome import Outcome, PaidReplicas, ScaleAction
from flyball.lab.fleet.replicas import Draws, Ledger, Replica
from flyball.lab.fleet.samples import Sample
from flyball.lab.fleet.state import Status, grown, new_state, occupy
from flyball.lab.trace import Trace

_FIRST_SLOTS = 16


class Simulation:
    """Time begins at 0 with the trace; the `initial` replicas of each variant are ready then.

    A request whose prompt and output exceed the smallest KV cache of the variants is rejected, for the gateway does
    not know where it would fit. All randomness comes from `seed`.
    """

    def __init__(
        self,
        trace: Trace,
        variants: Sequence[FleetVariant],
        options: FleetOptions,
        initial: Sequence[int],
        seed: int,
    ) -> None:
        if not variants or len(initial) != len(variants):
            raise ValueError(f"{len(variants)} variants and {len(initial)} initial counts; give one count per variant")
        self.now = 0.0
        self._variants = tuple(variants)
        self._options = options
        limit = min(variant.engine.kv_blocks * variant.engine.block_tokens for variant in variants)
        rejected = trace.input_tokens + trace.output_tokens > limit
        chance = np.random.default_rng((seed, len(variants))).random(len(trace))
        widest = max(variant.engine.max_batch for variant in variants)
        self._state = new_state(trace, options, rejected, chance, _FIRST_SLOTS, widest)
        self._free_slots = list(range(_FIRST_SLOTS - 1, -1, -1))
        self._draws = [Draws(variant, seed, index) for index, variant in enumerate(variants)]
        self._ledgers = [Ledger() for _ in variants]
        self._starts = [0] * len(variants)
        self._asked = [0] * len(variants)
        self._replicas: list[Replica] = []
        """Those not gone, in the order in which they were asked for."""
        self._created = 0
        self._events: list[tuple[float, int, str, Replica]] = []
        self._event_number = 0
        self._actions: list[ScaleAction] = []
        self._reclaims = self._failed_starts = 0
        self._rows: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        for variant, count in enumerate(initial):
            self._asked[variant] = _count(count)
            for _ in range(count):
                created = self._create(variant)
                if not self._has_gpus(variant):
                    raise ValueError(f"the initial replicas need more than the {options.gpus} GPUs there are")
                self._pay(created)
                self._become_ready(created)
        self._refresh()

    def advance(self, until: float) -> None:
        """Play everything up to and at `until`."""
        if until < self.now:
            raise ValueError(f"time ran backwards: {until} after {self.now}")
        while True:
            self.now = run(self._state, min(until, self._events[0][0]) if self._events else until)
            changed = self._bury_emptied()
            while self._events and self._events[0][0] <= self.now:
                _, _, what, replica = heapq.heappop(self._events)
                changed |= self._happen(what, replica)
            if changed:
                self._start_pending()
                self._refresh()
                release(self._state, self.now)
            elif self.now >= until and not (self._events and self._events[0][0] <= until):
                return

    def ask(self, variant: int, replicas: int) -> None:
        """Ask for so many replicas of a variant. The same number again changes nothing.

        More are created; of fewer, pending ones go first, then those that started last, then ready ones are drained,
        those with the fewest requests in flight first.
        """
        before = self._asked[variant]
        if _count(replicas) == before:
            return
        self._asked[variant] = replicas
        self._actions.append(ScaleAction(self.now, variant, before, replicas))
        self._settle(variant)
        self._start_pending()
        self._refresh()

    def counts(self) -> tuple[ReplicaCounts, ...]:
        """Each variant's replicas now."""
        found = []
        for index in range(len(self._variants)):
            ours = [replica for replica in self._replicas if replica.variant == index]
            draining = sum(replica.draining for replica in ours)
            ready = sum(replica.ready for replica in ours) - draining
            started = sum(replica.started for replica in ours)
            pending = len(ours) - started
            found.append(ReplicaCounts(self._asked[index], ready, started - ready - draining, pending, draining))
        return tuple(found)

    def sample(self) -> Sample:
        """What a scraper reads now."""
        if self._rows is None:
            ready = [replica for replica in self._replicas if replica.ready and not replica.draining]
            self._rows = (
                np.array([replica.slot for replica in ready], np.int64),
                np.array([replica.variant for replica in ready], np.int64),
                np.array([replica.number for replica in ready], np.int64),
            )
        slots, variants, numbers = self._rows
        return Sample(
            self.now,
            variants,
            numbers,
            scrape(self._state, slots, self.now),
            int(self._state.fleet[0]["held"]),
            int(self._state.fleet[0]["next_arrival"]),
        )

    def outcome(self) -> Outcome:
        """What became of the requests so far, and what was paid."""
        state = self._state
        return Outcome(
            until=self.now,
            arrived_at=state.requests["arrived_at"].copy(),
            first_token_at=state.requests["first_token_at"].copy(),
            finished_at=state.requests["finished_at"].copy(),
            rejected=state.requests["status"] == Status.REJECTED,
            dropped=state.requests["status"] == Status.DROPPED,
            cold=state.requests["cold"].copy(),
            variants=self._variants,
            paid=tuple(PaidReplicas(np.array(ledger.times), np.array(ledger.paid, float)) for ledger in self._ledgers),
            actions=tuple(self._actions),
            reclaims=self._reclaims,
            failed_starts=self._failed_starts,
        )

    @property
    def in_flight(self) -> int:
        """Requests that have come and are neither finished nor dropped nor rejected."""
        come = self._state.requests["status"][: self._state.fleet[0]["next_arrival"]]
        return int(np.count_nonzero(come < Status.FINISHED))

    def _settle(self, variant: int) -> None:
        """Create or remove replicas until as many are present as were asked for."""
        present = [replica for replica in self._replicas if replica.variant == variant and not replica.draining]
        for _ in range(self._asked[variant] - len(present)):
            self._create(variant)
        surplus = len(present) - self._asked[variant]
        if surplus > 0:
            flights = self._state.slots["in_flight"]
            present.sort(
                key=lambda replica: (
                    replica.started,
                    replica.ready,
                    flights[replica.slot] if replica.ready else 0,
                    -replica.number,
                )
            )
            for replica in present[:surplus]:
                self._drain(replica)

    def _create(self, variant: int) -> Replica:
        replica = Replica(self._created, variant)
        self._created += 1
        self._replicas.append(replica)
        return replica

    def _drain(self, replica: Replica) -> None:
        if replica.ready and self._state.slots[replica.slot]["in_flight"]:
            replica.draining = True
            self._state.slots[replica.slot]["draining"] = True
        else:
            self._bury(replica)

    def _bury(self, replica: Replica) -> None:
        """The replica is gone."""
        replica.gone = True
        self._replicas.remove(replica)
        if replica.started:
            self._ledgers[replica.variant].change(self.now, -1)
        if replica.ready:
            self._free_slots.append(replica.slot)

    def _bury_emptied(self) -> bool:
        emptied = [replica for replica in self._replicas if replica.draining]
        emptied = [replica for replica in emptied if not self._state.slots[replica.slot]["in_flight"]]
        for replica in emptied:
            self._bury(replica)
        return bool(emptied)

    def _has_gpus(self, variant: int) -> bool:
        if self._options.gpus is None:
            return True
        used = sum(self._variants[other.variant].gpus_per_replica for other in self._replicas if other.started)
        return used + self._variants[variant].gpus_per_replica <= self._options.gpus

    def _start_pending(self) -> None:
        """Give GPUs to pending replicas, oldest first; one that does not fit does not hold up a smaller one."""
        for replica in self._replicas:
            if not replica.started and self._has_gpus(replica.variant):
                k = self._pay(replica)
                self._expect(self._draws[replica.variant].startup_seconds(k), self._start_ends(replica, k), replica)

    def _pay(self, replica: Replica) -> int:
        """From now on the replica has its GPUs; returns which start of its variant this is."""
        replica.started = True
        self._ledgers[replica.variant].change(self.now, 1)
        k = self._next_start(replica.variant)
        draws = self._draws[replica.variant]
        replica.prefill_factor = draws.prefill_factor(k)
        life = draws.life_seconds(k)
        if math.isfinite(life):
            self._expect(life, "reclaimed", replica)
        return k

    def _next_start(self, variant: int) -> int:
        self._starts[variant] += 1
        return self._starts[variant] - 1

    def _start_ends(self, replica: Replica, k: int) -> str:
        return "failed" if self._draws[replica.variant].fails(k) else "ready"

    def _expect(self, seconds: float, what: str, replica: Replica) -> None:
        self._event_number += 1
        heapq.heappush(self._events, (self.now + seconds, self._event_number, what, replica))

    def _happen(self, what: str, replica: Replica) -> bool:
        """An event in a replica's life; False when the replica did not live to see it."""
        if replica.gone:
            return False
        if what == "ready":
            self._become_ready(replica)
        elif what == "failed":
            self._failed_starts += 1
            k = self._next_start(replica.variant)
            self._expect(self._draws[replica.variant].startup_seconds(k), self._start_ends(replica, k), replica)
        else:
            self._reclaims += 1
            if replica.ready:
                self._take_back(replica.slot)
            self._bury(replica)
            self._settle(replica.variant)
        return True

    def _take_back(self, slot: int) -> None:
        """The requests of a slot that is lost go back to the gateway."""
        requests = self._state.requests
        ours = (requests["slot"] == slot) & (requests["status"] >= Status.ARRIVING)
        take_back(self._state, np.flatnonzero(ours & (requests["status"] <= Status.RUNNING)))
        self._state.ends[1 + 2 * slot : 3 + 2 * slot] = -1
        self._state.slots[slot]["in_flight"] = 0

    def _become_ready(self, replica: Replica) -> None:
        if not self._free_slots:
            slots = len(self._state.ready)
            self._state = grown(self._state)
            self._free_slots = list(range(2 * slots - 1, slots - 1, -1))
        replica.slot = self._free_slots.pop()
        replica.ready = True
        occupy(self._state, replica.slot, self._variants[replica.variant].engine, replica.prefill_factor)

    def _refresh(self) -> None:
        """Tell the event loop which slots take requests, and which have any."""
        active = [replica for replica in self._replicas if replica.ready]
        ready = [replica.slot for replica in active if not replica.draining]
        state = self._state
        state.ready[: len(ready)] = ready
        state.active[: len(active)] = [replica.slot for replica in active]
        fleet = state.fleet[0]
        fleet["ready"], fleet["active"] = len(ready), len(active)
        fleet["cursor"] %= max(1, len(ready))
        self._rows = None


def _count(replicas: int) -> int:
    if replicas < 0:
        raise ValueError(f"{replicas} replicas cannot be asked for; give 0 or more")
    return replicas
