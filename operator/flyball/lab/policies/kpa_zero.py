"""Knative's step to zero: a revision must have been active for a stable window, then wait behind the activator.

Restated from pkg/reconciler/autoscaling/kpa (scaler.go, kpa.go). The activator is in the path, which is the proxy mode,
whenever the replicas cannot cover the burst that is to be taken without queueing, and while none are wanted. Its probe
is taken to succeed at once.
"""

from enum import Enum, auto

GRACE_SECONDS = 30.0
# The progress deadline of 600 s and the reconciler's own 30 s: a revision that no pod of got ready is given up.
ACTIVATION_SECONDS = 630.0
UNKNOWN = -1


class _Phase(Enum):
    """The autoscaler's condition Active: unknown, true, false."""

    ACTIVATING = auto()
    ACTIVE = auto()
    INACTIVE = auto()


class ZeroGate:
    """One revision's conditions. A revision that is found with ready pods counts as active from then on, one without
    as having slept for long.
    """

    def __init__(self, stable_seconds: float, min_replicas: int, ready: int, now: float) -> None:
        self._stable_seconds = stable_seconds
        self._min_replicas = min_replicas
        self._phase = _Phase.ACTIVE if ready > 0 else _Phase.INACTIVE
        self._since = now if ready > 0 else now - ACTIVATION_SECONDS
        self._proxied_since: float | None = None if ready > 0 else self._since

    def reconcile(self, wanted: int, ready: int, *, covers_burst: bool, now: float) -> int | None:
        """Replicas to write, None to leave them. `wanted` is UNKNOWN as long as there were no metrics at all.

        What changes the condition is looked at again at once, as the change of an object's status is.
        """
        while True:
            phase = self._phase
            replicas = self._reconcile_once(wanted, ready, covers_burst, now)
            if self._phase is phase or replicas is not None:
                return replicas

    def _reconcile_once(self, wanted: int, ready: int, covers_burst: bool, now: float) -> int | None:
        target, applies = self._target(wanted, now)
        if target > 0 and covers_burst:
            self._proxied_since = None
        elif self._proxied_since is None:
            self._proxied_since = now
        self._enter(self._next_phase(target, ready), now)
        return target if applies else None

    def _target(self, wanted: int, now: float) -> tuple[int, bool]:
        """What the revision's scale should be, and whether it is to be written now."""
        if wanted == UNKNOWN and self._phase is not _Phase.ACTIVATING:
            return UNKNOWN, False
        target = max(wanted, self._min_replicas)
        if target != 0:
            return target, True
        elapsed = now - self._since
        if self._phase is _Phase.ACTIVATING:
            return (0, True) if elapsed > ACTIVATION_SECONDS else (UNKNOWN, False)
        if self._phase is _Phase.ACTIVE:
            return (0, False) if elapsed >= self._stable_seconds else (1, True)
        proxied = now - self._proxied_since if self._proxied_since is not None else 0.0
        return 0, max(elapsed, proxied) >= GRACE_SECONDS

    def _next_phase(self, target: int, ready: int) -> _Phase:
        if target == 0:
            return _Phase.INACTIVE
        if target == UNKNOWN and self._phase is _Phase.INACTIVE:
            return self._phase
        return _Phase.ACTIVE if ready >= max(1, self._min_replicas) else _Phase.ACTIVATING

    def _enter(self, phase: _Phase, now: float) -> None:
        if phase is not self._phase:
            self._phase, self._since = phase, now
