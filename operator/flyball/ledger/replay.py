"""A recorded decision made again from its record, and whether it came out the same, bit for bit."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from flyball.core.decide import decide
from flyball.core.decision import Decision
from flyball.core.pools.rationing import rationed
from flyball.ledger.record import Record, decode, encode


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two decisions differ: its path, and both values as JSON (None where there is no such place)."""

    path: str
    recorded: str | None
    replayed: str | None


@dataclass(frozen=True, slots=True)
class Replay:
    """The decision as it comes out now, and where it differs from the recorded one: nowhere, if all is well."""

    decision: Decision
    differences: tuple[Difference, ...]

    @property
    def equal(self) -> bool:
        """Whether both are the same in every bit."""
        return not self.differences


def replay(record: Record) -> Replay:
    """Decide again from what was recorded, within what GPUPools granted then."""
    wanted, _ = decide(record.spec, record.observation, record.memory)
    decision = rationed(wanted, record.grants)
    recorded, replayed = _tree(record), _tree(replace(record, decision=decision))
    return Replay(decision, tuple(_differences(recorded, replayed, "")))


def _tree(record: Record) -> Any:
    """The decision as JSON values, after a way through a record and back: as core types its fields."""
    return json.loads(encode(decode(encode(record))))["decision"]


def _differences(recorded: Any, replayed: Any, path: str) -> Iterator[Difference]:
    if isinstance(recorded, dict) and isinstance(replayed, dict):
        for key in dict.fromkeys([*recorded, *replayed]):
            yield from _member(recorded, replayed, key, f"{path}.{key}" if path else key)
    elif isinstance(recorded, list) and isinstance(replayed, list):
        for index in range(max(len(recorded), len(replayed))):
            yield from _member(dict(enumerate(recorded)), dict(enumerate(replayed)), index, f"{path}[{index}]")
    elif repr(recorded) != repr(replayed):  # the shortest digits that give a float back: 0.0 is not -0.0
        yield Difference(path, json.dumps(recorded), json.dumps(replayed))


def _member(recorded: dict[Any, Any], replayed: dict[Any, Any], key: Any, path: str) -> Iterator[Difference]:
    if key in recorded and key in replayed:
        yield from _differences(recorded[key], replayed[key], path)
    else:
        yield Difference(
            path,
            json.dumps(recorded[key]) if key in recorded else None,
            json.dumps(replayed[key]) if key in replayed else None,
        )
