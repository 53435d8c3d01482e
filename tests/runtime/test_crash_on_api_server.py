"""Killed at a write to a real API server: the next process ends where an undisturbed one does.

A story with every kind of write is told once undisturbed, and then for writes at which its process dies. By default
that is the first write of each kind, before and after by turns, and between two routes; FLYBALL_FAULTS=all takes all of
them, before and after (`make faults`), writes down what came of each in the file that FLYBALL_FAULTS_FOUND names, and
leaves out what stands there already. test_crash.py takes all of them at the ports.
"""

import copy
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from support.api_server import Kubectl
from support.crashing import Death, Died, buried, turns
from support.fakes import Deployment
from support.objects import (
    POOL,
    READY,
    SCHEDULED,
    ai_gateway_route,
    ai_service_backend,
    backend,
    demand_event,
    deployment,
    endpoint_slice,
    gpu_pool,
    http_route,
    inference_pool,
    pod,
    rule,
    workload_slo,
)
from support.objects_api import ObjectsApi
from support.world import OBJECTIVES, OVERFLOW, PRICED, FakeMetrics

from flyball.cluster.adapter import KubernetesCluster
from flyball.cluster.client import ApiServer
from flyball.cluster.events import EventRecorder
from flyball.runtime.mirror import Mirror
from flyball.runtime.operator import _list
from flyball.runtime.tick import Ticker

if TYPE_CHECKING:
    from flyball_cluster import ApiServer as Server

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(3600)]  # the first start may build kube-apiserver

START = 1_800_000_000.0
ROUTES = [{field: "chat", "primary": "chat", "fallback": "chat-small"} for field in ("httpRoute", "aiGatewayRoute")]
FAST = {"triggerFor": "0s", "minHold": "15s", "returnHold": "15s"}
ACTS = ("ScaledUp", "ScaledDown", "FallbackActivated", "FallbackReturning", "FallbackCleared")
EVENTS = "events.v1.events.k8s.io"


@dataclass
class Story:
    """The operator's ticks over a real API server, on a clock of their own, and what users and controllers do."""

    kubectl: Kubectl
    api: ApiServer
    death: Death
    at: float = START
    replicas: list[int] = field(default_factory=list)
    weights: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seen = SimpleNamespace(deployments={(self.kubectl.namespace, "chat"): Deployment(2)})
        self.metrics = FakeMetrics(self.seen)  # type: ignore[arg-type]
        self.begin(self.death.over(self.api))

    def begin(self, api: ApiServer) -> None:
        """A new process: all that it knows is what the API server holds."""
        self.mirror = Mirror()
        self.cluster = KubernetesCluster(api, namespaces=[self.kubectl.namespace], clock=lambda: self.at)
        self.ticker = Ticker(self.mirror, self.metrics, self.cluster, EventRecorder(api))

    async def tick(self, times: int) -> None:
        """Ticks, and after each what controllers bring about; a process that dies is followed by another one."""
        for _ in range(times):
            try:
                assert await _list(self.cluster, self.mirror)
                await self.ticker.tick(self.at)
            except Died:
                await buried()
                self.begin(self.api)
            self.at += 15.0
            self.look()

    def look(self) -> None:
        """What everybody sees after a tick, and the pods that are asked for."""
        asked = self.kubectl.get("deployment", "chat")["spec"]["replicas"]
        backends = self.kubectl.get("httproute", "chat")["spec"]["rules"][0]["backendRefs"]
        self.replicas.append(asked)
        self.weights.append((backends[0]["weight"], backends[1]["weight"]))
        known = self.seen.deployments[self.kubectl.namespace, "chat"]
        for number in range(known.replicas, asked):
            self.kubectl.create(pod(f"chat-{number}", SCHEDULED, READY, gpus=1))
        known.replicas = max(asked, known.replicas)

    async def tell(self) -> None:
        """Calm, a surge that overflows, calm again, a pause, and a deletion while traffic is on the fallback."""
        own = f"pool-{self.kubectl.namespace}"
        declared = workload_slo()
        part = {**declared["spec"]["targets"][0], **PRICED, "maxReplicas": 3}
        declared["spec"] |= {
            "mode": "Auto",
            "objectives": OBJECTIVES,
            "targets": [part],
            "fallback": {**copy.deepcopy(OVERFLOW), **FAST, "routes": ROUTES},
        }
        pool = gpu_pool(own, 8)
        pool["spec"]["namespaces"] = [self.kubectl.namespace]
        self.kubectl.create(
            deployment(gpus=1), http_route(rule(backend("chat", 1), backend("chat-small", 0, **POOL))),
            endpoint_slice("chat", "10.0.0.1"), inference_pool("chat-small", "small"),
            pod("small-0", READY, app="small"), ai_gateway_route(),
            *ai_service_backend("chat", f"chat.{self.kubectl.namespace}.svc.cluster.local"),
            *ai_service_backend("chat-small", "api.example.com"), pod("chat-0", SCHEDULED, READY, gpus=1),
            pod("chat-1", SCHEDULED, READY, gpus=1), pool,
            demand_event("2027-01-15T08:00:00Z", "2999-12-01T20:00:00Z"), declared,
        )  # fmt: skip
        await self.tick(1)
        self.metrics.rate, self.metrics.good, self.metrics.waiting, self.metrics.busy = 40.0, 0.2, 90.0, 1.0
        await self.tick(3)
        self.metrics.rate, self.metrics.good, self.metrics.waiting, self.metrics.busy = 2.0, 0.9999, 0.0, 0.5
        await self.tick(6)
        self.kubectl.patch("wslo", "chat", {"spec": {"mode": "Paused"}})
        await self.tick(1)
        self.kubectl.patch("wslo", "chat", {"spec": {"mode": "Auto"}})
        self.metrics.rate, self.metrics.good, self.metrics.waiting, self.metrics.busy = 40.0, 0.2, 90.0, 1.0
        await self.tick(3)
        self.before = self.kubectl.get("wslo", "chat")
        self.kubectl("delete", "wslo", "chat", "--wait=false")
        await self.tick(2)
        self.kubectl("delete", "gpupool", own)

    def ending(self) -> dict[str, Any]:
        """Everything that must be as if nobody had died."""
        route, target = self.kubectl.get("httproute", "chat"), self.kubectl.get("deployment", "chat")
        ai_route = self.kubectl.get("aigatewayroute", "chat")
        return {
            "replicas": target["spec"]["replicas"],
            "weights": self.weights[-1],
            "turns of the replicas": turns(self.replicas),
            "turns of the weights": turns([fallback for _, fallback in self.weights]),
            "left on the route": route["metadata"].get("annotations"),
            "rules of the AI gateway's route": ai_route["spec"]["rules"],
            "left on the AI gateway's route": ai_route["metadata"].get("annotations"),
            "left on the target": target["metadata"].get("annotations"),
            "left of the workload": self.kubectl.get_all("workloadslos.v1alpha1.flyball.dev"),
            "conditions before the deletion": {
                c["type"]: c["status"] for c in self.before["status"]["conditions"] if c["type"] != "CapacityAvailable"
            },
            "finalizers before the deletion": self.before["metadata"].get("finalizers"),
        }

    def told(self) -> Counter[str]:
        """How often each reason was told."""
        found: Counter[str] = Counter()
        for event in self.kubectl.get_all(EVENTS):
            found[event["reason"]] += int((event.get("series") or {}).get("count", 1))
        return found


def kind_of(sent: str) -> str:
    """The kind of a write, without names."""
    method, path = sent.split(" ", 1)
    parts = path.split("/")
    resource = parts[parts.index("namespaces") + 2 :] if "namespaces" in parts else parts[4:]
    return " ".join([method, resource[0], *resource[2:]])


def points(sent: Sequence[str]) -> list[tuple[int, bool]]:
    """The writes to die at, from 1, and whether they are done by then."""
    if os.environ.get("FLYBALL_FAULTS") == "all":
        return [(number, done) for number in range(1, len(sent) + 1) for done in (False, True)]
    kinds = [kind_of(each) for each in sent]
    first = sorted({kinds.index(kind) + 1 for kind in kinds})
    between_routes = (kinds.index("PATCH httproutes") + 1, True)
    return sorted({between_routes, *((number, place % 2 == 1) for place, number in enumerate(first))})


def found_before(number: int, when: str) -> list[str] | None:
    """What an earlier run found wrong of a death; None where it was not played yet."""
    file = Path(os.environ.get("FLYBALL_FAULTS_FOUND", ""))
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    return next((line["wrong"] for line in lines if (line["number"], line["when"]) == (number, when)), None)


def write_down(number: int, when: str, kind: str, wrong: list[str]) -> None:
    """Keep what came of a death."""
    if name := os.environ.get("FLYBALL_FAULTS_FOUND"):
        with Path(name).open("a") as file:
            file.write(json.dumps({"number": number, "when": when, "kind": kind, "wrong": wrong}) + "\n")


async def test_a_process_killed_at_a_write_is_followed_by_one_that_ends_the_same(
    server: "Server", objects: ObjectsApi, api: ApiServer, kubectl: Kubectl
) -> None:
    async def story(name: str, death: Death) -> Story:
        own = Kubectl(server.kubectl, objects, f"{kubectl.namespace}-{name}")
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        own.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": own.namespace}}, account)
        found = Story(own, api, death)
        await found.tell()
        return found

    calm = await story("calm", Death())
    kinds = {kind_of(sent) for sent in calm.death.sent}
    assert {
        "PATCH deployments", "PATCH deployments scale", "PATCH httproutes", "PATCH aigatewayroutes",
        "PATCH workloadslos", "PATCH workloadslos status", "PATCH gpupools status", "PATCH demandevents status",
        "POST events",
    } <= kinds, "the story has every kind of write"  # fmt: skip
    undisturbed, told, wrong = calm.ending(), calm.told(), []
    own = ai_gateway_route()["spec"]["rules"][0]["backendRefs"]
    assert undisturbed["rules of the AI gateway's route"][0]["backendRefs"] == own, "given back"
    for number, done in points(calm.death.sent):
        when, sent = "after" if done else "before", calm.death.sent[number - 1]
        if (known := found_before(number, when)) is not None:
            wrong += known
            continue
        died = await story(f"{number}-{when}", Death(number, done))
        assert died.death.died
        where, ended = f"{when} write {number}, {sent}", died.ending()
        found = [f"{where}: {k} {v}, not {undisturbed[k]}" for k, v in ended.items() if v != undisturbed[k]]
        more = {reason: count for reason, count in (died.told() - told).items() if reason not in ACTS}
        if any(count > 1 for count in more.values()):
            found.append(f"{where}: told more than once more: {more}")
        write_down(number, when, kind_of(sent), found)
        wrong += found
    assert not wrong, "\n".join(wrong)
