"""A real kube-apiserver with etcd, started once a session, and a namespace and a connection for each test.

There are no controllers: what Deployments, endpoints and gateways would bring about, a test writes itself.
"""

import itertools
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from flyball.cluster.client import ApiServer, connect

if TYPE_CHECKING:
    from flyball_cluster import ApiServer as Server

ROOT = Path(__file__).parents[2]
_numbers = itertools.count(1)


class Kubectl:
    """kubectl as the administrator, for what Flyball itself never does; objects in and out as dictionaries."""

    def __init__(self, command: tuple[str, ...], namespace: str) -> None:
        self._command = command
        self.namespace = namespace

    def __call__(self, *arguments: str, text: str | None = None) -> str:
        command = [*self._command, f"--namespace={self.namespace}", *arguments]
        done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def create(self, *objects: dict[str, Any]) -> None:
        """Create objects, and give them the status that they carry."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self("create", "--filename=-", text=json.dumps(items))
        for found in objects:
            if status := found.get("status"):
                self.patch(f"{found['kind']}.{_group(found)}", found["metadata"]["name"], {"status": status}, "status")

    def patch(self, kind: str, name: str, body: dict[str, Any], subresource: str = "") -> None:
        """Merge-patch an object."""
        flags = [f"--subresource={subresource}"] if subresource else []
        self("patch", kind.rstrip("."), name, "--type=merge", f"--patch={json.dumps(body)}", *flags)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """An object, with its managedFields."""
        found: dict[str, Any] = json.loads(self("get", kind, name, "--output=json", "--show-managed-fields"))
        return found

    def get_all(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind in the namespace."""
        found: list[dict[str, Any]] = json.loads(self("get", kind, "--output=json"))["items"]
        return found


def _group(found: dict[str, Any]) -> str:
    group, _, version = found["apiVersion"].rpartition("/")
    return f"{version}.{group}" if group else ""


@pytest.fixture(scope="session")
def server() -> Iterator["Server"]:
    """A real API server that knows Flyball's CRDs and the Gateway API's."""
    from flyball_cluster import api_server
    from flyball_cluster.builds import TRAEFIK, Builds
    from flyball_cluster.gateway import crd_files
    from flyball_cluster.settings import settings_from
    from flyball_cluster.toolchain import find_go

    cache = settings_from(os.environ).cache
    gateway_api = Builds(cache, find_go(cache)).module_folder(TRAEFIK, "sigs.k8s.io/gateway-api")
    files = [ROOT / "crds", *crd_files(gateway_api)]
    with api_server() as running:
        kubectl = Kubectl(running.kubectl, "default")
        kubectl("apply", "--server-side", *(f"--filename={file}" for file in files))
        kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=120s")
        yield running


@pytest.fixture
def kubectl(server: "Server") -> Kubectl:
    """kubectl in a namespace that is this test's own."""
    namespace = f"test-{next(_numbers)}"
    own = Kubectl(server.kubectl, namespace)
    own("create", "namespace", namespace)
    own("create", "serviceaccount", "default")  # pods are refused without it, and there is no controller to make it
    return own


@pytest.fixture
def namespace(kubectl: Kubectl) -> str:
    """This test's own namespace."""
    return kubectl.namespace


@pytest.fixture
def writes() -> list[tuple[str, str]]:
    """Resource and verb of every write that `api` sent."""
    return []


@pytest_asyncio.fixture
async def api(server: "Server", writes: list[tuple[str, str]]) -> AsyncIterator[ApiServer]:
    """A connection as the administrator."""
    async with connect(
        server.kubeconfig, timeout_seconds=60.0, on_write=lambda resource, verb: writes.append((resource, verb))
    ) as connection:
        yield connection
