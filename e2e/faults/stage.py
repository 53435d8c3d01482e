"""Where faults are tried: two replicas of the operator, a workload under load, and one that is nudged to see decisions.

The loaded workload has as many replicas as it needs all along, so that no request can be lost by what Flyball does. The
nudged one has no pods: its floor is raised by one, and how long its Deployment takes to follow is how long a decision
takes.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2e.faults.audit import Write, strays, writes
from e2e.story import kit as tools
from e2e.story import workloads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.story.kit import Kit

NAMESPACE = "faults"
SYSTEM = "flyball-system"
LEASE = f"{SYSTEM}/flyball"
LOAD = "generate:conversation?rate=1&seed=1"
PATIENCE_SECONDS = 120.0
NUDGED = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: nudged}
spec:
  replicas: 1
  selector: {matchLabels: {app: nudged}}
  template:
    metadata: {labels: {app: nudged}}
    spec:
      nodeSelector: {nobody: is-here}
      containers: [{name: none, image: flyball:dev, args: [--help]}]
"""
GPUS = {"accelerator": "NVIDIA-L4", "gpusPerReplica": 1}
FALLBACK = {"routes": workloads.FALLBACK["routes"], "triggerFor": "10s"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What one fault did: times in seconds, counts of writes and requests."""

    recovery: float
    """From the end of the fault (from its beginning where it has none) to the next decision acted on."""
    sent: int
    lost: int
    errors: dict[str, int]
    scaled: int
    """Writes to the loaded workload's scale: none is right, since its load asks for none."""
    repeated: int
    """Writes to the nudged workload's scale beyond the one that was asked for."""
    moved: int
    """Writes to routes."""
    stray: int
    """Writes by replicas that did not hold the Lease."""
    restarts: int
    takeover: float | None = None
    """From the beginning of the fault until another replica held the Lease; None where the same one kept it."""

    @property
    def sound(self) -> bool:
        """Whether nothing was done twice, without cause, or by the wrong one."""
        return not (self.scaled or self.repeated or self.moved or self.stray)


@dataclass
class Stage:
    """A cluster with everything in place."""

    kit: Kit
    floor: int = 1

    def set_up(self, *values: str, chart: Path = tools.CHART) -> None:
        """Operator, with these values of its chart, workloads, route."""
        self.kit.install(*values, chart=chart)
        namespace = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n"
        self.kit.apply(namespace)
        workloads.deploy(self.kit, NAMESPACE)
        self._kubectl("scale", "deploy/chat", "--replicas=2")
        workloads.wait_until_ready(self.kit, NAMESPACE)
        nudged = {"minReplicas": 1, "maxReplicas": 200, **GPUS}
        for text in (
            NUDGED,
            workloads.workload_slo(name="nudged", of="nudged", target=nudged),
            workloads.workload_slo(target={"minReplicas": 2, "maxReplicas": 2, **GPUS}, fallback=FALLBACK),
        ):
            self.kit.apply(text, NAMESPACE)
        found = self.kit.get("-n", NAMESPACE, "deploy", "nudged")
        self.floor = int(found["spec"]["replicas"])
        self.nudge()

    def tear_down(self) -> None:
        """Take the workloads away; the operator stays."""
        self.kit.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=180s")

    def nudge(self) -> float:
        """Ask for one replica more; returns the seconds until there is one."""
        self.raise_floor()
        return self.follow()

    def raise_floor(self) -> None:
        """Ask for one replica of the nudged workload more."""
        self.floor += 1
        patch = [{"op": "replace", "path": "/spec/targets/0/minReplicas", "value": self.floor}]
        self._retried("patch", "wslo", "nudged", "--type=json", "-p", json.dumps(patch))

    def follow(self) -> float:
        """Wait until the nudged workload has what is asked for; returns the seconds that it took."""
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE_SECONDS:
            with contextlib.suppress(tools.ToolError, ValueError):
                found = self.kit.get("-n", NAMESPACE, "deploy", "nudged", "--request-timeout=5s")
                if found["spec"]["replicas"] == self.floor:
                    return time.monotonic() - began
            time.sleep(0.2)
        raise TimeoutError(f"no decision within {PATIENCE_SECONDS:.0f} s: nudged never had {self.floor} replicas")

    def leader(self) -> dict[str, Any]:
        """The pod that holds the Lease."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(tools.ToolError):
                holder = str(self._lease().get("holderIdentity") or "")
                name = holder.rpartition("_")[0]
                if name:
                    return self.kit.get("-n", SYSTEM, "pod", name)
            time.sleep(0.5)
        raise TimeoutError("nobody holds the Lease")

    def transitions(self) -> int:
        """How often the Lease changed hands."""
        return int(self._lease().get("leaseTransitions") or 0)

    def taken_at(self) -> float:
        """When its holder took the Lease (epoch seconds)."""
        return datetime.fromisoformat(str(self._lease()["acquireTime"])).timestamp()

    def _lease(self) -> dict[str, Any]:
        found: dict[str, Any] = self.kit.get("-n", SYSTEM, "lease", "flyball")["spec"]
        return found

    def restarts(self) -> int:
        """How often containers of the operator were restarted."""
        pods = self.kit.get("-n", SYSTEM, "pods", "-l", "app.kubernetes.io/component=operator")["items"]
        return sum(status["restartCount"] for pod in pods for status in pod["status"].get("containerStatuses", ()))

    def processes(self, component: str) -> int:
        """The process id of one of the embedded cluster's components."""
        done = subprocess.run(
            [sys.executable, str(tools.DRIVER), "status", "-o", "json"], capture_output=True, text=True, check=False
        )
        return int(json.loads(done.stdout)["components"][component]["pid"])

    def containers(self, verb: str, pod: dict[str, Any], *flags: str) -> None:
        """`pause` a pod's container (its processes are frozen, as by SIGSTOP), `resume` or `kill` it."""
        identity = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
        command = [*self.kit.facts["ctr"], "-n", "k8s.io", "task", verb, *flags, identity]
        subprocess.run(command, check=True, capture_output=True)

    def audit(self, since: float) -> list[Write]:
        """The operator's writes since then."""
        return list(writes(Path(self.kit.facts["auditLog"]), since))

    @contextlib.contextmanager
    def load(self, folder: Path) -> Iterator[list[dict[str, str]]]:
        """Requests through the gateway as long as the context lasts; its list then has what clients saw."""
        rows: list[dict[str, str]] = []
        with self.kit.load(1.0, "0s", "3h", folder, trace=LOAD, host=workloads.host(NAMESPACE)) as load:
            yield rows
        rows += load.rows()

    def judge(self, began: float, recovery: float, rows: list[dict[str, str]], asked: int, before: int) -> Seen:
        """What there is to say of a fault that began then, and during which so many nudges were given."""
        everything = self.audit(0.0)  # who held the Lease when it began was written before
        found = [write for write in everything if write.at >= began]
        ours = [write for write in found if write.namespace == NAMESPACE and write.code < 300]
        scales = Counter(write.name for write in ours if write.resource == "deployments/scale")
        kinds = Counter(row["error"] for row in rows if row["error"] not in ("", "cancelled"))
        return Seen(
            recovery=round(recovery, 1),
            sent=len(rows),
            lost=sum(kinds.values()),
            errors=dict(kinds),
            scaled=scales["chat"],
            repeated=scales["nudged"] - asked,
            moved=sum(write.resource == "httproutes" for write in ours),
            stray=sum(write.at >= began for write in strays(everything, LEASE)),
            restarts=self.restarts() - before,
        )

    def _kubectl(self, *arguments: str) -> str:
        return self.kit.kubectl("-n", NAMESPACE, *arguments)

    def _retried(self, *arguments: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self._kubectl("--request-timeout=5s", *arguments)
                return
            except tools.ToolError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
