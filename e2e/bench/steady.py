"""Quiet: what the operator writes to the API server while a steady load goes on, counted from the audit log."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

from e2e.story import kit as tools
from e2e.story.watch import look

SETTLE_SECONDS = 120
WRITES = ("create", "update", "patch", "delete")


def measure(minutes: float = 10.0, **_: float) -> dict[str, str]:
    """Writes by the operator, and by the control plane beside it, during some minutes of steady load."""
    kit = tools.with_image(tools.cluster_up())
    kit.install()
    tools.deploy_story(kit)
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "load.log").open("w") as log:
        seconds = int(SETTLE_SECONDS + minutes * 60 + 30)
        load = kit.load(0.045, "0s", f"{seconds}s", Path(folder) / "load.csv", log)
        try:
            time.sleep(SETTLE_SECONDS)
            began = time.time()
            time.sleep(minutes * 60)
            counted = writes(kit, began, time.time())
            replicas = look(kit, time.monotonic()).replicas
        finally:
            load.send_signal(signal.SIGINT)
            load.wait(timeout=120)
    ours = {name: count for name, count in counted.items() if "flyball-system" in name[0]}
    others = sum(counted.values()) - sum(ours.values())
    return {
        f"operator's writes in {minutes:g} minutes of steady load": str(sum(ours.values())),
        "what they were": ", ".join(f"{verb} {what} × {n}" for (_, verb, what), n in sorted(ours.items())) or "nothing",
        "floor": "0",
        "everybody else's writes beside it (leases, node status …)": str(others),
        "replicas at the end": str(replicas),
    }


def writes(kit: tools.Kit, since: float, until: float) -> Counter[tuple[str, str, str]]:
    """Writes by user, verb and resource between two times, from the audit log."""
    found: Counter[tuple[str, str, str]] = Counter()
    with Path(kit.facts["auditLog"]).open() as log:
        for line in log:
            entry = json.loads(line)
            if entry["stage"] != "ResponseComplete" or entry["verb"] not in WRITES or "objectRef" not in entry:
                continue
            if since <= datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp() <= until:
                reference = entry["objectRef"]
                what = "/".join(part for part in (reference["resource"], reference.get("subresource")) if part)
                found[(entry["user"]["username"], entry["verb"], what)] += 1
    return found
