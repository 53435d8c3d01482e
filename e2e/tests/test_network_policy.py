"""The chart's NetworkPolicy with an engine that enforces it: kube-router's controller, on this node for the test.

What is let through and what is blocked is tried by connections between pods, each of which worked before the policy.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from e2e.faults.stage import SYSTEM
from e2e.story.watch import until, wait_for
from e2e.story.workloads import workload_slo
from flyball_cluster import dns
from flyball_cluster.builds import POLICIES, Builds
from flyball_cluster.prerequisites import POLICY_TOOLS, require_tools
from flyball_cluster.settings import settings_from
from flyball_cluster.toolchain import find_go

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.story.kit import Kit

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        os.environ.get("CLUSTER", "embedded") != "embedded", reason="the engine is run on the embedded cluster's node"
    ),
]

OPERATOR = "deploy/flyball"
METRICS_PORT, OTHER_PORT = 8080, 9999
LISTEN = (
    f"import http.server as s; s.ThreadingHTTPServer(('', {OTHER_PORT}), s.SimpleHTTPRequestHandler).serve_forever()"
)
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
    print(True)
except (ConnectionRefusedError, TimeoutError):
    print(False)
"""
CLOSED = {
    "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.metrics": "read",
    "networkPolicy.egress.enabled": "true",
    "networkPolicy.egress.dnsPorts[0]": dns.PORT,
}
CLIENT = """
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: client
      image: flyball:dev
      imagePullPolicy: IfNotPresent
      command: [/opt/flyball/bin/python, -m, http.server, "8000", --directory, /var/empty]
      readinessProbe: {tcpSocket: {port: 8000}, periodSeconds: 1}
"""


@pytest.fixture
def engine(cluster: Kit) -> Iterator[None]:
    """The controller as a process of this node; built from the Go module proxy by the first who asks."""
    require_tools(POLICY_TOOLS)
    cache = settings_from(os.environ).cache
    builds = Builds(cache, find_go(cache))
    builds.ensure([POLICIES])
    command = [
        str(builds.program(POLICIES)), f"--kubeconfig={cluster.kubeconfig}",
        f"--node={cluster.facts['node']['name']}", f"--services={cluster.facts['serviceCidr']}",
    ]  # fmt: skip
    process = subprocess.Popen(command)
    try:
        yield
        assert process.poll() is None, "the engine ended by itself"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert "KUBE-ROUTER" not in subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout


def reaches(kit: Kit, namespace: str, pod: str, where: str, port: int) -> bool:
    """Whether a process in that pod can connect."""
    python = ("--", "/opt/flyball/bin/python", "-c", CONNECT, where, str(port))
    told = kit.kubectl("-n", namespace, "exec", pod, *python).strip()
    assert told in ("True", "False"), told
    return told == "True"


@contextmanager
def another_port(kit: Kit) -> Iterator[None]:
    """The operator's pod listens on a port that nothing of ours needs."""
    command = [*kit.facts["kubectl"], "-n", SYSTEM, "exec", OPERATOR, "--", "/opt/flyball/bin/python", "-c", LISTEN]
    process = subprocess.Popen(command, env=kit.environment)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def address(kit: Kit, namespace: str, *which: str) -> str:
    """The address of a pod."""
    found = kit.get("-n", namespace, "pods", *which)
    pod = next(each for each in found.get("items", [found]) if not each["metadata"].get("deletionTimestamp"))
    return str(pod["status"]["podIP"])


def test_only_metrics_come_in_and_only_what_the_operator_needs_goes_out(flyball: Kit, engine: None, small: str) -> None:
    kit, namespace = flyball, small
    kit.apply(CLIENT, namespace)
    kit.kubectl("-n", namespace, "wait", "pod/client", "--for=condition=Ready", "--timeout=120s")
    kit.kubectl("label", "namespace", namespace, "metrics=read")
    client, server = "pod/client", address(kit, namespace, "client")
    with another_port(kit):
        operator = address(kit, SYSTEM, "-l", "app.kubernetes.io/component=operator")
        until("everything goes out", lambda: reaches(kit, SYSTEM, OPERATOR, server, 8000))
        until("by default only metrics come in", lambda: not reaches(kit, namespace, client, operator, OTHER_PORT))
        kit.kubectl("-n", SYSTEM, "delete", "networkpolicy", "flyball")
        until("another port comes in", lambda: reaches(kit, namespace, client, operator, OTHER_PORT))
        kit.install(*(f"{key}={value}" for key, value in CLOSED.items()))
        until("nothing else goes out", lambda: not reaches(kit, SYSTEM, OPERATOR, server, 8000))
        assert reaches(kit, namespace, client, operator, METRICS_PORT)
        assert not reaches(kit, namespace, client, operator, OTHER_PORT)
        kit.kubectl("label", "namespace", namespace, "metrics=none", "--overwrite")
        until(
            "metrics are for whom they are meant", lambda: not reaches(kit, namespace, client, operator, METRICS_PORT)
        )
    kit.apply(workload_slo(target={"minReplicas": 2, "maxReplicas": 3}), namespace)
    told = wait_for(
        kit,
        namespace,
        "2 replicas and telemetry: DNS, the API server and Prometheus are reached",
        lambda s: s.replicas == 2 and s.condition("TelemetryHealthy") == "True",
    )
    assert told.condition("Ready") == "True"
