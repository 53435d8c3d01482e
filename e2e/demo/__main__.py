"""`make demo`: Flyball's whole job on a real cluster in one go.

Brings up the cluster, installs Flyball with its chart, declares one WorkloadSLO, replays recorded traffic through the
gateway, lets a surge come and go, and shows what was decided. Nothing but load causes anything: no spec is edited, no
fault is switched on. Ctrl-C at any point takes everything away again; so does `make demo-down`.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.story import kit as tools
from e2e.story.watch import Snapshot, events, look, settled

if TYPE_CHECKING:
    from e2e.story.kit import Kit

# The recorded trace brings 5.5 requests/s on average: a trickle that one replica carries, and a surge that four don't.
CALM, SURGE = 0.045, 1.0
CALM_SECONDS, SURGE_SECONDS = 25, 65
SETTLE_LIMIT_SECONDS = 150


def main() -> int:
    """Run the demo; returns the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    started = time.monotonic()
    try:
        return _demo(started)
    except KeyboardInterrupt:
        say("interrupted: taking everything away again")
        tools.cluster_down()
        return 130
    except (tools.ToolError, subprocess.CalledProcessError) as error:
        say(str(error))
        say("the cluster is left as it is: look at it, then `make demo-down`")
        return 1


def _demo(started: float) -> int:
    step(started, "starting Kubernetes: API server, controllers, scheduler, kubelet, gateway, Prometheus")
    kit = tools.cluster_up()
    step(started, "building the image flyball:dev")
    kit = tools.with_image(kit)
    step(started, "installing Flyball with its Helm chart")
    kit.install()
    step(started, "deploying two simulated vLLM models, a route, prices, and a WorkloadSLO")
    tools.deploy_story(kit)
    trace = tools.RECORDED_TRACE.name if tools.RECORDED_TRACE.exists() else tools.GENERATED_TRACE
    step(started, f"replaying {trace} through the gateway: calm, then a surge twenty times heavier, then calm again")
    with tempfile.TemporaryDirectory() as folder:
        _play(kit, Path(folder), started)
    _show(kit, started)
    return 0


def _play(kit: Kit, folder: Path, started: float) -> None:
    """Calm load all along, a surge on top of it for a while; every change is printed as it is seen."""
    told: set[str] = set()
    with contextlib.ExitStack() as stack:
        length = f"{CALM_SECONDS + SURGE_SECONDS + SETTLE_LIMIT_SECONDS}s"
        stack.enter_context(kit.load(CALM, "5m", length, folder, "calm"))
        _watch(kit, started, told, CALM_SECONDS)
        say("--- the surge begins")
        surge = stack.enter_context(kit.load(SURGE, "10m", f"{SURGE_SECONDS}s", folder, "surge"))
        _watch(kit, started, told, SURGE_SECONDS)
        say("--- the surge is over; the calm load goes on")
        _watch(kit, started, told, SETTLE_LIMIT_SECONDS, until_settled=True)
        surge.process.wait()
    say("what the surge's clients saw:")
    say(_tail(surge.log))


def _watch(kit: Kit, started: float, told: set[str], seconds: float, *, until_settled: bool = False) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        snapshot = look(kit, started)
        say(_line(snapshot))
        for event in events(kit):
            text = f"{event['reason']}: {event['note']}"
            if text not in told:
                told.add(text)
                say(f"        Event {text}")
        if until_settled and settled(snapshot):
            return
        time.sleep(max(0.0, min(5.0, deadline - time.monotonic())))


def _line(snapshot: Snapshot) -> str:
    summary, gpu = snapshot.status.get("summary", {}), snapshot.status.get("gpu", {})
    parts = [
        f"{snapshot.at:5.0f} s",
        f"replicas {snapshot.ready}/{snapshot.replicas}",
        f"SLO {summary.get('slo', '-')}",
        f"GPU {gpu.get('verdict', '-')} {gpu.get('utilization', '')}",
        f"cost {summary.get('cost', '-')}",
        f"ROI {summary.get('roi', '-')}",
        f"weights {snapshot.weights[0]}:{snapshot.weights[1]}",
    ]
    return "  ".join(parts)


def _show(kit: Kit, started: float) -> None:
    step(started, "what a user sees now")
    for command in (
        ("-n", "demo", "get", "wslo", "-o", "wide"),
        ("-n", "demo", "describe", "wslo", "chat"),
        ("-n", "demo", "get", "events.events.k8s.io", "--sort-by=.metadata.creationTimestamp"),
        ("-n", "demo", "get", "deploy", "chat", "-o", "jsonpath={.metadata.annotations}"),
    ):
        print(f"\n$ kubectl {' '.join(command)}\n{kit.kubectl(*command, check=False)}", flush=True)
    print(
        f"""
The cluster still runs. To look on:
  export KUBECONFIG={kit.kubeconfig}
  kubectl -n demo get wslo -w                      the workload, live
  kubectl flyball explain chat -n demo             why it has the replicas it has   (or: .venv/bin/flyball explain …)
  kubectl -n flyball-system logs deploy/flyball    every decision with its reasons, one JSON object each
  .venv/bin/flyball load generate:conversation?rate=3 --url {kit.gateway} --host-header chat.demo.test --duration 2m
To take everything away: make demo-down
""",
        flush=True,
    )


def _tail(path: Path) -> str:
    lines = path.read_text().splitlines()
    return "\n".join(lines[-14:])


def step(started: float, text: str) -> None:
    """A headline with the time since the start."""
    print(f"\n== {time.monotonic() - started:4.0f} s  {text}", flush=True)


def say(text: str) -> None:
    """A line below a headline."""
    print(f"   {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
