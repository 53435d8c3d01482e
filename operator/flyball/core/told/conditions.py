"""Merging conditions with their history: a transition time moves only when the status does, and order never does."""

from collections.abc import Sequence

from flyball.core.decision import Condition
from flyball.core.names import ConditionType
from flyball.core.values import dataclass

UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class KnownCondition:
    """A condition with its history. `since` (seconds since the epoch) is when the status last changed."""

    type: ConditionType
    status: str
    reason: str
    message: str
    since: float
    observed_generation: int


def merge(
    known: Sequence[KnownCondition], found: Sequence[Condition], at: float, generation: int
) -> tuple[KnownCondition, ...]:
    """The conditions found now, in their order, each with the time since which its status holds; others are gone."""
    history = {condition.type: condition for condition in known}
    merged = []
    for condition in found:
        status = UNKNOWN if condition.status is None else str(condition.status)
        before = history.get(condition.type)
        since = before.since if before is not None and before.status == status else at
        merged.append(
            KnownCondition(condition.type, status, condition.reason, condition.message, since, generation),
        )
    return tuple(merged)
