"""What the operator remembers of one workload between ticks, beside what was decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flyball.api.parse import parse_status
from flyball.core.decision import Event
from flyball.core.memory import Memory
from flyball.core.names import ConditionType
from flyball.core.pools.rationing import GPUS_SHORT, limited_by_pool
from flyball.core.spec import TargetRef, WorkloadSpec
from flyball.core.told.conditions import KnownCondition
from flyball.runtime.budget import Annotations
from flyball.runtime.news import Figures, Shown, Status
from flyball.runtime.recall import recall

SCALE_BLOCKED = "ScaleBlocked"
INVALID_SPEC = "InvalidSpec"


@dataclass(slots=True)
class Known:
    """One WorkloadSLO, by uid: an object that was deleted and made anew begins anew.

    `spec` is the last valid one. `status` is the one that the API server has, `figures` the last that were in it,
    `states` the advisers' with it, `shown` the last one that was rendered, `status_at` when this process wrote it
    (None: a predecessor did) and `status_why` on what grounds. `annotated` are the targets that carry annotations, with
    their values. `blocked` are the writes whose refusal was announced, `unpublished` the Events that could not be
    written yet, each with its time. `told_wants` is what the last decision wanted to change: told once, not with every
    tick that wants the same.
    """

    uid: str
    memory: Memory
    conditions: tuple[KnownCondition, ...]
    status: Status
    figures: Figures = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    shown: Shown | None = None
    status_at: float | None = None
    status_why: str = ""
    spec: WorkloadSpec | None = None
    annotated: dict[TargetRef, Annotations] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    unpublished: list[tuple[Event, float]] = field(default_factory=list)
    told_invalid: int | None = None
    told_wants: tuple[tuple[str, object], ...] = ()
    released: bool = False

    @classmethod
    def recalled(cls, uid: str, raw: Mapping[str, Any]) -> "Known":
        """What the object itself remembers for an operator that sees it for the first time."""
        memory, conditions = recall(raw)
        known = cls(uid, memory, conditions, dict(raw.get("status") or {}))
        for condition in conditions:
            if condition.type is ConditionType.READY and condition.reason == INVALID_SPEC:
                known.told_invalid = condition.observed_generation
            if condition.type is ConditionType.SCALING_ACTIVE and condition.reason == SCALE_BLOCKED:
                known.blocked |= {word.rstrip(":") for word in condition.message.split()}
        known.blocked |= {f"{GPUS_SHORT}/{t.name}" for t in parse_status(raw).targets if limited_by_pool(t.limited_by)}
        return known
