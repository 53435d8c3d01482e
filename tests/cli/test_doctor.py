"""`flyball doctor`: what is found and what to do about it."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner, Result
from support.api_server import Kubectl
from support.objects import deployment, workload_slo
from support.prometheus import Stub

from flyball.cli.main import main
from flyball.cluster import route_kinds
from flyball.cluster.adapter import KubernetesCluster
from flyball.cluster.client import connect
from flyball.cluster.resources import AI_GATEWAY_ROUTES
from flyball.core.names import RouteKind, WorkloadKey

if TYPE_CHECKING:
    from flyball_cluster import ApiServer as Server

api_server = [pytest.mark.api_server, pytest.mark.timeout(1800)]  # the first start may build kube-apiserver

VECTOR = {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "1"]}]}}


def doctor(*arguments: str, kubeconfig: Path | str = "", **environment: str | None) -> Result:
    """Run it in a process whose KUBECONFIG was that one when the client library was imported."""
    environment = {"KUBERNETES_SERVICE_HOST": None, "FLYBALL_PROMETHEUS_URL": None} | environment
    with patch("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig)):
        return CliRunner().invoke(main, ["doctor", *arguments], env=environment)


def checks(done: Result) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in json.loads(done.output)["checks"]}


@pytest.fixture
def nowhere(tmp_path: Path) -> str:
    """A kubeconfig that names a server which is not there."""
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    config = {
        "clusters": [cluster],
        "contexts": [context],
        "users": [{"name": "u", "user": {}}],
        "current-context": "x",
    }
    path = tmp_path / "config"
    path.write_text(json.dumps(config | {"apiVersion": "v1", "kind": "Config"}))
    return str(path)


@pytest.fixture
def prometheus() -> Iterator[Callable[[int, dict[str, Any]], Stub]]:
    """A stand-in for Prometheus with one answer."""
    started: list[Stub] = []

    def start(status: int, body: dict[str, Any]) -> Stub:
        started.append(Stub(lambda _: (status, {"Content-Type": "application/json"}, json.dumps(body).encode())))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_an_api_server_that_is_not_there_fails_in_a_line_and_prometheus_is_tried_all_the_same(
    nowhere: str, prometheus: Callable[[int, dict[str, Any]], Stub]
) -> None:
    stub = prometheus(200, VECTOR)
    done = doctor("--prometheus-url", stub.url, kubeconfig=nowhere)
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert lines[0].startswith("FAILED  API server  ")
    assert lines[1] == f"ok      Prometheus  {stub.url} answers queries"


def test_without_a_kubeconfig_it_says_what_to_set(tmp_path: Path) -> None:
    done = doctor(kubeconfig=tmp_path / "none")
    assert done.exit_code == 1
    assert "set KUBECONFIG" in done.output


@pytest.mark.parametrize(
    ("status", "fix"),
    [pytest.param(401, "renew the token", id="401"), pytest.param(404, "check the path prefix", id="wrong path")],
)
def test_what_prometheus_refuses_comes_with_a_fix(
    nowhere: str, prometheus: Callable[[int, dict[str, Any]], Stub], status: int, fix: str
) -> None:
    stub = prometheus(status, {})
    found = checks(doctor("--prometheus-url", stub.url, "-o", "json", kubeconfig=nowhere))
    assert not found["Prometheus"]["ok"]
    assert fix in found["Prometheus"]["text"]


def test_asks_prometheus_as_the_operator_does(nowhere: str, prometheus: Callable[[int, dict[str, Any]], Stub]) -> None:
    stub = prometheus(200, VECTOR)
    doctor(FLYBALL_PROMETHEUS_URL=stub.url, FLYBALL_PROMETHEUS_HEADERS='{"X-Scope-OrgID": "a"}', kubeconfig=nowhere)
    path, headers, form = stub.requests[0]
    assert path.endswith("/api/v1/query")
    assert (headers["X-Scope-OrgID"], form["query"]) == ("a", "vector(1)")


def test_in_a_cluster_a_prometheus_is_needed(nowhere: str) -> None:
    found = checks(doctor("--in-cluster", "-o", "json", kubeconfig=nowhere))
    assert found["Prometheus"]["text"] == "no URL is given: set prometheus.url in the chart"
    assert "Prometheus" not in checks(doctor("-o", "json", kubeconfig=nowhere))


def test_a_prometheus_url_that_is_none_is_a_usage_error(nowhere: str) -> None:
    done = doctor("--prometheus-url", "prometheus:9090", kubeconfig=nowhere)
    assert done.exit_code == 2
    assert "--prometheus-url" in done.output


@pytest.mark.parametrize("flag", [[], ["--in-cluster"]], ids=["from outside", "in the cluster"])
class TestOnAnApiServer:
    pytestmark = api_server

    def test_a_cluster_with_the_crds_is_well(
        self, server: "Server", kubectl: Kubectl, prometheus: Callable[[int, dict[str, Any]], Stub], flag: list[str]
    ) -> None:
        stub = prometheus(200, VECTOR)
        before = kubectl.get_all("workloadslos")
        arguments = (*flag, "--prometheus-url", stub.url, "-o", "json")
        done = doctor(*arguments, kubeconfig=server.kubeconfig, POD_NAMESPACE=kubectl.namespace)
        found = checks(done)
        assert found["API server"]["text"].startswith("Kubernetes v1.")
        assert found["WorkloadSLO accepted"]["ok"]
        assert found["mistakes refused"]["ok"]
        assert ("operator" in found) == (not flag)
        assert kubectl.get_all("workloadslos") == before == []

    def test_missing_rights_are_named(self, server: "Server", kubectl: Kubectl, flag: list[str]) -> None:
        config = server.kubeconfig_for("nobody")
        found = checks(doctor(*flag, "-n", kubectl.namespace, "-o", "json", kubeconfig=config))
        assert "grant verb 'create' on 'workloadslos'" in found["WorkloadSLO accepted"]["text"]
        assert not found["mistakes refused"]["ok"], "a refusal of the right is none of the mistake"

    def test_a_namespace_that_is_not_there(self, server: "Server", flag: list[str]) -> None:
        found = checks(doctor(*flag, "-n", "no-such-place", "-o", "json", kubeconfig=server.kubeconfig))
        assert not found["WorkloadSLO accepted"]["ok"]
        assert "namespace no-such-place exists" in found["WorkloadSLO accepted"]["text"]


@pytest.mark.api_server
@pytest.mark.timeout(1800)
async def test_workloads_that_nobody_evaluates_are_named(server: "Server", kubectl: Kubectl) -> None:
    kubectl.create(workload_slo())
    done = await _in_thread("-o", "json", kubeconfig=server.kubeconfig)
    found = checks(done)["operator"]
    assert (done.exit_code, found["ok"]) == (1, False)
    assert "is the operator running" in found["text"]
    async with connect(server.kubeconfig) as api:
        await KubernetesCluster(api).write_status(WorkloadKey(kubectl.namespace, "chat"), {"observedGeneration": 1})
    assert (
        f"{kubectl.namespace}/chat"
        not in checks(await _in_thread("-o", "json", kubeconfig=server.kubeconfig))["operator"]["text"]
    )


@pytest.mark.api_server
@pytest.mark.timeout(1800)
async def test_kinds_of_routes_that_the_api_server_lacks_are_named(
    server: "Server", kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = workload_slo()
    declared["spec"]["fallback"] = {
        "routes": [{"aiGatewayRoute": "chat", "primary": "chat", "fallback": "hosted", "order": 1}]
    }
    kubectl.create(declared)
    found = checks(await _in_thread("-o", "json", kubeconfig=server.kubeconfig))["fallback routes"]
    assert (found["ok"], "AIGatewayRoute" in found["text"]) == (True, True)
    unserved = replace(AI_GATEWAY_ROUTES, version="v9")
    monkeypatch.setitem(route_kinds.RESOURCES, RouteKind.AI_GATEWAY, unserved)  # type: ignore[arg-type]
    monkeypatch.setitem(route_kinds.INSTALL, unserved, route_kinds.INSTALL[AI_GATEWAY_ROUTES])  # type: ignore[arg-type]
    found = checks(await _in_thread("-o", "json", kubeconfig=server.kubeconfig))["fallback routes"]
    expected = "the API server serves no aigatewayroutes of aigateway.envoyproxy.io/v9; install Envoy AI Gateway's CRDs"
    assert (found["ok"], found["text"]) == (False, expected)


@pytest.mark.api_server
@pytest.mark.timeout(1800)
async def test_targets_whose_pods_end_at_once_are_doubtful_and_no_failure(server: "Server", kubectl: Kubectl) -> None:
    """The API server has other tests' targets, too."""
    where = f"Deployment {kubectl.namespace}/chat, no container has a preStop hook; "

    async def found() -> dict[str, Any]:
        return checks(await _in_thread("-o", "json", kubeconfig=server.kubeconfig))["pods' end"]

    assert where not in (await found())["text"]
    kubectl.create(deployment(), workload_slo())
    doubt = await found()
    assert (doubt["ok"], doubt["doubtful"], where in doubt["text"]) == (True, True, True)
    assert doubt["text"].endswith(
        "; requests are lost where the engine does not serve on after SIGTERM; see docs/scale-down.md"
    )
    engine = {"name": "engine", "image": "engine", "lifecycle": {"preStop": {"sleep": {"seconds": 15}}}}
    kubectl.patch("deployment", "chat", {"spec": {"template": {"spec": {"containers": [engine]}}}})
    calm = await found()
    assert (calm["ok"], where in calm["text"]) == (True, False)


async def _in_thread(*arguments: str, kubeconfig: Path) -> Result:
    return await asyncio.to_thread(doctor, *arguments, kubeconfig=kubeconfig)
