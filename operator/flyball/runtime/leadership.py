"""Which of several operators acts: the one that holds a Lease. The others follow, and take over when it is not renewed.

At most one writes at any time. A holder may write until a quarter of the lease before the earliest moment at which
another could take it: it counts from before it asked for its last renewal, others from when they saw that renewal.
Every write is checked against that right before it is sent, and is given up when the time is over
(`ApiServer.fence`). A process that was stopped, or cut off, finds no time left when it wakes.

The lease is kept in a thread of its own, with a connection of its own: a long tick does not cost it.
"""

import asyncio
import contextlib
import math
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import structlog

from flyball.cluster.lease import Held, Lease, boot_time
from flyball.core.ports import Conflict, PortError

# A holder that is gone is followed after the lease and two looks at it at most: (1 + 2 / 5) × 8 s = 11.2 s.
LEASE_SECONDS = 8
LOOKS_PER_LEASE = 5
SPARE = 1 / 4
RELEASE_SECONDS = 0.75

log = structlog.get_logger("flyball.leadership")


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who wants a Lease: `identity` names this process alone, and the Lease lasts for whole `seconds`."""

    identity: str
    seconds: int = LEASE_SECONDS

    @property
    def look_seconds(self) -> float:
        """Time from one look at the Lease to the next, and from one renewal to the next."""
        return self.seconds / LOOKS_PER_LEASE


class Standing:
    """What one process knows of a Lease, and what follows. Times are `boot_time`'s seconds."""

    def __init__(self, candidate: Candidate) -> None:
        self._candidate = candidate
        self._seen = Held()
        self._seen_at = 0.0
        self._right = (0, 0.0)  # one value, for other threads to read: the term, and until when it may write

    @property
    def seen(self) -> Held:
        """The record as it was last read or written."""
        return self._seen

    def see(self, held: Held, at: float) -> None:
        """Take in what was read, with the time after that; what it says of another holder ends this one's right."""
        if held.version != self._seen.version:
            self._seen, self._seen_at = held, at
        if held.holder != self._candidate.identity:
            self.yield_()

    def may_take(self, at: float) -> bool:
        """Whether it is ours, nobody's, or was not renewed for as long as it lasts."""
        mine = self._seen.holder in ("", self._candidate.identity)
        return mine or at - self._seen_at >= max(1, self._seen.seconds)

    def took(self, held: Held, asked_at: float, at: float) -> None:
        """Hold it: asked for at `asked_at`, and granted no earlier than that."""
        self._seen, self._seen_at = held, at
        self._right = (held.transitions, asked_at + self._candidate.seconds * (1 - SPARE))

    def yield_(self) -> None:
        """Write nothing any more."""
        self._right = (0, 0.0)

    def term(self, at: float) -> int | None:
        """The number of the present time as the holder, from 1; None while nothing may be written."""
        term, until = self._right
        return term if until > at else None

    def left(self, term: int, at: float) -> float:
        """For how many seconds writing in that term is still allowed; none where that is not positive."""
        now, until = self._right
        return until - at if now == term else 0.0


class Alone:
    """Leads from the beginning, without a Lease: nobody else is there."""

    holder = ""
    term: int | None = 1

    def start(self) -> None:
        """Nothing to want."""

    def close(self) -> None:
        """Nothing to give up."""

    def left(self, _term: int) -> float:
        """For ever."""
        return math.inf

    def require(self) -> None:
        """Nothing that could fail."""


class Leadership:
    """Wants a Lease from `start` to `close`.

    `connect` opens the Lease. `term` and `left` may be asked from any thread.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[Lease]],
        candidate: Candidate,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        self._connect = connect
        self._candidate = candidate
        self._clock = clock
        self._standing = Standing(candidate)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._keep()), name="lease", daemon=True)
        self._closing = threading.Event()
        self._wake: Callable[[], object] = lambda: None
        self._term: int | None = None
        self._reached = True

    def start(self) -> None:
        """Begin to want it."""
        self._thread.start()

    def close(self) -> None:
        """Give it up, so that the next one need not wait. Where the API server does not answer soon, nobody waits."""
        self._closing.set()
        self._wake()
        self._thread.join(RELEASE_SECONDS)

    @property
    def term(self) -> int | None:
        """The number of this process's present time as the holder, which no other time has; None while it follows."""
        return self._standing.term(self._clock())

    def left(self, term: int) -> float:
        """For how many seconds this process may still write what it decided in that term."""
        return self._standing.left(term, self._clock())

    @property
    def holder(self) -> str:
        """Who held it when this process last looked; empty where nobody did."""
        return self._standing.seen.holder

    def require(self) -> None:
        """Raise RuntimeError where nobody wants the Lease any more: this process could only follow for ever."""
        if not self._thread.is_alive() and not self._closing.is_set():
            raise RuntimeError("the lease is not kept any more; see the log")

    async def _keep(self) -> None:
        woken, loop = asyncio.Event(), asyncio.get_running_loop()
        self._wake = lambda: loop.call_soon_threadsafe(woken.set)
        try:
            async with self._connect() as lease:
                while not self._closing.is_set():
                    began = self._clock()
                    await self._look(lease)
                    self._tell()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(max(0.0, self._candidate.look_seconds - (self._clock() - began))):
                            await woken.wait()
                await self._release(lease)
        except Exception:
            log.exception("a defect of Flyball, please report it: the lease is not kept any more")
        finally:
            self._standing.yield_()
            self._wake = lambda: None

    async def _look(self, lease: Lease) -> None:
        """Read it unless it is ours, and take or renew it where that is due."""
        mine = self._candidate.identity
        try:
            if self._standing.term(self._clock()) is None:
                self._standing.see(await lease.read(), self._clock())
            if self._standing.may_take(self._clock()):
                asked_at = self._clock()
                held = await lease.take(self._standing.seen, mine, self._candidate.seconds)
                self._standing.took(held, asked_at, self._clock())
            self._reached = True
        except PortError as error:
            if self._reached:
                log.warning("the lease was not reached", error=str(error))
            self._reached = isinstance(error, Conflict)
            # The request may have come through all the same, or another one may have it by now.
            with contextlib.suppress(PortError):
                self._standing.see(await lease.read(), self._clock())

    def _tell(self) -> None:
        term = self._standing.term(self._clock())
        if term != self._term:
            self._term = term
            log.info("follows" if term is None else "leads", term=term, holder=self.holder)

    async def _release(self, lease: Lease) -> None:
        term = self._standing.term(self._clock())
        self._standing.yield_()
        if term is not None:
            with contextlib.suppress(PortError, TimeoutError):
                async with asyncio.timeout(RELEASE_SECONDS):
                    await lease.give_up(self._standing.seen)
                    log.info("the lease is given up", term=term)
