"""The connection: configuration, limits, and what becomes of an API server that does not answer."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from kubernetes.aio.config import ConfigException
from support.api_server import Kubectl
from support.objects import CHAT, deployment

from flyball.cluster.adapter import KubernetesCluster
from flyball.cluster.client import ApiServer, PatchType, connect
from flyball.cluster.resources import DEPLOYMENTS, PODS, WORKLOADS
from flyball.core.ports import Rejected, Unavailable

if TYPE_CHECKING:
    from flyball_cluster import ApiServer as Server

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[Path]]


def kubeconfig(folder: Path, url: str) -> Path:
    """A kubeconfig for an API server without credentials."""
    path = folder / "kubeconfig"
    named = {"clusters": [{"name": "c", "cluster": {"server": url}}], "users": [{"name": "u", "user": {}}]}
    context = {"contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x"}
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **named, **context}))
    return path


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Serve a handler on loopback, as a kubeconfig."""
    runners: list[web.AppRunner] = []

    async def served(handler: Handler) -> Path:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handler)
        runners.append(runner := web.AppRunner(application))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return kubeconfig(tmp_path, f"http://127.0.0.1:{runner.addresses[0][1]}")

    yield served
    for runner in runners:
        await runner.cleanup()


async def test_a_list_whose_page_expired_begins_anew(serve: Serve) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.query.get("continue", ""))
        if asked == ["", "page-2"]:
            return web.json_response({"message": "too old"}, status=410)
        page = {"metadata": {"continue": "" if asked[-1] else "page-2"}, "items": [{"page": asked[-1]}]}
        return web.json_response(page)

    async with connect(await serve(handler)) as api:
        assert await api.list_all(WORKLOADS) == [{"page": ""}, {"page": "page-2"}]
    assert asked == ["", "page-2", "", "page-2"]


async def test_only_so_many_requests_at_a_time(serve: Serve) -> None:
    running = peak = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        for _ in range(10):
            await asyncio.sleep(0)
        running -= 1
        return web.json_response({"metadata": {}, "items": []})

    async with connect(await serve(handler), concurrency=3) as api:
        await asyncio.gather(*(api.list_all(PODS, f"n{number}") for number in range(20)))
    assert 1 <= peak <= 3


async def test_a_server_that_hangs_is_unavailable(serve: Serve) -> None:
    release = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    async with connect(await serve(handler), timeout_seconds=0.05) as api:
        with pytest.raises(Unavailable, match=r"list pods in namespace shop: no answer within 0.05 s"):
            await api.list_all(PODS, "shop")
    release.set()


async def test_a_write_is_sent_only_while_its_fence_allows_it_and_takes_no_longer(serve: Serve) -> None:
    asked: list[str] = []
    release = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.method)
        if request.method == "PATCH":
            await release.wait()
        return web.json_response({"metadata": {}})

    left = 0.05
    async with connect(await serve(handler)) as api:
        fenced = api.fenced(lambda: left)
        with pytest.raises(Unavailable, match=r"no answer within 0.05 s"):
            await fenced.patch(DEPLOYMENTS, "chat", "shop", {}, PatchType.MERGE)
        left = 0.0
        with pytest.raises(Unavailable, match="not sent, since another process may hold the lease"):
            await fenced.patch(DEPLOYMENTS, "chat", "shop", {}, PatchType.MERGE)
        await fenced.get(DEPLOYMENTS, "chat", "shop")
        release.set()
        await api.patch(DEPLOYMENTS, "chat", "shop", {}, PatchType.MERGE)
    assert asked == ["PATCH", "GET", "PATCH"]


async def test_an_answer_that_is_no_json_is_unavailable(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text="<html>sign in</html>")

    async with connect(await serve(handler)) as api:
        with pytest.raises(Unavailable, match="no JSON"):
            await api.list_all(PODS)


async def test_every_patch_says_what_it_is(serve: Serve) -> None:
    seen: list[tuple[str | None, str | None, str | None]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(
            (request.headers.get("Content-Type"), request.query.get("fieldManager"), request.query.get("force"))
        )
        return web.json_response({})

    async with connect(await serve(handler)) as api:
        await api.patch(DEPLOYMENTS, "chat", "shop", [], PatchType.JSON)
        await api.patch(DEPLOYMENTS, "chat", "shop", {}, PatchType.MERGE)
        await api.patch(DEPLOYMENTS, "chat", "shop", {}, PatchType.APPLY)
    assert seen == [
        ("application/json-patch+json", "flyball", None),
        ("application/merge-patch+json", "flyball", None),
        ("application/apply-patch+yaml", "flyball", "true"),
    ]


async def test_credentials_that_cannot_be_renewed_are_unavailable(tmp_path: Path) -> None:
    def renew(configuration: object) -> None:
        raise ConfigException("token file does not exist")

    async with connect(kubeconfig(tmp_path, "http://127.0.0.1:1")) as api:
        configuration = api._api_client.configuration
        configuration.api_key["BearerToken"] = "expired"
        configuration.refresh_api_key_hook = renew
        with pytest.raises(Unavailable, match="list pods: token file does not exist"):
            await api.list_all(PODS)


async def test_nothing_listens(tmp_path: Path, deaf_port: int) -> None:
    async with connect(kubeconfig(tmp_path, f"http://127.0.0.1:{deaf_port}")) as api:
        with pytest.raises(Unavailable, match="Cannot connect"):
            await api.get(DEPLOYMENTS, "chat", "shop")


async def test_no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(Rejected, match="KUBECONFIG"):
        async with connect(tmp_path / "missing"):
            pass


@pytest.mark.api_server
@pytest.mark.timeout(1800)
class TestOnApiServer:
    async def test_acts_for_somebody_else(self, kubectl: Kubectl, server: "Server") -> None:
        async with connect(server.kubeconfig, impersonate="nobody") as api:
            with pytest.raises(Rejected, match="forbidden to nobody; grant verb 'list' on 'pods'"):
                await api.list_all(PODS, kubectl.namespace)

    async def test_in_a_cluster_it_is_its_service_account(
        self, kubectl: Kubectl, server: "Server", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cluster = json.loads(kubectl("config", "view", "--raw", "--output=json"))["clusters"][0]["cluster"]
        authority = tmp_path / "ca.crt"
        authority.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
        (tmp_path / "token").write_text(kubectl("create", "token", "default").strip())
        monkeypatch.setattr("kubernetes.aio.config.incluster_config.SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
        monkeypatch.setattr("kubernetes.aio.config.incluster_config.SERVICE_CERT_FILENAME", str(authority))
        url = urlsplit(server.url)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(url.hostname))
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(url.port))
        async with connect() as api:
            account = f"system:serviceaccount:{kubectl.namespace}:default"
            with pytest.raises(Rejected, match=f"forbidden to {account}"):
                await api.list_all(PODS, kubectl.namespace)

    async def test_a_stopped_api_server_is_unavailable_until_it_is_back(
        self, kubectl: Kubectl, server: "Server", api: ApiServer
    ) -> None:
        kubectl.create(deployment(replicas=2))
        cluster = KubernetesCluster(api)
        await cluster.scale(kubectl.namespace, CHAT, 2, 3)
        server.stop()
        try:
            with pytest.raises(Unavailable):
                await cluster.scale(kubectl.namespace, CHAT, 3, 4)
            with pytest.raises(Unavailable):
                await cluster.list_workloads()
        finally:
            server.start()
        await cluster.scale(kubectl.namespace, CHAT, 3, 4)
        assert kubectl.get("deployment", "chat")["spec"]["replicas"] == 4
