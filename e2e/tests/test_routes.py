"""Real requests through the real gateway while weights move: none is lost, and every backend gets its share."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import pytest
from e2e.story import kit as tools
from e2e.story import workloads
from e2e.story.clients import COMPLETION, Clients, over_grpc, over_http
from e2e.story.watch import events, until, wait_for

from flyball.cluster.adapter import KubernetesCluster
from flyball.cluster.client import connect
from flyball.core.names import RouteKind, WorkloadKey
from flyball.core.observation import RouteState
from flyball.core.spec import FallbackRoute

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.story.kit import Kit
    from e2e.story.watch import Snapshot

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SETTLE_SECONDS, COUNT_SECONDS = 5.0, 4.0
"""For how long a gateway may take to follow a weight, and for how long answers are counted then."""
WEIGHTS = ((75, 25), (50, 50), (5, 95), (0, 100), (50, 50), (100, 0))
DEVIATIONS = 4.0

Seen = list[tuple[tuple[int, int], Counter[str]]]
"""Weights, and how often each backend answered under them."""

BACKEND = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      enableServiceLinks: false
      terminationGracePeriodSeconds: 1
      containers:
        - name: whoami
          image: flyball:dev
          imagePullPolicy: IfNotPresent
          command: [/opt/flyball/bin/python, /code/whoami.py]
          env: [{{name: NAME, value: {name}}}]
          readinessProbe: {{tcpSocket: {{port: 8001}}, periodSeconds: 1}}
          volumeMounts: [{{name: code, mountPath: /code}}]
      volumes: [{{name: code, configMap: {{name: whoami}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: {name}}}
  ports:
    - {{name: http, port: 8000}}
    - {{name: grpc, port: 8001, appProtocol: kubernetes.io/h2c}}
---
"""
ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: flyball, namespace: gateway}}]
  hostnames: [{host}]
  rules: {rules}
---
"""


def tiers(primary: str, fallback: str, weight: int) -> str:
    """Rules of a route that tell free users from those who pay, all of whose traffic the primary gets."""
    backends = [{"name": primary, "port": 8000, "weight": weight}, {"name": fallback, "port": 8000, "weight": 0}]
    free = {"headers": [{"name": "x-tier", "value": "free"}]}
    return json.dumps(
        [
            {"name": "free", "matches": [free], "backendRefs": backends},
            {"name": "paid", "backendRefs": backends},
        ]
    )


async def move(kit: Kit, namespace: str, route: FallbackRoute, clients: Clients) -> Seen:
    """Move the weights as the operator does; for each pair of weights who answered once the gateway had them."""
    seen = []
    async with connect(kit.kubeconfig, timeout_seconds=30.0) as api:
        cluster, key, present = KubernetesCluster(api), WorkloadKey(namespace, "who"), (9, 0)
        for weights in WEIGHTS:
            await cluster.set_weights(key, route, RouteState(route.route, *present), *weights)
            present = weights
            await asyncio.sleep(SETTLE_SECONDS)
            start = time.monotonic()
            await asyncio.sleep(COUNT_SECONDS)
            seen.append((weights, clients.between(start, time.monotonic())))
        await cluster.restore_weights(key, route)
    return seen


def split_as_asked(weights: tuple[int, int], found: Counter[str]) -> bool:
    """Whether the fallback got its share, within what chance allows."""
    total, share = found.total(), weights[1] / 100
    tolerance = DEVIATIONS * math.sqrt(share * (1 - share) / total) + 1 / total if total else 0.0
    return total >= 40 and abs(found["other"] / total - share) <= tolerance


@pytest.fixture
def who(cluster: Kit, namespace: str) -> str:
    """A namespace with two backends that say who they are, and routes to them."""
    script = str(tools.REPOSITORY / "e2e" / "story" / "whoami.py")
    cluster.kubectl("-n", namespace, "create", "configmap", "whoami", f"--from-file=whoami.py={script}")
    calls = [
        {"backendRefs": [{"name": "own", "port": 8001, "weight": 9}, {"name": "other", "port": 8001, "weight": 0}]}
    ]
    cluster.apply(
        "".join(BACKEND.format(name=name) for name in ("own", "other"))
        + ROUTE.format(kind="HTTPRoute", name="who", host="who.test", rules=tiers("own", "other", 9))
        + ROUTE.format(kind="GRPCRoute", name="who", host="grpc.test", rules=json.dumps(calls)),
        namespace,
    )
    cluster.kubectl("-n", namespace, "rollout", "status", "deploy/own", "deploy/other", "--timeout=120s")
    return namespace


def test_weights_move_by_tier_and_kind_and_nobody_loses_a_request(cluster: Kit, who: str) -> None:
    free, paid = (Clients(partial(over_http, cluster, "who.test", x_tier=tier)) for tier in ("free", "paid"))
    calls = Clients(partial(over_grpc, cluster, "grpc.test"))
    for clients in (free, calls):
        clients.wait_until_served()

    async def both() -> tuple[Seen, Seen]:
        return await asyncio.gather(
            move(cluster, who, FallbackRoute("who", "own", "other", "free"), free),
            move(cluster, who, FallbackRoute("who", "own", "other", None, RouteKind.GRPC), calls),
        )

    with free.asking(), paid.asking(2), calls.asking():
        over_http_seen, over_grpc_seen = asyncio.run(both())
    print(over_http_seen, over_grpc_seen, [len(clients.answers) for clients in (free, paid, calls)])
    assert free.errors == paid.errors == calls.errors == []
    for seen in (over_http_seen, over_grpc_seen):
        assert [weights for weights, found in seen if not split_as_asked(weights, found)] == [], seen
    assert {answer for _, answer in paid.answers} == {"own"}
    rules = [
        rule for kind in ("httproute", "grpcroute") for rule in cluster.get("-n", who, kind, "who")["spec"]["rules"]
    ]
    assert [[b["weight"] for b in rule["backendRefs"]] for rule in rules] == [[9, 0]] * 3


# Each return that did not last, since the machine's other work slowed the first answers, doubles the next hold.
RETURN_PATIENCE = 480
# A tick: no step is held for longer than it takes to be seen.
HOLDS = {"minHold": "5s", "returnHold": "5s", "pricePerRequest": "0.002"}


def test_a_primary_that_comes_back_is_probed_and_gets_its_traffic_in_steps(
    flyball: Kit, small: str, tmp_path: Path
) -> None:
    workloads.replace_primary(flyball, small, 3600)
    flyball.apply(
        workloads.workload_slo(target={"maxReplicas": 2, **workloads.PRESET}, fallback={**workloads.FALLBACK, **HOLDS}),
        small,
    )
    wait_for(flyball, small, "weights 0:100", lambda s: s.weights == (0, 100))
    Clients(partial(over_http, flyball, workloads.host(small), *COMPLETION)).wait_until_served()  # by the fallback
    weights: list[tuple[int, int]] = []

    def back(snapshot: Snapshot) -> bool:
        weights.append(snapshot.weights)
        return bool(snapshot.weights == (7, 0))

    length = f"{RETURN_PATIENCE + 60}s"
    with flyball.load(0.6, "10m", length, tmp_path, host=workloads.host(small)) as load:
        time.sleep(5)
        workloads.replace_primary(flyball, small, 0)
        wait_for(flyball, small, "the user's own weights", back, RETURN_PATIENCE)
        time.sleep(5)
    steps = list(dict.fromkeys(weights))
    assert steps[:2] == [(0, 100), (5, 95)]
    assert steps[-1] == (7, 0)
    assert sorted(steps[:-1]) == steps[:-1], "the primary's share only grows"
    assert len(steps) >= 4
    told = [str(event["reason"]) for event in events(flyball, small) if str(event["reason"]).startswith("Fallback")]
    assert told[0] == "FallbackActivated"
    assert "FallbackReturning" in told
    assert told[-1] == "FallbackCleared"
    rows = load.rows()
    print(steps, len(rows))
    assert [row for row in rows if row["error"] not in ("", "cancelled")] == []
    assert sum(row["error"] == "" for row in rows) > 50


def test_free_users_overflow_before_those_who_pay(flyball: Kit, small: str) -> None:
    """No answer is fast enough for the objective, so that traffic moves step by step for as long as the test lasts."""
    rules = tiers("chat", "hosted", 7)
    flyball.apply(ROUTE.format(kind="HTTPRoute", name="chat", host=workloads.host(small), rules=rules), small)
    target = {"maxReplicas": 1, **workloads.PRESET}
    objective = {
        "name": "first-token",
        "indicator": "TimeToFirstToken",
        "threshold": "5ms",
        "target": "90%",
        "window": "1h",
    }
    route = {"httpRoute": "chat", "primary": "chat", "fallback": "hosted"}
    routes = [
        {**route, "ruleName": "free", "order": 0, "trafficShare": "60%"},
        {**route, "ruleName": "paid", "order": 1, "trafficShare": "40%"},
    ]
    fallback = {"routes": routes, "triggerFor": "5s", **HOLDS, "steps": ["40%"], "maxOverflow": "90%"}
    overflowing = workloads.workload_slo(target=target, objectives=[objective], fallback=fallback)
    paused = workloads.workload_slo("Paused", target=target, objectives=[objective], fallback=fallback)
    free, paid = (
        Clients(partial(over_http, flyball, workloads.host(small), *COMPLETION, x_tier=tier))
        for tier in ("free", "paid")
    )
    seen: list[tuple[int, int]] = []

    def moved() -> tuple[int, int]:
        """What share of each tier is on the fallback."""
        rules = flyball.get("-n", small, "httproute", "chat")["spec"]["rules"]
        shares = [[backend["weight"] for backend in rule["backendRefs"]] for rule in rules]
        return shares[0][1], shares[1][1]

    def those_who_pay_too() -> bool:
        seen.append(moved())
        return seen[-1][1] > 0

    flyball.apply(overflowing, small)
    for clients in (free, paid):
        clients.wait_until_served()
    with free.asking(3), paid.asking(2):
        until("an overflow of those who pay", those_who_pay_too, RETURN_PATIENCE)
        flyball.apply(paused, small)
        until("the user's own weights", lambda: moved() == (0, 0))
        time.sleep(SETTLE_SECONDS)
    steps = list(dict.fromkeys(seen))
    print(steps, len(free.answers), len(paid.answers))
    assert any(0 < of_free < 100 for of_free, _ in steps), "free users moved in part first"
    assert all(of_free == 100 for of_free, of_paid in steps if of_paid), steps
    assert free.errors == paid.errors == []
