"""Real requests through the real gateway while weights move: none is lost, and every backend gets its share."""

from __future__ import annotations

import asyncio
import csv
import http.client
import json
import math
import signal
import time
from collections import Counter
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import grpc
import pytest
from e2e.story import kit as tools
from e2e.story.clients import Clients
from e2e.story.watch import events, wait_for

from flyball.cluster.adapter import KubernetesCluster
from flyball.cluster.client import connect
from flyball.core.names import RouteKind, WorkloadKey
from flyball.core.observation import RouteState
from flyball.core.spec import FallbackRoute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from e2e.story.kit import Kit
    from e2e.story.watch import Snapshot

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PATIENCE = 180
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
ROUTES = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: who}
spec:
  parentRefs: [{name: flyball, namespace: gateway}]
  hostnames: [who.test]
  rules:
    - name: free
      matches: [{headers: [{name: x-tier, value: free}]}]
      backendRefs: [{name: own, port: 8000, weight: 9}, {name: other, port: 8000, weight: 0}]
    - name: paid
      backendRefs: [{name: own, port: 8000, weight: 9}, {name: other, port: 8000, weight: 0}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: who}
spec:
  parentRefs: [{name: flyball, namespace: gateway}]
  hostnames: [grpc.test]
  rules:
    - backendRefs: [{name: own, port: 8001, weight: 9}, {name: other, port: 8001, weight: 0}]
"""


@contextmanager
def over_http(kit: Kit, tier: str) -> Iterator[Callable[[], str]]:
    """A client with a connection of its own."""
    with closing(http.client.HTTPConnection(urlsplit(kit.gateway).netloc, timeout=10)) as connection:

        def ask() -> str:
            connection.request("GET", "/", headers={"Host": "who.test", "x-tier": tier})
            answer = connection.getresponse()
            text = answer.read().decode()
            if answer.status != 200:
                raise http.client.HTTPException(f"{answer.status}: {text}")
            return text

        yield ask


@contextmanager
def over_grpc(kit: Kit) -> Iterator[Callable[[], str]]:
    """The same over gRPC."""
    options = [("grpc.default_authority", "grpc.test")]
    with grpc.insecure_channel(urlsplit(kit.gateway).netloc, options=options) as channel:
        call = channel.unary_unary("/flyball.Who/Ask")
        yield lambda: bytes(call(b"", timeout=10)).decode()


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
    text = "".join(BACKEND.format(name=name) for name in ("own", "other")) + ROUTES
    cluster.kubectl("-n", namespace, "apply", "-f", "-", text=text)
    cluster.kubectl("-n", namespace, "rollout", "status", "deploy/own", "deploy/other", "--timeout=120s")
    return namespace


def served(clients: Clients, by: str) -> bool:
    """Whether the gateway has taken the route."""
    try:
        with clients.ask() as ask:
            return ask() == by
    except (OSError, http.client.HTTPException, grpc.RpcError):
        return False


def wait_until_served(clients: Clients, by: str = "own") -> None:
    """Wait for the gateway."""
    deadline = time.monotonic() + 60
    while not served(clients, by):
        assert time.monotonic() < deadline, "the gateway never took the route"
        time.sleep(0.5)


def test_weights_move_by_tier_and_kind_and_nobody_loses_a_request(cluster: Kit, who: str) -> None:
    free, paid = Clients(partial(over_http, cluster, "free")), Clients(partial(over_http, cluster, "paid"))
    calls = Clients(partial(over_grpc, cluster))
    for clients in (free, calls):
        wait_until_served(clients)

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


WORKLOAD = """
apiVersion: flyball.dev/v1alpha1
kind: WorkloadSLO
metadata: {name: chat}
spec:
  workloadType: Assistant
  mode: Auto
  targets: [{targetRef: {name: chat}, maxReplicas: 2, pricePerGpuHour: "2", enginePreset: Llama8BOnA100}]
  fallback:
    routes: [{httpRoute: chat, primary: chat, fallback: hosted}]
    triggerFor: 5s
    minHold: 10s
    returnHold: 10s
    pricePerRequest: "0.002"
"""


# Each return that did not last, since the machine's other work slowed the first answers, doubles the next hold.
RETURN_PATIENCE = 480


def starting_after(kit: Kit, namespace: str, seconds: int) -> None:
    """Replace the primary's pods by ones that take so long to load."""
    arguments = ["modelserver", "--preset", "a100_8b", "--model-name", "chat-8b", "--startup-seconds", str(seconds)]
    template = {"spec": {"containers": [{"name": "vllm", "args": arguments}]}}
    patch = json.dumps({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}, "template": template}})
    kit.kubectl("-n", namespace, "patch", "deploy", "chat", "--type=strategic", "-p", patch)


def test_a_primary_that_comes_back_is_probed_and_gets_its_traffic_in_steps(
    flyball: Kit, namespace: str, tmp_path: Path
) -> None:
    flyball.kubectl("-n", namespace, "apply", "-f", str(tools.MANIFESTS / "small.yaml"))
    flyball.kubectl("-n", namespace, "rollout", "status", "deploy/chat", "deploy/hosted", "--timeout=180s")
    flyball.kubectl("-n", namespace, "apply", "-f", "-", text=WORKLOAD)
    starting_after(flyball, namespace, 3600)
    wait_for(flyball, "weights 0:100", lambda s: s.weights == (0, 100), PATIENCE, namespace)
    weights: list[tuple[int, int]] = []

    def back(snapshot: Snapshot) -> bool:
        weights.append(snapshot.weights)
        return bool(snapshot.weights == (7, 0))

    with (tmp_path / "load.log").open("w") as log:
        load = flyball.load(0.6, "10m", f"{RETURN_PATIENCE + 60}s", tmp_path / "load.csv", log, host="chat.test")
        try:
            time.sleep(5)
            starting_after(flyball, namespace, 0)
            wait_for(flyball, "the user's own weights", back, RETURN_PATIENCE, namespace)
            time.sleep(5)
        finally:
            load.send_signal(signal.SIGINT)
            load.wait(timeout=120)
    steps = list(dict.fromkeys(weights))
    assert steps[:2] == [(0, 100), (5, 95)]
    assert steps[-1] == (7, 0)
    assert sorted(steps[:-1]) == steps[:-1], "the primary's share only grows"
    assert len(steps) >= 4
    told = [str(event["reason"]) for event in events(flyball, namespace) if str(event["reason"]).startswith("Fallback")]
    assert told[0] == "FallbackActivated"
    assert "FallbackReturning" in told
    assert told[-1] == "FallbackCleared"
    with (tmp_path / "load.csv").open() as file:
        rows = list(csv.DictReader(file))
    print(steps, len(rows))
    assert {row["error"] for row in rows} <= {"", "cancelled"}
    assert sum(row["error"] == "" for row in rows) > 50


TIERS = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: chat}
spec:
  parentRefs: [{name: flyball, namespace: gateway}]
  hostnames: [tiers.test]
  rules:
    - name: free
      matches: [{headers: [{name: x-tier, value: free}]}]
      backendRefs: [{name: chat, port: 8000, weight: 7}, {name: hosted, port: 8000, weight: 0}]
    - name: paid
      backendRefs: [{name: chat, port: 8000, weight: 7}, {name: hosted, port: 8000, weight: 0}]
---
apiVersion: flyball.dev/v1alpha1
kind: WorkloadSLO
metadata: {name: chat}
spec:
  workloadType: Assistant
  mode: Auto
  targets: [{targetRef: {name: chat}, maxReplicas: 1, pricePerGpuHour: "2", enginePreset: Llama8BOnA100}]
  objectives: [{name: first-token, indicator: TimeToFirstToken, threshold: 5ms, target: "90%", window: 1h}]
  fallback:
    routes:
      - {httpRoute: chat, ruleName: free, primary: chat, fallback: hosted, order: 0, trafficShare: 60%}
      - {httpRoute: chat, ruleName: paid, primary: chat, fallback: hosted, order: 1, trafficShare: 40%}
    maxOverflow: 90%
    triggerFor: 5s
    minHold: 10s
    returnHold: 10s
    pricePerRequest: "0.002"
"""


@contextmanager
def completions(kit: Kit, tier: str) -> Iterator[Callable[[], str]]:
    """A client of the model servers."""
    headers = {"Host": "tiers.test", "x-tier": tier, "Content-Type": "application/json"}
    question = json.dumps({"model": "chat-8b", "prompt": "Can an order be returned?", "max_tokens": 4})
    with closing(http.client.HTTPConnection(urlsplit(kit.gateway).netloc, timeout=60)) as connection:

        def ask() -> str:
            connection.request("POST", "/v1/completions", question, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            if answer.status != 200:
                raise http.client.HTTPException(f"{answer.status}: {text}")
            return "answered"

        yield ask


def test_free_users_overflow_before_those_who_pay(flyball: Kit, namespace: str) -> None:
    """No answer is fast enough for the objective, so that traffic moves step by step for as long as the test lasts."""
    flyball.kubectl("-n", namespace, "apply", "-f", str(tools.MANIFESTS / "small.yaml"))
    flyball.kubectl("-n", namespace, "rollout", "status", "deploy/chat", "deploy/hosted", "--timeout=180s")
    free, paid = (Clients(partial(completions, flyball, tier)) for tier in ("free", "paid"))
    seen: list[tuple[int, int]] = []

    def moved() -> tuple[int, int]:
        """What share of each tier is on the fallback."""
        rules = flyball.get("-n", namespace, "httproute", "chat")["spec"]["rules"]
        shares = [[backend["weight"] for backend in rule["backendRefs"]] for rule in rules]
        return shares[0][1], shares[1][1]

    def those_who_pay_too(_: Snapshot) -> bool:
        seen.append(moved())
        return seen[-1][1] > 0

    flyball.kubectl("-n", namespace, "apply", "-f", "-", text=TIERS)
    for clients in (free, paid):
        wait_until_served(clients, "answered")
    with free.asking(3), paid.asking(2):
        wait_for(flyball, "an overflow of those who pay", those_who_pay_too, RETURN_PATIENCE, namespace)
        flyball.kubectl("-n", namespace, "patch", "wslo", "chat", "--type=merge", "-p", '{"spec": {"mode": "Paused"}}')
        wait_for(flyball, "the user's own weights", lambda _: moved() == (0, 0), PATIENCE, namespace)
        time.sleep(SETTLE_SECONDS)
    steps = list(dict.fromkeys(seen))
    print(steps, len(free.answers), len(paid.answers))
    assert any(0 < of_free < 100 for of_free, _ in steps), "free users moved in part first"
    assert all(of_free == 100 for of_free, of_paid in steps if of_paid), steps
    assert free.errors == paid.errors == []
