"""A scale-down by Flyball while the API server is slow, under requests through the real gateway: none is lost.

The pods are the story's own: what their template says of their end is what docs/scale-down.md asks for.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from e2e.faults.cases import named
from e2e.faults.stage import Stage
from e2e.story import workloads
from e2e.story.clients import COMPLETION, Clients, over_http
from e2e.story.watch import wait_for

if TYPE_CHECKING:
    from e2e.story.kit import Kit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PATIENCE = 240
REPLICAS = 4


def at_least(replicas: int) -> str:
    """A WorkloadSLO that wants that many replicas at least, and no more where nobody needs them."""
    target = {"minReplicas": replicas, "maxReplicas": REPLICAS}
    return workloads.workload_slo(target=target, scaling={"down": {"stabilization": "5s"}})


def test_a_scale_down_while_the_api_server_is_slow_loses_no_request(flyball: Kit, namespace: str) -> None:
    kit = flyball
    workloads.deploy(kit, namespace, "models.yaml")
    kit.kubectl("-n", namespace, "scale", "deploy/chat", f"--replicas={REPLICAS}")
    workloads.wait_until_ready(kit, namespace)
    kit.apply(at_least(REPLICAS), namespace)
    ready = wait_for(kit, namespace, "all ready", lambda s: s.condition("Ready") == "True")
    assert ready.ready == REPLICAS
    clients = Clients(partial(over_http, kit, workloads.host(namespace), *COMPLETION))
    over = threading.Event()

    def slow() -> None:
        while not over.is_set():
            named("API server slow").play(Stage(kit), 5.0)

    slowing = threading.Thread(target=slow)
    with clients.asking():
        time.sleep(3)
        slowing.start()
        try:
            kit.apply(at_least(1), namespace)
            wait_for(kit, namespace, "one replica", lambda s: s.replicas == 1, PATIENCE)
            kit.kubectl("-n", namespace, "wait", "deploy/chat", "--for=jsonpath={.status.replicas}=1", "--timeout=60s")
            time.sleep(5)
        finally:
            over.set()
            slowing.join()
    print(len(clients.answers), clients.errors)
    assert clients.errors == []
    assert len(clients.answers) > 100
