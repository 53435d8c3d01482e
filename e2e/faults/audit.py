"""What the API server's audit log says about who wrote when, and whether the writer held the Lease then."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

WRITES = ("create", "update", "patch", "delete")
_POD = "authentication.kubernetes.io/pod-name"


@dataclass(frozen=True, slots=True)
class Write:
    """One write as the API server saw it: from `at` to `until` (epoch seconds), by a pod or else a user."""

    at: float
    until: float
    author: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int

    def __str__(self) -> str:
        return f"{self.author} {self.verb} {self.resource} {self.namespace}/{self.name} at {self.at:.3f} ({self.code})"


def writes(log: Path, since: float = 0.0) -> Iterator[Write]:
    """Every write that was received since then, oldest first."""
    found = []
    with log.open() as lines:
        for line in lines:
            entry = json.loads(line)
            if entry["stage"] != "ResponseComplete" or entry["verb"] not in WRITES or "objectRef" not in entry:
                continue
            at = _time(entry["requestReceivedTimestamp"])
            if at >= since:
                found.append(_write(entry, at))
    yield from sorted(found, key=lambda write: write.at)


def _write(entry: dict[str, Any], at: float) -> Write:
    reference, user = entry["objectRef"], entry["user"]
    pod = (user.get("extra") or {}).get(_POD)
    return Write(
        at=at,
        until=_time(entry["stageTimestamp"]),
        author=pod[0] if pod else user["username"],
        verb=entry["verb"],
        resource="/".join(part for part in (reference["resource"], reference.get("subresource")) if part),
        namespace=reference.get("namespace", ""),
        name=reference.get("name", ""),
        code=entry.get("responseStatus", {}).get("code", 0),
    )


def strays(found: Iterable[Write], lease: str) -> list[Write]:
    """Writes by operators that did not hold the Lease (`namespace/name`) when the API server received them.

    Operators are those that ever wrote the Lease; its holder is the last one whose write of it succeeded.
    """
    ordered = list(found)
    ours = [write for write in ordered if write.resource == "leases" and f"{write.namespace}/{write.name}" == lease]
    authors = {write.author for write in ours}
    taken = sorted((write.until, write.author) for write in ours if write.verb == "patch" and write.code < 300)
    stray = []
    for write in ordered:
        if write.author in authors and write.resource != "leases":
            holder = next((author for until, author in reversed(taken) if until <= write.at), "")
            stray += [] if holder == write.author else [write]
    return stray


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
