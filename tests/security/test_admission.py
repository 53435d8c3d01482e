"""On a real API server: nobody has Flyball scale, reroute or read what they could not themselves."""

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
import yaml
from support.api_server import Kubectl
from support.objects import workload_slo
from support.objects_api import ObjectsApi

from flyball.api.crd import RESOURCES
from flyball.api.model import ApiModel
from flyball.api.resource import Resource
from flyball.api.scalars import PromQL
from flyball.api.v1alpha1 import WorkloadSLO
from flyball.api.v1alpha1.latency import SpanSource
from flyball.api.v1alpha1.targets import ScaleTargetRef
from flyball.api.v1alpha1.words import GatewayProfile
from flyball.cli import doctor
from flyball.cluster.adapter import KubernetesCluster
from flyball.cluster.client import connect
from flyball.core.names import WorkloadKey

on_an_api_server = [pytest.mark.api_server, pytest.mark.timeout(1800)]  # the first start may build kube-apiserver

Object = dict[str, Any]
POLICY = "ValidatingAdmissionPolicy"

OWN = {"apiGroups": ["flyball.dev"], "resources": ["workloadslos"], "verbs": ["create", "get", "patch"]}
RIGHTS = {
    "deployments": {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]},
    "statefulsets": {"apiGroups": ["apps"], "resources": ["statefulsets/scale"], "verbs": ["patch"]},
    "other kinds": {
        "apiGroups": ["leaderworkerset.x-k8s.io"],
        "resources": ["leaderworkersets/scale"],
        "verbs": ["patch"],
    },
    "routes": {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["httproutes"], "verbs": ["patch"]},
    "AI routes": {"apiGroups": ["aigateway.envoyproxy.io"], "resources": ["aigatewayroutes"], "verbs": ["patch"]},
    "what serves at zero": {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
    "queries": {"apiGroups": ["flyball.dev"], "resources": ["promql"], "verbs": ["use"]},
}
"""What the writer of `_everything` must be allowed, one right each."""

REFUSED_WITHOUT = {
    "deployments": "patch the scale of Deployment chat, which spec.targets[0] names; ask for verb patch on ",
    "statefulsets": "patch the scale of StatefulSet chat-set, which spec.targets[1] names",
    "other kinds": "patch the scale of LeaderWorkerSet chat-many, which spec.targets[2] names",
    "routes": "patch route chat, which the spec names; ask for verb patch on httproutes",
    "AI routes": "patch route chat, which the spec names; ask for verb patch on aigatewayroutes",
    "what serves at zero": "get Deployment small, which spec.scaling.scaleToZero.wakeUp.fallbackTarget names",
    "queries": "have Flyball ask PromQL of one's own; ask for verb use on promql.flyball.dev",
}
QUERY = "sum(rate(gateway_requests_total[1m]))"
COUNT = "sum(increase(salaries_total[$window]))"
SPANS = {"name": "Retrieval", "span": {"service": "payroll", "name": "pay"}}
LATENCY = {"indicator": "EndToEnd", "span": {"service": "payroll", "name": "pay"}}
GATEWAY = {"gateway": "EndpointPicker", "gatewaySelector": {"matchLabels": {"service": "payroll"}}}
CACHE = {"name": "answers", "kind": "Response", "hits": COUNT, "lookups": COUNT}


def _everything(name: str = "chat") -> Object:
    """A WorkloadSLO that names something of each sort."""
    found = workload_slo(name)
    found["spec"] |= {
        "targets": [
            {"targetRef": {"name": "chat"}, "minReplicas": 0, "maxReplicas": 4},
            {"targetRef": {"kind": "StatefulSet", "name": "chat-set"}, "minReplicas": 0, "maxReplicas": 4},
            {
                "targetRef": {
                    "apiVersion": "leaderworkerset.x-k8s.io/v1",
                    "kind": "LeaderWorkerSet",
                    "name": "chat-many",
                },
                "minReplicas": 0,
                "maxReplicas": 4,
            },
        ],
        "fallback": {
            "routes": [
                {field: "chat", "primary": "chat", "fallback": "hosted"} for field in ("httpRoute", "aiGatewayRoute")
            ]
        },
        "scaling": {
            "scaleToZero": {"idleAfter": "30m", "wakeUp": {"query": QUERY, "fallbackTarget": {"name": "small"}}}
        },
    }
    return found


def _with(part: str, value: Any) -> Object:
    found = workload_slo()
    found["spec"][part] = value
    return found


@dataclass(frozen=True)
class Server:
    """A namespace where the policy holds, and requests of users who may do nothing until `grant` says so."""

    kubectl: Kubectl
    objects: ObjectsApi

    def grant(self, user: str, *rules: Object) -> None:
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": user}}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user}
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
        self.kubectl.create(
            role | {"kind": "Role", "rules": list(rules)},
            role | {"kind": "RoleBinding", "roleRef": reference, "subjects": [subject]},
        )

    def says(self, user: str, method: str, found: Object, **more: Any) -> str:
        """Why a request is refused; empty where it is not."""
        answer = self.objects.send_as(user, method, found, self.kubectl.namespace, **more)
        return "" if answer.ok else str(answer.json()["message"])

    def settled(self, says: Callable[[], str], expected: str) -> str:
        """The answer as soon as it is the expected one: the API server learns of roles and policies a moment later."""
        until = time.monotonic() + 60.0
        while expected not in (said := says()) or (not expected and said):
            if time.monotonic() > until:
                break
            time.sleep(0.1)
        return said


@pytest.fixture
def governed(kubectl: Kubectl, objects: ObjectsApi, render: Any) -> Iterator[Server]:
    """The chart's policy on this test's namespace, in force."""
    rendered = render({"watchNamespaces": [kubectl.namespace]}, namespace=kubectl.namespace)
    name = f"{kubectl.namespace}-flyball"
    policy = (rendered.one(kind, name) for kind in (POLICY, f"{POLICY}Binding"))
    text = yaml.safe_dump_all(policy)
    kubectl("apply", "--filename=-", text=text)
    server = Server(kubectl, objects)
    server.grant("nobody", OWN)
    refusal = "nobody may not patch the scale"
    assert refusal in server.settled(lambda: server.says("nobody", "POST", workload_slo(), dry_run=True), refusal)
    yield server
    kubectl("delete", "--filename=-", text=text)


class TestOnAnApiServer:
    pytestmark = on_an_api_server

    def test_who_may_do_it_all_by_hand_may_declare_it_and_whoever_lacks_one_right_is_told_which(
        self, governed: Server
    ) -> None:
        governed.grant("owner", OWN, *RIGHTS.values())
        for name in RIGHTS:
            governed.grant(
                f"without-{name.replace(' ', '-')}".lower(), OWN, *(r for n, r in RIGHTS.items() if n != name)
            )
        declared = _everything()
        assert governed.settled(lambda: governed.says("owner", "POST", declared, dry_run=True), "") == ""
        for name, refusal in REFUSED_WITHOUT.items():
            user = f"without-{name.replace(' ', '-')}".lower()
            expected = f"{user} may not {refusal}"
            said = governed.settled(lambda u=user: governed.says(u, "POST", declared, dry_run=True), expected)  # type: ignore[misc]
            assert expected in said, name

    def test_a_right_to_one_object_is_no_right_to_its_neighbour(self, governed: Server) -> None:
        scale = RIGHTS["deployments"] | {"resourceNames": ["chat"]}
        route = RIGHTS["routes"] | {"resourceNames": ["chat"]}
        governed.grant("owner", OWN, scale, route)
        mine = _with("fallback", {"routes": [{"httpRoute": "chat", "primary": "a", "fallback": "b"}]})
        assert governed.settled(lambda: governed.says("owner", "POST", mine, dry_run=True), "") == ""
        for field in ("grpcRoute", "aiGatewayRoute"):
            other = _with("fallback", {"routes": [{field: "chat", "primary": "a", "fallback": "b"}]})
            refusal = f"patch route chat, which the spec names; ask for verb patch on {field.lower()}s"
            assert refusal in governed.says("owner", "POST", other, dry_run=True)
        theirs = _with("fallback", {"routes": [{"httpRoute": "shop", "primary": "a", "fallback": "b"}]})
        assert "patch route shop" in governed.says("owner", "POST", theirs, dry_run=True)
        assert "patch the scale of Deployment shop" in governed.says(
            "owner", "POST", workload_slo("shop"), dry_run=True
        )

    def test_as_many_references_as_a_spec_may_hold_are_judged_one_by_one(self, governed: Server) -> None:
        names = [f"chat-{number}" for number in range(8)]
        governed.grant("owner", OWN, RIGHTS["deployments"], RIGHTS["routes"])
        governed.grant(
            "nearly",
            OWN,
            RIGHTS["deployments"] | {"resourceNames": names[:7]},
            RIGHTS["routes"] | {"resourceNames": names},
        )
        full = _with("targets", [{"targetRef": {"name": name}, "maxReplicas": 2} for name in names])
        full["spec"]["fallback"] = {"routes": [{"httpRoute": n, "primary": "a", "fallback": "b"} for n in names]}
        assert governed.settled(lambda: governed.says("owner", "POST", full, dry_run=True), "") == ""
        refusal = "patch the scale of Deployment chat-7, which spec.targets[7] names"
        assert refusal in governed.settled(lambda: governed.says("nearly", "POST", full, dry_run=True), refusal)

    def test_a_change_of_the_spec_is_judged_anew_and_a_label_is_not(self, governed: Server) -> None:
        governed.kubectl.create(_everything())
        found = _everything()
        label = {**found, "spec": {}, "metadata": {"name": "chat", "labels": {"team": "ml"}}}
        assert governed.says("nobody", "PATCH", label) == ""
        more = deepcopy(found)
        more["spec"]["targets"][0]["maxReplicas"] = 9
        assert "may not patch the scale of Deployment chat" in governed.says("nobody", "PATCH", more)

    def test_who_may_not_write_queries_may_edit_around_those_of_others(self, governed: Server) -> None:
        governed.kubectl.create(_everything())
        governed.grant("editor", OWN, *(right for name, right in RIGHTS.items() if name != "queries"))
        found = _everything()
        found["spec"]["targets"][0]["maxReplicas"] = 9
        assert governed.settled(lambda: governed.says("editor", "PATCH", found), "") == ""
        found["spec"]["scaling"]["scaleToZero"]["wakeUp"]["query"] = "max(salaries)"
        assert "PromQL of one's own" in governed.says("editor", "PATCH", found)

    @pytest.mark.parametrize(
        ("part", "value"),
        [
            pytest.param("telemetry", {"overrides": {"Waiting": QUERY}}, id="override"),
            pytest.param("telemetry", {"stages": [{"name": "Retrieval", "query": QUERY}]}, id="stage"),
            pytest.param("telemetry", {"requestEvents": [{"event": "Retry", "query": COUNT}]}, id="request event"),
            pytest.param("telemetry", {"tokens": [{"count": "Input", "query": COUNT}]}, id="tokens"),
            pytest.param("telemetry", {"caches": [CACHE]}, id="cache"),
            pytest.param("value", {"kpis": [{"name": "sold", "kind": "Conversion", "query": QUERY}]}, id="KPI"),
            pytest.param("value", {"guards": [{"name": "g", "query": QUERY, "atLeast": "1%"}]}, id="guard"),
        ],
    )
    def test_every_place_for_a_query_is_judged(self, governed: Server, part: str, value: Object) -> None:
        governed.grant("writer", OWN, RIGHTS["deployments"])
        refusal = "PromQL of one's own"
        declared = _with(part, value)
        assert refusal in governed.settled(lambda: governed.says("writer", "POST", declared, dry_run=True), refusal)

    @pytest.mark.parametrize(
        ("part", "named"),
        [
            pytest.param({"stages": [SPANS]}, "telemetry.stages[Retrieval].span", id="a stage's spans"),
            pytest.param({"latencies": [LATENCY]}, "telemetry.latencies[EndToEnd].span", id="a latency's spans"),
            pytest.param(GATEWAY, "telemetry.gateway", id="a gateway"),
        ],
    )
    def test_series_of_no_namespace_are_read_for_those_only_who_may_ask_queries(
        self, governed: Server, part: Object, named: str
    ) -> None:
        governed.grant("writer", OWN, RIGHTS["deployments"])
        governed.grant("reader", OWN, RIGHTS["deployments"], RIGHTS["queries"])
        declared = _with("telemetry", part)
        refusal = f"writer may not have Flyball read series of no namespace, as {named} names them"
        assert refusal in governed.settled(lambda: governed.says("writer", "POST", declared, dry_run=True), refusal)
        assert governed.settled(lambda: governed.says("reader", "POST", declared, dry_run=True), "") == ""
        governed.kubectl.create(declared)
        declared["spec"]["targets"][0]["maxReplicas"] = 9
        assert governed.settled(lambda: governed.says("writer", "PATCH", declared), "") == ""
        declared["spec"]["telemetry"]["staleAfter"] = "90s"
        assert refusal in governed.says("writer", "PATCH", declared)

    async def test_the_operator_itself_is_not_in_its_way(self, governed: Server, render: Any, server: Any) -> None:
        namespace = governed.kubectl.namespace
        roles = [
            each
            for each in render({"watchNamespaces": [namespace]}, namespace=namespace).objects
            if each["kind"] in ("Role", "RoleBinding") and each["metadata"]["name"] == "flyball"
        ]
        governed.kubectl("apply", "--filename=-", text=yaml.safe_dump_all(roles))
        governed.kubectl.create(_everything())
        account = f"system:serviceaccount:{namespace}:flyball"
        async with connect(server.kubeconfig, impersonate=account, timeout_seconds=60.0) as api:
            cluster = KubernetesCluster(api, namespaces=[namespace])
            key = WorkloadKey(namespace, "chat")
            await cluster.hold_finalizer(key, True)
            await cluster.write_status(key, {"observedGeneration": 1})
            await cluster.hold_finalizer(key, False)

    def test_helm_s_test_may_declare_what_it_tries_and_misses_each_of_its_rights(
        self, governed: Server, render: Any
    ) -> None:
        namespace = governed.kubectl.namespace
        rendered = render({"watchNamespaces": [namespace]}, namespace=namespace)
        role, binding = (rendered.one(kind, "flyball-test") for kind in ("Role", "RoleBinding"))
        governed.kubectl("apply", "--filename=-", text=yaml.safe_dump_all([role, binding]))
        account = f"system:serviceaccount:{namespace}:flyball-test"
        tried = doctor._workload(min_replicas=1)

        def says() -> str:
            return governed.says(account, "POST", tried, dry_run=True)

        assert governed.settled(says, "") == ""
        assert "may not patch the scale" in governed.says(account, "POST", workload_slo(), dry_run=True)
        assert [each["verbs"] for each in role["rules"]] == [["create"], ["patch"]]
        for number, refusal in enumerate(("cannot create resource", "may not patch the scale")):
            governed.kubectl.patch("role", "flyball-test", {"rules": [role["rules"][1 - number]]})
            assert refusal in governed.settled(says, refusal)

    def test_namespaces_that_this_release_does_not_watch_are_not_its_business(
        self, governed: Server, objects: ObjectsApi
    ) -> None:
        other = f"{governed.kubectl.namespace}-other"
        governed.kubectl.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
        elsewhere = Server(Kubectl((), objects, other), objects)
        elsewhere.grant("nobody", OWN)
        assert elsewhere.settled(lambda: elsewhere.says("nobody", "POST", workload_slo(), dry_run=True), "") == ""


def test_older_clusters_get_no_policy_and_it_can_be_left_out(render: Any) -> None:
    def policies(*arguments: Any) -> list[str]:
        found = render(*arguments).all(POLICY)
        return [each["metadata"]["name"] for each in found if not each["metadata"]["name"].endswith("-lease")]

    assert policies() == ["flyball-system-flyball"]
    assert policies({"admission": {"enabled": False}}) == []
    assert policies({}, "--kube-version", "1.29.4") == []


def test_cluster_wide_the_policy_holds_everywhere(render: Any) -> None:
    binding = render().one(f"{POLICY}Binding", "flyball-system-flyball")
    assert "matchResources" not in binding["spec"]
    assert binding["spec"]["validationActions"] == ["Deny"]


JUDGED = {
    "targets[].targetRef",
    "scaling.scaleToZero.wakeUp.fallbackTarget",
    "fallback.routes[].httpRoute",
    "fallback.routes[].grpcRoute",
    "fallback.routes[].aiGatewayRoute",
    "route.httpRoute",
    "scaling.scaleToZero.wakeUp.query",
    "telemetry.overrides{}",
    "telemetry.stages[].query",
    "telemetry.gateway",
    "telemetry.stages[].span",
    "telemetry.latencies[].span",
    "telemetry.requestEvents[].query",
    "telemetry.tokens[].query",
    "telemetry.caches[].hits",
    "telemetry.caches[].lookups",
    "telemetry.caches[].guard.query",
    "value.kpis[].query",
    "value.guards[].query",
}
OF_NO_NAMESPACE = (SpanSource, GatewayProfile)
HARMLESS = {
    "cost.priceBookRef": "prices are for every workload; what they are is not shown but in what this one costs",
}


@pytest.mark.parametrize("resource", RESOURCES)
def test_every_reference_and_query_of_a_spec_is_judged_or_said_to_be_harmless(resource: type[Resource]) -> None:
    """Whoever adds one lets charts/flyball/templates/admission.yaml judge it, and tries that above."""
    found = set(_references(resource.model_fields["spec"].annotation, "", ()))
    assert found - JUDGED - set(HARMLESS) == set(), "a new reference: let templates/admission.yaml judge it"
    assert resource is not WorkloadSLO or JUDGED - {"route.httpRoute"} <= found, "judged, and in no spec any more"


def _references(annotation: Any, path: str, metadata: tuple[Any, ...]) -> Iterator[str]:
    """Paths of what names another object, holds PromQL, or is read from series that are of no namespace."""
    origin = get_origin(annotation)
    name = path.rpartition(".")[2].lower()
    named = name.endswith("ref") or (annotation is str and name.endswith(("route", "secret")))
    if named or annotation in OF_NO_NAMESPACE or any(each in get_args(PromQL) for each in metadata):
        yield path
    elif origin is Annotated:
        yield from _references(get_args(annotation)[0], path, get_args(annotation)[1:])
    elif origin in (Union, UnionType):
        for part in get_args(annotation):
            yield from _references(part, path, metadata)
    elif origin is tuple:
        yield from _references(get_args(annotation)[0], f"{path}[]", ())
    elif origin is dict:
        yield from _references(get_args(annotation)[1], f"{path}{{}}", ())
    elif annotation is ScaleTargetRef:
        yield path
    elif isinstance(annotation, type) and issubclass(annotation, ApiModel):
        for field, info in annotation.model_fields.items():
            inner = f"{path}.{info.alias or field}".lstrip(".")
            yield from _references(info.annotation, inner, tuple(info.metadata))
