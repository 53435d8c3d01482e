"""A real kube-apiserver with etcd, started once a session, and a namespace and a connection for each test.

There are no controllers: what Deployments, endpoints and gateways would bring about, a test writes itself.
"""

import itertools
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from support.objects_api import ObjectsApi

from flyball.cluster.client import ApiServer, connect

if TYPE_CHECKING:
    from flyball_cluster import ApiServer as Server

ROOT = Path(__file__).parents[2]
_numbers = itertools.count(1)


class Kubectl:
    """kubectl as the administrator, for what Flyball itself never does; objects in and out as dictionaries."""

    def __init__(self, command: tuple[str, ...], objects: ObjectsApi, namespace: str) -> None:
        self._command = command
        self._objects = objects
        self.namespace = namespace

    def __call__(self, *arguments: str, text: str | None = None) -> str:
        command = [*self._command, f"--namespace={self.namespace}", *arguments]
        done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def create(self, *objects: dict[str, Any]) -> None:
        """Create objects, and give them the status that they carry."""
        for found in objects:
            self._objects.create(found, self.namespace)
            if found.get("status"):
                self._objects.write_status(found, self.namespace)

    def patch(self, kind: str, name: str, body: dict[str, Any]) -> None:
        """Merge-patch an object."""
        self._objects.patch(kind, name, body, self.namespace)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """An object, with its managedFields."""
        return self._objects.get(kind, name, self.namespace)

    def get_all(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind in the namespace."""
        return self._objects.get_all(kind, self.namespace)


@pytest.fixture(scope="session")
def server() -> Iterator["Server"]:
    """A real API server that knows Flyball's CRDs, the Gateway API's, and those of pools and of AI gateways."""
    from flyball_cluster import api_server
    from flyball_cluster.builds import TRAEFIK, Builds
    from flyball_cluster.console import wait_until
    from flyball_cluster.gateway import crd_files, other_crd_files
    from flyball_cluster.objects import established
    from flyball_cluster.settings import settings_from
    from flyball_cluster.toolchain import find_go

    cache = settings_from(os.environ).cache
    builds = Builds(cache, find_go(cache))
    gateway_api = builds.module_folder(TRAEFIK, "sigs.k8s.io/gateway-api")
    files = [ROOT / "crds", *crd_files(gateway_api), *other_crd_files(builds)]
    with api_server() as running:

        def kubectl(*arguments: str) -> str:
            return subprocess.run([*running.kubectl, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout

        kubectl("apply", "--server-side", *(f"--filename={file}" for file in files))
        wait_until(lambda: established(kubectl("get", "crd", "-ojson")), what="the CRDs", timeout_seconds=120)
        yield running


@pytest.fixture(scope="session")
def objects(server: "Server") -> Iterator[ObjectsApi]:
    """The administrator's requests, and the kinds that this API server serves."""
    with closing(ObjectsApi(server)) as found:
        yield found


@pytest.fixture
def kubectl(server: "Server", objects: ObjectsApi) -> Kubectl:
    """kubectl in a namespace that is this test's own."""
    own = Kubectl(server.kubectl, objects, f"test-{next(_numbers)}")
    own.create(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": own.namespace}},
        # Pods are refused without it, and there is no controller to make it.
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}},
    )
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
