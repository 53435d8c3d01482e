"""Quiet: what the operator writes to the API server while steady loads go on, counted from the audit log.

Two workloads: one under recorded traffic of few requests, one under the generator's Poisson arrivals at one rate.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.story import kit as tools
from e2e.story.watch import look

if TYPE_CHECKING:
    from collections.abc import Iterator

# Five minutes fill the windows that states and unit costs are made of.
SETTLE_SECONDS = 330
WRITES = ("create", "update", "patch", "delete")
CONSTANT = "generate:conversation?rate=0.5&burst=0&seed=1"
TWIN = "steady"
"""The namespace of the second workload, a copy of the story's."""


def measure(minutes: float = 10.0, **_: float) -> dict[str, str]:
    """Writes by the operator, by workload, and by everybody else, during some minutes of steady load."""
    kit = tools.with_image(tools.cluster_up())
    kit.install()
    tools.deploy_story(kit)
    _deploy_twin(kit)
    length = f"{int(SETTLE_SECONDS + minutes * 60 + 30)}s"
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as loads:
        loads.enter_context(_loaded(kit, Path(folder), "recorded", 0.045, length))
        loads.enter_context(_loaded(kit, Path(folder), TWIN, 1.0, length, CONSTANT))
        time.sleep(SETTLE_SECONDS)
        began = time.time()
        time.sleep(minutes * 60)
        ended = time.time()
        replicas = [look(kit, time.monotonic(), namespace).replicas for namespace in ("demo", TWIN)]
    kit.kubectl("delete", "namespace", TWIN)
    counted = writes(kit, began, ended)
    ours = {name: count for name, count in counted.items() if "flyball-system" in name[0]}
    found = {}
    for load, namespace in (("0.25/s of the recorded trace", "demo"), ("a constant 0.5/s", TWIN)):
        mine = {name: count for name, count in ours.items() if name[3] == namespace}
        what = ", ".join(f"{verb} {what} × {n}" for (_, verb, what, _), n in sorted(mine.items()))
        found[f"operator's writes in {minutes:g} minutes of {load}"] = str(sum(mine.values()))
        if mine:
            found[f"what they were, at {load}"] = f"{what}; {_reasons(kit, namespace, began, ended)}"
    return found | {
        "floor": "0",
        "everybody else's writes beside it (leases, node status …)": str(sum(counted.values()) - sum(ours.values())),
        "replicas at the end": ", ".join(map(str, replicas)),
    }


def _deploy_twin(kit: tools.Kit) -> None:
    """The story's objects once more, in a namespace of their own and with a host of their own."""
    texts = {name: (tools.MANIFESTS / name).read_text() for name in ("models.yaml", "workloadslo.yaml")}
    twins = {
        name: text.replace("namespace: demo", f"namespace: {TWIN}").replace("chat.demo.test", f"chat.{TWIN}.test")
        for name, text in texts.items()
    }
    kit.apply(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {TWIN}}}\n")
    kit.apply(twins["models.yaml"])
    kit.kubectl("-n", TWIN, "rollout", "status", "deploy/chat", "deploy/hosted", "--timeout=120s")
    kit.apply(twins["workloadslo.yaml"])


@contextlib.contextmanager
def _loaded(kit: tools.Kit, folder: Path, name: str, scale: float, length: str, trace: str = "") -> Iterator[None]:
    host = "chat.demo.test" if name == "recorded" else f"chat.{name}.test"
    with kit.load(scale, "0s", length, folder, name, trace=trace, host=host):
        yield


def _reasons(kit: tools.Kit, namespace: str, since: float, until: float) -> str:
    """Why the operator wrote statuses, in its own words, and how often."""
    found: Counter[str] = Counter()
    for line in kit.kubectl("-n", "flyball-system", "logs", "deploy/flyball", "--tail=-1", check=False).splitlines():
        entry = json.loads(line) if line.startswith("{") else {}
        if not entry.get("status") or not str(entry.get("workload", "")).startswith(f"{namespace}/"):
            continue
        if since <= datetime.fromisoformat(entry["timestamp"]).timestamp() <= until:
            found[entry["status"]] += 1
    return "; ".join(f"{reason} × {count}" for reason, count in found.most_common())


def writes(kit: tools.Kit, since: float, until: float) -> Counter[tuple[str, str, str, str]]:
    """Writes by user, verb, resource and namespace between two times, from the audit log."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    with Path(kit.facts["auditLog"]).open() as log:
        for line in log:
            entry = json.loads(line)
            if entry["stage"] != "ResponseComplete" or entry["verb"] not in WRITES or "objectRef" not in entry:
                continue
            if since <= datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp() <= until:
                reference = entry["objectRef"]
                what = "/".join(part for part in (reference["resource"], reference.get("subresource")) if part)
                found[(entry["user"]["username"], entry["verb"], what, reference.get("namespace", ""))] += 1
    return found
