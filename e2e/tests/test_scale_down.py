"""A scale-down by Flyball while the API server is slow, under requests through the real gateway: none is lost.

The pods are the story's own: what their template says of their end is what docs/scale-down.md asks for.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from e2e.faults.cases import FAULTS
from e2e.faults.stage import Stage
from e2e.story import kit as tools
from e2e.story.clients import Clients
from e2e.story.watch import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2e.story.kit import Kit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PATIENCE = 240
REPLICAS = 4
QUESTION = json.dumps({"model": "chat-8b", "prompt": "Can an order be returned?", "max_tokens": 8})
SLOW = next(fault for fault in FAULTS if fault.name == "API server slow")


def workload(least: int) -> str:
    """A WorkloadSLO that wants that many replicas at least, and no more where nobody needs them."""
    return f"""
apiVersion: flyball.dev/v1alpha1
kind: WorkloadSLO
metadata: {{name: chat}}
spec:
  workloadType: Assistant
  mode: Auto
  targets: [{{targetRef: {{name: chat}}, minReplicas: {least}, maxReplicas: {REPLICAS}, pricePerGpuHour: "2"}}]
  scaling: {{down: {{stabilization: 5s}}}}
"""


@contextmanager
def connection(kit: Kit, host: str) -> Iterator[Callable[[], str]]:
    """A client that keeps its connection to the gateway."""
    headers = {"Host": host, "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection(urlsplit(kit.gateway).netloc, timeout=60)) as connected:

        def ask() -> str:
            connected.request("POST", "/v1/completions", QUESTION, headers)
            answer = connected.getresponse()
            text = answer.read().decode()
            if answer.status != 200:
                raise http.client.HTTPException(f"{answer.status}: {text}")
            return text

        yield ask


def test_a_scale_down_while_the_api_server_is_slow_loses_no_request(flyball: Kit, namespace: str) -> None:
    kit, host = flyball, f"{namespace}.test"
    models = (tools.MANIFESTS / "models.yaml").read_text()
    kit.apply(models.replace("namespace: demo", f"namespace: {namespace}").replace("chat.demo.test", host))
    kit.kubectl("-n", namespace, "scale", "deploy/chat", f"--replicas={REPLICAS}")
    kit.kubectl("-n", namespace, "rollout", "status", "deploy/chat", "deploy/hosted", "--timeout=180s")
    kit.kubectl("-n", namespace, "apply", "-f", "-", text=workload(REPLICAS))
    ready = wait_for(kit, "all ready", lambda s: s.condition("Ready") == "True", PATIENCE, namespace)
    assert ready.ready == REPLICAS
    clients, over = Clients(partial(connection, kit, host)), threading.Event()

    def slow() -> None:
        while not over.is_set():
            SLOW.play(Stage(kit), 5.0)

    slowing = threading.Thread(target=slow)
    with clients.asking():
        time.sleep(3)
        slowing.start()
        try:
            kit.kubectl("-n", namespace, "apply", "-f", "-", text=workload(1))
            wait_for(kit, "one replica", lambda s: s.replicas == 1, PATIENCE, namespace)
            kit.kubectl("-n", namespace, "wait", "deploy/chat", "--for=jsonpath={.status.replicas}=1", "--timeout=60s")
            time.sleep(5)
        finally:
            over.set()
            slowing.join()
    print(len(clients.answers), clients.errors)
    assert clients.errors == []
    assert len(clients.answers) > 100
