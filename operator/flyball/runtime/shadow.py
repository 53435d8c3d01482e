"""`spec.shadow`: rival policies asked on the live metrics what they would do; nobody does it.

Replicas' metrics are read and rivals are asked beside the loop, in a thread of its own, with queries and a client of
their own. A rival that raises, or takes too long, is asked no more until the spec is edited or the operator restarts;
one that never returns keeps a thread and nothing else. What rivals and Flyball asked for is accounted from the same
moment on. After a restart everybody begins anew: `since` says when.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from flyball.core.advice.shadow import Asked, ReplicaSample, RivalReply, RivalState, Sight, asked, load_tests
from flyball.core.names import WorkloadKey
from flyball.core.ports import PortError, ReplicaTelemetry, Rivals, RivalsOfOne
from flyball.core.spec import WorkloadSpec
from flyball.runtime.advice import Advice, Seen
from flyball.runtime.aside import Beside, in_thread_of_its_own
from flyball.runtime.news import Status
from flyball.runtime.shadow_status import Standing, advice_of

SLOWEST_SECONDS = 1.0
"""Of processor time for one answer; they take milliseconds. More would hold the others up."""
LOOK_SECONDS = 10.0
"""For all the rivals of a look; below a tick of 15 s."""

log = structlog.get_logger("flyball.shadow")


@dataclass(slots=True)
class _Beside:
    """The rivals of one workload, as long as its spec is the same: whoever edits it asks anew."""

    spec: WorkloadSpec
    rivals: RivalsOfOne
    standings: dict[str, Standing]
    advice: Advice | None = None


@dataclass(slots=True)
class _Round:
    """One look at all workloads in its thread. `over` tells a thread that came back late that nobody waits for it."""

    jobs: Sequence[tuple[_Beside, Sight]]
    replies: dict[tuple[WorkloadKey, str], RivalReply | str] = field(default_factory=dict)
    asking: tuple[WorkloadKey, str] | None = None
    over: bool = False

    def run(self) -> None:
        """Ask every rival that has not failed; an answer is a reply, or in words why there will be none any more."""
        for beside, sight in self.jobs:
            names = [name for name, each in beside.standings.items() if each.state is not RivalState.FAILED]
            for index, name in enumerate(names):
                if self.over:
                    return
                self.asking = (sight.spec.key, name)
                self.replies[self.asking] = _asked(beside.rivals, name, sight if index == 0 else None)
        self.asking = None


def _asked(rivals: RivalsOfOne, name: str, sight: Sight | None) -> RivalReply | str:
    began = time.thread_time()
    try:
        if sight is not None:
            rivals.see(sight)
        reply = rivals.ask(name)
    except Exception as error:  # noqa: BLE001 - whatever a rival does is told, and touches nobody else
        return f"it failed with {type(error).__name__}: {error}"
    took = time.thread_time() - began
    return reply if took <= SLOWEST_SECONDS else f"it took {took:.1f} s of processor time for one answer"


class Shadow(Beside):
    """Implements `flyball.runtime.advice.Adviser`. `missed` counts looks for which there was no time or no data."""

    def __init__(self, rivals: Rivals, telemetry: ReplicaTelemetry) -> None:
        super().__init__("shadow")
        self._rivals = rivals
        self._telemetry = telemetry
        self._beside: dict[WorkloadKey, _Beside] = {}
        self._unread = 0
        self._problem = ""

    @property
    def missed(self) -> int:
        """Looks at which nobody was asked."""
        return self._aside.missed + self._unread

    def look(self, at: float, seen: Sequence[Seen]) -> None:
        """Take in a finished tick."""
        shadowed = [each for each in seen if each.spec.shadow]
        self._beside = {each.spec.key: self._of(each.spec) for each in shadowed}
        if shadowed:
            self._aside.offer(lambda: self._work(at, shadowed))

    def advice(self, spec: WorkloadSpec, before: Status) -> Advice:
        """How the rivals stand by now."""
        if not spec.shadow:
            return Advice()
        beside = self._beside.get(spec.key)
        if beside is not None and beside.advice is not None:
            return beside.advice
        return Advice({"shadow": before["shadow"]}) if before.get("shadow") else Advice()

    def _of(self, spec: WorkloadSpec) -> _Beside:
        """The rivals of a workload; fresh ones where its spec was edited."""
        known = self._beside.get(spec.key)
        if known is not None and (known.spec.uid, known.spec.generation) == (spec.uid, spec.generation):
            return known
        return _Beside(spec, self._rivals.beside(spec), {name: Standing(name) for name in spec.shadow})

    async def _work(self, at: float, seen: Sequence[Seen]) -> None:
        try:
            samples = await self._telemetry.read_replicas([each.spec for each in seen], at)
        except PortError as error:
            self._unread += 1
            self._note(str(error))
            return
        self._note("")
        sights = {each.spec.key: _sight(each, samples.get(each.spec.key, ()), at) for each in seen}
        jobs = [(beside, sights[key]) for key, beside in self._beside.items() if key in sights]
        found = _Round(jobs)
        try:
            await in_thread_of_its_own(found.run, LOOK_SECONDS)
        except TimeoutError:
            found.over = True
            self._give_up(found)
        settled = [(self._beside[each.spec.key], each) for each in seen if each.spec.key in self._beside]
        await in_thread_of_its_own(lambda: _settle_all(settled, found.replies, at), LOOK_SECONDS)

    def _give_up(self, found: _Round) -> None:
        """The rival that was being asked is asked no more, and its neighbours go on without what it may have broken."""
        if found.asking is None:
            return
        key, name = found.asking
        found.replies[found.asking] = f"it did not answer within {LOOK_SECONDS:g} s"
        beside = self._beside.get(key)
        if beside is not None:
            beside.rivals = self._rivals.beside(beside.spec)
            for standing in beside.standings.values():
                standing.since = 0.0
        log.warning("a rival did not answer", workload=str(key), rival=name)

    def _note(self, problem: str) -> None:
        """Log a failure once when it begins or changes, and its end."""
        if problem != self._problem:
            if problem:
                log.warning("rivals see nothing", reason=problem)
            else:
                log.info("rivals see again")
            self._problem = problem


def _sight(seen: Seen, samples: Sequence[ReplicaSample], at: float) -> Sight:
    tests = load_tests(seen.spec, seen.memory)
    return Sight(at, seen.spec, seen.observation.state, seen.memory, tests, tuple(samples))


def _settle_all(
    settled: Sequence[tuple[_Beside, Seen]], replies: Mapping[tuple[WorkloadKey, str], RivalReply | str], at: float
) -> None:
    for beside, seen in settled:
        _settle(beside, seen, replies, at)


def _settle(
    beside: _Beside, seen: Seen, replies: Mapping[tuple[WorkloadKey, str], RivalReply | str], at: float
) -> None:
    """Take the replies in, account what everybody asks for from now on, and make the advice of it."""
    own = asked(seen.spec, seen.observation.state, {each.name: each.desired for each in seen.decision.variants})
    for name, standing in beside.standings.items():
        reply = replies.get((seen.spec.key, name))
        wish = None
        if isinstance(reply, RivalReply):
            wish = _take(standing, reply, seen, at)
        elif reply is not None:
            standing.state, standing.message, standing.desired = RivalState.FAILED, reply, ()
            log.warning("a rival is asked no more", workload=str(seen.spec.key), rival=name, reason=reply)
        standing.wish = wish
        standing.account = standing.account.advanced(at, wish, own)
    beside.advice = advice_of(list(beside.standings.values()))


def _take(standing: Standing, reply: RivalReply, seen: Seen, at: float) -> Asked | None:
    """What a rival asks for. One that waits for what it had before, such as pods that restart, is still running."""
    standing.missing = reply.missing
    if reply.desired is not None:
        standing.state, standing.message, standing.desired = RivalState.RUNNING, reply.note, reply.desired
        standing.since = standing.since or at
        return asked(seen.spec, seen.observation.state, dict(reply.desired))
    standing.desired = ()
    if reply.missing:
        standing.state = RivalState.METRIC_MISSING
        standing.message = f"no replica exports {', '.join(reply.missing)}"
    elif standing.state is not RivalState.RUNNING:
        standing.state, standing.message = RivalState.WAITING, reply.waits_for
    return None
