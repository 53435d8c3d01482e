"""The statuses of GPUPools and DemandEvents: written when they say something new, and not again after a restart."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog

from flyball.core.decision import Condition
from flyball.core.ports import Missing, PortError
from flyball.core.told.conditions import merge
from flyball.runtime.shelf import Raw
from flyball.runtime.status import condition_to_wire, conditions_of

log = structlog.get_logger("flyball.tick")

# A status of which only a sentence changed is written again after so many seconds at the earliest.
REWORD_SECONDS = 60.0

Status = dict[str, Any]
NameT = TypeVar("NameT", bound=Hashable)


@dataclass(slots=True)
class _Written:
    """The status that the API server has of one object, and when this process wrote it (0: a predecessor did)."""

    uid: str
    status: Status
    at: float = 0.0


class OwnStatuses(Generic[NameT]):
    """The statuses of one kind of object by name; `send` writes one."""

    def __init__(self, send: Callable[[NameT, Mapping[str, object]], Awaitable[None]]) -> None:
        self._send = send
        self._written: dict[NameT, _Written] = {}

    async def write(
        self, name: NameT, raw: Raw, parts: Mapping[str, object], conditions: Sequence[Condition], at: float
    ) -> None:
        """Write a status where it differs: at once, or where only a sentence does, at most once a minute.

        A write that fails is repeated by the next tick, which calls this again.
        """
        metadata = raw["metadata"]
        uid, generation = str(metadata.get("uid", "")), int(metadata.get("generation") or 0)
        known = self._written.get(name)
        if known is None or known.uid != uid:
            known = _Written(uid, dict(raw.get("status") or {}))
            self._written[name] = known
        before = conditions_of({"conditions": known.status.get("conditions", [])})
        found = [condition_to_wire(each) for each in merge(before, conditions, at, generation)]
        status = {key: value for key, value in parts.items() if value not in (None, [], {})}
        now: Status = {"observedGeneration": generation, **status, "conditions": found}
        if now == known.status:
            return
        if _numbers(now) == _numbers(known.status) and at - known.at < REWORD_SECONDS:
            return
        try:
            await self._send(name, now)
        except Missing:
            return  # deleted meanwhile
        except PortError as error:
            log.warning("write failed", object=str(name), failures=[f"status: {error}"])
            return
        known.status, known.at = now, at

    def forget_all_but(self, names: Mapping[NameT, Any]) -> None:
        """Forget the objects that are gone."""
        self._written = {name: written for name, written in self._written.items() if name in names}


def _numbers(part: object) -> object:
    """A status without its sentences, which are all texts with a space in them."""
    if isinstance(part, Mapping):
        return {key: _numbers(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_numbers(value) for value in part]
    return None if isinstance(part, str) and " " in part else part
