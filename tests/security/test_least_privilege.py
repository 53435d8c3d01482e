"""On a real API server: every verb that the chart grants is used, and whatever loses one is refused.

All that the operator and the uninstall's job do is done here by their accounts, and what they asked of the API server
is held against what they were granted: nothing is left over. Then each verb is taken away alone, and what used it is
done again: it is missed. What kopf watches is asked for as kopf does.
"""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import yaml
from support.api_server import Kubectl
from support.objects import (
    AI_ROUTE,
    CHAT,
    POOL,
    ROUTE,
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
    workload,
    workload_slo,
)

from flyball.cluster.adapter import KubernetesCluster
from flyball.cluster.client import ApiServer, connect
from flyball.cluster.errors import Call
from flyball.cluster.events import EventRecorder
from flyball.cluster.experiments import KubernetesExperiments
from flyball.cluster.lease import Lease
from flyball.cluster.resources import (
    BUDGETS,
    DEMAND_EVENTS,
    GPU_POOLS,
    PRICE_BOOKS,
    ROI_EXPERIMENTS,
    WORKLOADS,
    Resource,
)
from flyball.cluster.restore import restore_everything, stop_operator
from flyball.cluster.reviews import Reviews
from flyball.core.decision import Event
from flyball.core.names import EventReason, RouteKind, WorkloadKey
from flyball.core.ports import PortError, Rejected
from flyball.core.spec import TargetRef

if TYPE_CHECKING:
    from flyball_cluster import ApiServer as Server

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(1800)]  # the first start may build kube-apiserver

Object = dict[str, Any]
Right = tuple[str, str, str]
"""Group, resource and verb."""

SET = TargetRef("apps/v1", "StatefulSet", "chat-set")
ROUTES = (ROUTE, replace(ROUTE, kind=RouteKind.GRPC), AI_ROUTE)
LEDGER = {"enabled": True, "postgresql": {"existingSecret": "ledger"}}
SECONDS = 60.0
_numbers = count(1)

KEDA = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "scaledobjects.keda.sh"},
    "spec": {
        "group": "keda.sh",
        "names": {"kind": "ScaledObject", "plural": "scaledobjects"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
EXPERIMENT = {
    "apiVersion": "flyball.dev/v1alpha1",
    "kind": "ROIExperiment",
    "metadata": {"name": "try"},
    "spec": {
        "hypothesis": {"metric": "CostPerRequest", "direction": "Decrease", "by": "10%"},
        "baseline": {"workloads": ["chat"]},
        "treatment": {"workloads": ["other"]},
    },
}


@dataclass
class Account:
    """One account's connection: what it asked for, and what it was refused."""

    api: ApiServer
    name: str
    asked: set[Right] = field(default_factory=set)
    refused: set[Right] = field(default_factory=set)
    before_patch: Callable[[Call], None] = lambda _: None

    def __post_init__(self) -> None:
        send = self.api._send

        async def recorded(call: Call, *given: Any, **more: Any) -> Any:
            right = (call.resource.group, call.rbac_resource, call.verb)
            discovery = call.resource.plural.startswith("/")
            if call.verb == "patch":
                self.before_patch(call)
            if not discovery:
                self.asked.add(right)
            try:
                return await send(call, *given, **more)
            except Rejected as error:
                if f"grant verb {call.verb!r} on {call.rbac_resource!r}" in str(error):
                    self.refused.add(right)
                raise

        self.api._send = recorded  # type: ignore[method-assign]


@dataclass
class Deed:
    """One thing that an account does; it may be done again at any time."""

    name: str
    do: Callable[[Account, Kubectl], Awaitable[Any]]


async def _lists(by: Account, kubectl: Kubectl) -> None:
    cluster = KubernetesCluster(by.api, namespaces=[kubectl.namespace])
    for listed in (
        cluster.list_workloads,
        cluster.list_price_books,
        cluster.list_gpu_pools,
        cluster.list_demand_events,
        cluster.list_budgets,
        cluster.list_roi_experiments,
        cluster.list_gpus,
    ):
        await _whatever_comes(listed())


async def _observes(by: Account, kubectl: Kubectl) -> None:
    cluster = KubernetesCluster(by.api, namespaces=[kubectl.namespace])
    await cluster.observe([workload(kubectl.namespace, CHAT, SET, routes=ROUTES)])


def _scales(target: TargetRef) -> Deed:
    async def do(by: Account, kubectl: Kubectl) -> None:
        cluster = KubernetesCluster(by.api, namespaces=[kubectl.namespace])
        now = kubectl.get(target.kind.lower(), target.name)["spec"]["replicas"]
        await _whatever_comes(cluster.scale(kubectl.namespace, target, now, now % 5 + 1))
        await _whatever_comes(cluster.scale(kubectl.namespace, target, 99, 1))  # somebody else scaled it

    return Deed(f"scales a {target.kind}", do)


def _annotates(target: TargetRef) -> Deed:
    async def do(by: Account, kubectl: Kubectl) -> None:
        cluster = KubernetesCluster(by.api, namespaces=[kubectl.namespace])
        await cluster.annotate(kubectl.namespace, target, {"flyball.dev/cost-per-hour": f"{next(_numbers)}.00"})

    return Deed(f"annotates a {target.kind}", do)


async def _moves_routes(by: Account, kubectl: Kubectl) -> None:
    cluster = KubernetesCluster(by.api, namespaces=[kubectl.namespace])
    key = WorkloadKey(kubectl.namespace, "chat")
    state = (await cluster.observe([workload(kubectl.namespace, CHAT, routes=ROUTES)]))[key]
    for route, found in zip(ROUTES, state.routes, strict=True):
        await _whatever_comes(cluster.set_weights(key, route, found, 50, 50))
        await _whatever_comes(cluster.restore_weights(key, route))
    await _whatever_comes(cluster.restore_all(key))


async def _holds_finalizers(by: Account, kubectl: Kubectl) -> None:
    cluster = KubernetesCluster(by.api, namespaces=[kubectl.namespace])
    await cluster.hold_finalizer(WorkloadKey(kubectl.namespace, "chat"), True)
    await cluster.hold_finalizer(WorkloadKey(kubectl.namespace, "chat"), False)


async def _holds_finalizers_of_experiments(by: Account, kubectl: Kubectl) -> None:
    cluster = KubernetesCluster(by.api, namespaces=[kubectl.namespace])
    experiments = KubernetesExperiments(by.api, cluster)
    await experiments.hold_finalizer(WorkloadKey(kubectl.namespace, "try"), True)
    await experiments.hold_finalizer(WorkloadKey(kubectl.namespace, "try"), False)


async def _writes_statuses(by: Account, kubectl: Kubectl) -> None:
    cluster = KubernetesCluster(by.api, namespaces=[kubectl.namespace])
    generation = {"observedGeneration": next(_numbers)}
    for writing in (
        cluster.write_status(WorkloadKey(kubectl.namespace, "chat"), generation),
        cluster.write_demand_event_status(WorkloadKey(kubectl.namespace, "launch"), generation),
        cluster.write_budget_status(WorkloadKey(kubectl.namespace, "team"), generation),
        cluster.write_pool_status(f"pool-{kubectl.namespace}", generation),
        KubernetesExperiments(by.api, cluster).write_status(WorkloadKey(kubectl.namespace, "try"), generation),
    ):
        await _whatever_comes(writing)


async def _publishes(by: Account, kubectl: Kubectl) -> None:
    told = Event(EventReason.FALLBACK_ACTIVATED, "moved", "MoveTraffic")
    for recorder in (EventRecorder(by.api), EventRecorder(by.api)):  # the second one is the operator after a restart
        await _whatever_comes(recorder.publish(WorkloadKey(kubectl.namespace, "chat"), "uid", told, time.time()))


async def _asks_who_pushes(by: Account, kubectl: Kubectl) -> None:
    reviews = Reviews(by.api)
    await _whatever_comes(reviews.user("nobody's"))
    await _whatever_comes(reviews.may_report({"username": "crm"}, WorkloadKey(kubectl.namespace, "chat")))


async def _takes_the_lease(by: Account, kubectl: Kubectl) -> None:
    kubectl("delete", "lease", "flyball", "--ignore-not-found")
    lease = Lease(by.api, kubectl.namespace, "flyball")
    await lease.take(await lease.read(), "me", 8)


def _watches(resource: Resource, namespaced: bool) -> Deed:
    async def do(by: Account, kubectl: Kubectl) -> None:
        namespace = kubectl.namespace if namespaced else ""
        call = Call("watch", resource, namespace)
        await _whatever_comes(
            by.api._send(call, "GET", resource.path(namespace), {"watch": "1", "timeoutSeconds": "1"})
        )

    return Deed(f"watches {resource}", do)


async def _restores(by: Account, kubectl: Kubectl) -> None:
    """With somebody who writes to each object in between, once."""
    raced: set[tuple[str, str]] = set()

    def race(call: Call) -> None:
        if not call.subresource and (call.resource.plural, call.name) not in raced:
            raced.add((call.resource.plural, call.name))
            mark = {"metadata": {"annotations": {"touched": str(next(_numbers))}}}
            kubectl.patch(call.resource.plural, call.name, mark)

    by.before_patch = race
    _left_behind(kubectl)
    await restore_everything(by.api, lambda _: None, namespaces=[kubectl.namespace])


async def _stops_the_operator(by: Account, kubectl: Kubectl) -> None:
    await stop_operator(by.api, kubectl.namespace, "flyball", lambda _: None, within=0.0)


OPERATOR = [
    Deed("lists", _lists),
    Deed("observes", _observes),
    *(deed(target) for target in (CHAT, SET) for deed in (_scales, _annotates)),
    Deed("moves routes", _moves_routes),
    Deed("holds finalizers", _holds_finalizers),
    Deed("holds finalizers of experiments", _holds_finalizers_of_experiments),
    Deed("writes statuses", _writes_statuses),
    Deed("publishes", _publishes),
    Deed("asks who pushes outcomes", _asks_who_pushes),
    Deed("takes the Lease", _takes_the_lease),
    *(_watches(each, True) for each in (WORKLOADS, DEMAND_EVENTS, BUDGETS, ROI_EXPERIMENTS)),
    *(_watches(each, False) for each in (PRICE_BOOKS, GPU_POOLS)),
]
RESTORE = [Deed("restores", _restores), Deed("stops the operator", _stops_the_operator)]


async def _whatever_comes(doing: Awaitable[Any]) -> None:
    """What is refused is on record; the next thing is done all the same."""
    try:
        await doing
    except PortError:
        return


def _left_behind(kubectl: Kubectl) -> None:
    """What an operator leaves that has just moved traffic."""
    held = {"metadata": {"finalizers": ["flyball.dev/restore-routes"]}}
    kubectl.patch("workloadslo", "chat", held)
    kubectl.patch("roiexperiment", "try", held)
    entry: Object = {"owner": f"{kubectl.namespace}/chat", "primary": "chat", "fallback": "chat-small"}
    original = {"chat/chat-small": entry | {"weights": [1, 0]}}
    notes = {
        "flyball.dev/original-weights": json.dumps(original),
        "flyball.dev/applied-weights": '{"chat/chat-small":[50,50]}',
    }
    moved = http_route()["spec"]
    moved["rules"][0]["backendRefs"][0]["weight"] = moved["rules"][0]["backendRefs"][1]["weight"] = 50
    for kind in ("httproute", "grpcroute"):
        kubectl.patch(kind, "chat", {"metadata": {"annotations": notes}, "spec": moved})
    references = [{"name": each["name"], "weight": 50} for each in moved["rules"][0]["backendRefs"]]
    original["chat/chat-small"]["priorities"] = [0, 1]
    ai_moved = {"rules": [{"backendRefs": references}]}
    ai_notes = notes | {"flyball.dev/original-weights": json.dumps(original)}
    kubectl.patch("aigatewayroute", "chat", {"metadata": {"annotations": ai_notes}, "spec": ai_moved})
    for kind, name in (("deployment", "chat"), ("statefulset", "chat-set")):
        kubectl.patch(kind, name, {"metadata": {"annotations": {"flyball.dev/cost-per-hour": "1.00"}}})


@dataclass(frozen=True)
class Granted:
    """The rules of one role, as rendered."""

    role: Object

    def rights(self) -> set[tuple[int, Right]]:
        """Each with the number of its rule."""
        return {
            (number, (group, resource, verb))
            for number, rule in enumerate(self.role["rules"])
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }

    def without(self, number: int, verb: str) -> list[Object]:
        """The rules without one verb of one of them."""
        rules = deepcopy(self.role["rules"])
        rules[number]["verbs"].remove(verb)
        return [rule for rule in rules if rule["verbs"]]


def _roles_of(rendered: Any, account: str) -> list[Granted]:
    names = {
        (each["roleRef"]["kind"], each["roleRef"]["name"])
        for kind in ("RoleBinding", "ClusterRoleBinding")
        for each in rendered.all(kind)
        if any(subject["name"] == account for subject in each["subjects"])
    }
    kinds = ("Role", "ClusterRole")
    return [Granted(each) for kind in kinds for each in rendered.all(kind) if (kind, each["metadata"]["name"]) in names]


@pytest.fixture
def world(kubectl: Kubectl) -> Kubectl:
    """One object of everything."""
    stateful = deployment("chat-set") | {"kind": "StatefulSet"}
    kubectl.create(
        deployment(gpus=1), stateful, deployment("flyball", 0),
        http_route(rule(backend("chat", 1, **POOL), backend("chat-small", 0))), inference_pool("chat"),
        http_route() | {"kind": "GRPCRoute"}, endpoint_slice("chat-small", "10.0.0.9"),
        ai_gateway_route(), *ai_service_backend("chat", f"chat.{kubectl.namespace}.svc.cluster.local"),
        workload_slo(), demand_event("2026-12-01T08:00:00Z", "2026-12-01T20:00:00Z"), EXPERIMENT,
        pod("chat-0", gpus=1, nodeName="gpu-node"), gpu_pool(f"pool-{kubectl.namespace}"),
    )  # fmt: skip
    kubectl("apply", "--filename=-", text=yaml.safe_dump(KEDA))
    kubectl("wait", "--for=condition=Established", "crd/scaledobjects.keda.sh", "--timeout=60s")
    return kubectl


@pytest_asyncio.fixture
async def granted(
    server: "Server", world: Kubectl, render: Any, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Account, list[Granted]]]:
    """The account of that name with the chart's rights, in the watched namespace that is also the release's own."""
    values = {"watchNamespaces": [world.namespace], "gpuPools": {"discovery": True}, "ledger": LEDGER}
    rendered = render(values, namespace=world.namespace)
    roles = [each for each in rendered.objects if each["kind"].endswith(("Role", "RoleBinding"))]
    text = yaml.safe_dump_all(roles)
    world("apply", "--filename=-", text=text)
    name = f"system:serviceaccount:{world.namespace}:{request.param}"
    async with connect(server.kubeconfig, impersonate=name, timeout_seconds=60.0) as api:
        yield Account(api, request.param), _roles_of(rendered, request.param)
    world("delete", "--ignore-not-found", "--filename=-", text=text)
    world("delete", "gpupool", f"pool-{world.namespace}")
    world("delete", "crd", "scaledobjects.keda.sh")


@pytest.mark.parametrize(
    ("granted", "deeds"),
    [pytest.param("flyball", OPERATOR, id="the operator"), pytest.param("flyball-restore", RESTORE, id="uninstalling")],
    indirect=["granted"],
)
async def test_every_granted_verb_is_used_and_each_is_missed_when_it_is_gone(
    granted: tuple[Account, list[Granted]], world: Kubectl, deeds: list[Deed]
) -> None:
    account, roles = granted
    rights = {right for role in roles for _, right in role.rights()}
    user_of: dict[Right, Deed] = {}
    until = time.monotonic() + SECONDS
    while account.asked < rights or account.refused:  # what was granted just now may not be known yet
        account.refused.clear()
        for deed in deeds:
            before = set(account.asked)
            await _whatever_comes(deed.do(account, world))
            user_of |= dict.fromkeys(account.asked - before, deed)
        if time.monotonic() > until:
            break
    assert account.refused == set(), "granted too little"
    assert rights - account.asked == set(), "granted and never used"
    assert account.asked - rights == set()

    for role in roles:
        kind, name = role.role["kind"].lower(), role.role["metadata"]["name"]
        for number, right in sorted(role.rights()):
            world.patch(kind, name, {"rules": role.without(number, right[2])})
            until = time.monotonic() + SECONDS
            account.refused.clear()
            while right not in account.refused and time.monotonic() < until:
                await _whatever_comes(user_of[right].do(account, world))
            assert right in account.refused, f"{right} was taken from {name}, and {user_of[right].name} did not miss it"
        world.patch(kind, name, {"rules": role.role["rules"]})
