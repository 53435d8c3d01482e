"""A real API server with etcd behind it, alone: for tests of what the API accepts, returns and counts.

It listens on loopback only, needs neither root nor network set-up, and runs beside a full cluster or others of its
kind.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flyball_cluster.builds import KUBE, Builds
from flyball_cluster.control_plane import Addresses, ControlPlane
from flyball_cluster.guard import guarded
from flyball_cluster.ports import free_ports
from flyball_cluster.prerequisites import API_TOOLS, require_tools
from flyball_cluster.processes import Processes
from flyball_cluster.settings import settings_from
from flyball_cluster.toolchain import find_go

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ApiServer:
    """A running API server; stop and start it to see what its clients make of that."""

    kubeconfig: Path
    url: str
    audit_log: Path
    """One JSON object per line, at level Metadata: who did what to which object."""
    kubectl: tuple[str, ...]
    """Command words in front of kubectl's own arguments."""
    control_plane: ControlPlane
    processes: Processes

    def stop(self) -> None:
        """Stop the API server and leave etcd, so that a later start finds all objects again."""
        self.processes.stop(["kube-apiserver"])

    def start(self) -> None:
        """Start the API server again on the same port and wait until it is ready."""
        self.control_plane.start_api_server()
        self.control_plane.wait_ready()

    def kubeconfig_for(self, user: str, group: str = "") -> Path:
        """A kubeconfig for a user of that name and group, who may do what RBAC objects grant them."""
        return self.control_plane.client(f"user-{user.replace(':', '-')}", user, group)


@contextmanager
def api_server(*, controllers: bool = False) -> Iterator[ApiServer]:
    """Run etcd and kube-apiserver (with `controllers`, kube-controller-manager too) in a temporary folder.

    Builds the Kubernetes programs first where the cache does not hold them. Everything is stopped and removed at the
    end, and also where this process is killed.
    """
    runtime = Path(tempfile.mkdtemp(prefix="flyball-api-"))
    with guarded(runtime):
        try:
            yield start_api_only(runtime, controllers=controllers)
        finally:
            stop_api_only(runtime)


def start_api_only(runtime: Path, *, controllers: bool = False) -> ApiServer:
    """Start an API server of its own in a folder and wait until it is ready."""
    require_tools(API_TOOLS)
    cache = settings_from(os.environ).cache
    builds = Builds(cache, find_go(cache))
    builds.ensure([KUBE])
    kube = builds.program(KUBE)
    processes = Processes(runtime)
    control_plane = ControlPlane(runtime, kube, processes, _addresses(runtime))
    control_plane.start_api_server()
    control_plane.wait_ready()
    if controllers:
        control_plane.start_controllers()
    return ApiServer(
        kubeconfig=control_plane.kubeconfig,
        url=control_plane.addresses.server,
        audit_log=control_plane.audit_log,
        kubectl=(str(kube), "kubectl", f"--kubeconfig={control_plane.kubeconfig}"),
        control_plane=control_plane,
        processes=processes,
    )


def _addresses(runtime: Path) -> Addresses:
    """Free ports, drawn once for a folder's life."""
    path = runtime / "addresses.json"
    if not path.exists():
        api, etcd, etcd_peer, controller_manager, scheduler = free_ports(5)
        runtime.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(Addresses(LOOPBACK, api, etcd, etcd_peer, controller_manager, scheduler))))
    return Addresses(**json.loads(path.read_text()))


def stop_api_only(runtime: Path) -> None:
    """Stop what `start_api_only` started in a folder, and remove the folder."""
    processes = Processes(runtime)
    processes.stop([name for name in processes.names() if name != "etcd"])
    processes.stop(["etcd"])
    shutil.rmtree(runtime, ignore_errors=True)
