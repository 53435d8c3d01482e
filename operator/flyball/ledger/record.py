"""One decision with everything that it was made from, as one line of JSON.

The values are core's own frozen dataclasses; nothing here names their fields, so that core may grow. Decimals become
strings, NaN and the infinities the strings `NaN`, `Infinity` and `-Infinity`; finite floats are written with the
digits that give the same bits back.
"""

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from flyball import __version__
from flyball.core.decision import Decision
from flyball.core.memory import Memory
from flyball.core.observation import Observation
from flyball.core.pools.gpu_pools import Grant
from flyball.core.spec import WorkloadSpec

SCHEMA = 1
"""Raised when lines of an older form can no longer be read."""


class UnreadableRecord(ValueError):
    """A line that is no record of this schema; the message says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """What `decide(spec, observation, memory)` was given, and the decision that it returned. `version` is Flyball's.

    `grants` are those of GPUPools that are fewer than were asked for: the decision is the one within them.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_inf_nan="strings")

    id: str
    schema: int
    version: str
    spec: WorkloadSpec
    observation: Observation
    memory: Memory
    decision: Decision
    grants: tuple[Grant, ...] = ()


_ADAPTER = TypeAdapter(Record)


def record_of(spec: WorkloadSpec, observation: Observation, memory: Memory, decision: Decision) -> Record:
    """The record of one decision; `memory` is what was remembered before it."""
    return Record(decision.id, SCHEMA, __version__, spec, observation, memory, decision)


def encode(record: Record) -> bytes:
    """One line of JSON with its line feed. Raises ValueError for what JSON cannot hold, such as half a surrogate."""
    return _ADAPTER.dump_json(record) + b"\n"


def decode(line: bytes) -> Record:
    """The record of a line. Raises UnreadableRecord."""
    try:
        record = _ADAPTER.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the line"
        raise UnreadableRecord(f"{place}: {first['msg']}") from None
    if record.schema != SCHEMA:
        raise UnreadableRecord(f"schema {record.schema} is not {SCHEMA}; replay it with Flyball {record.version}")
    return record
