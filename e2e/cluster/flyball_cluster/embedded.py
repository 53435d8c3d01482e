"""The embedded cluster: every component a process of this machine, every pod a real one."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyball_cluster import cgroups, dns, gateway, prometheus
from flyball_cluster.builds import CONTAINERD, COREDNS, HELM, KUBE, PAUSE, PROMETHEUS, TRAEFIK, Builds
from flyball_cluster.console import run, say, succeeds, timed, wait_until
from flyball_cluster.control_plane import Addresses, ControlPlane
from flyball_cluster.errors import ClusterError
from flyball_cluster.files import exclusive
from flyball_cluster.network import CNI_NETWORK, Network, Plan
from flyball_cluster.node import KUBELET_PORT, Node
from flyball_cluster.objects import established
from flyball_cluster.ports import choose_port, is_free
from flyball_cluster.prerequisites import NODE_TOOLS, cni_folder, require_embedded, require_tools
from flyball_cluster.processes import Processes, end
from flyball_cluster.toolchain import find_go

if TYPE_CHECKING:
    from flyball_cluster.settings import Settings

API_PORT = 6443
FIRST_LOOPBACK_PORT = 18080
START_SECONDS = 60.0
GRACE_SECONDS = 1.0
"""Short, because `down` keeps no data that an orderly end would save."""
STOP_FIRST = ("kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy")
STOP_LAST = ("kube-apiserver", "etcd")
OUTSIDE_FOLDERS = ("/var/log/containers", "/var/lib/kubelet", "/var/lib/cni")
"""Folders that components insist on outside the runtime folder; `down` removes those that were not there before."""
LOCK = Path("/run/lock/flyball-cluster.lock")


@dataclass(frozen=True, slots=True)
class LoopbackPorts:
    """Ports on loopback, chosen once for a cluster's life."""

    gateway: int
    gateway_metrics: int
    etcd: int
    etcd_peer: int
    controller_manager: int
    scheduler: int


class EmbeddedCluster:
    """The one embedded cluster of this machine, driven from outside by short commands."""

    def __init__(self, settings: Settings) -> None:
        require_embedded()
        self._settings = settings
        self._runtime = settings.runtime
        self._processes = Processes(settings.runtime)
        self._network = Network(settings.runtime)

    def builds(self) -> Builds:
        """The cached programs, with a toolchain at hand."""
        return Builds(self._settings.cache, find_go(self._settings.cache))

    def prepare(self) -> None:
        """Get and build all that `up` needs, and start nothing."""
        require_tools(NODE_TOOLS)
        cni_folder()
        self.builds().ensure()

    def up(self) -> dict[str, Any]:
        """Start what does not run yet and return what `cluster.json` says; harmless on a running cluster."""
        self.prepare()
        plugins, builds = cni_folder(), self.builds()
        with exclusive(LOCK, "another command on the embedded cluster"):
            self._runtime.mkdir(parents=True, exist_ok=True)
            self._runtime.chmod(0o711)
            self._remember_outside()
            plan = self._network.up()
            ports = self._ports(plan)
            node = Node(self._settings, builds.folder(CONTAINERD), self._processes)
            control_plane = self._control_plane(builds, plan, ports)
            with timed("API server and container runtime"):
                control_plane.start_api_server()
                node.start_containerd(self._network, plugins)
                control_plane.wait_ready()
                node.wait_containerd(builds.program(PAUSE))
            with timed("controllers, kubelet and add-ons started"):
                self._start_rest(builds, control_plane, node, plan, ports)
            with timed("node ready"):
                node.wait_ready(self._kubectl(builds))
            with timed("gateway and Prometheus ready"):
                self._wait_add_ons(self._kubectl(builds))
            facts = self._facts(builds, control_plane, node, plan, ports)
            self._settings.cluster_file.write_text(json.dumps(facts, indent=2) + "\n")
        return facts

    def down(self) -> None:
        """Stop and remove everything that `up` made, from whatever state it is in."""
        with exclusive(LOCK, "another command on the embedded cluster"):
            names = self._processes.names()
            middle = [name for name in names if name not in (*STOP_FIRST, *STOP_LAST, "containerd")]
            self._processes.stop([name for name in STOP_FIRST if name in names], grace_seconds=GRACE_SECONDS)
            cgroups.remove()
            self._processes.stop([*middle, "containerd"], grace_seconds=GRACE_SECONDS)
            self._processes.stop(STOP_LAST, grace_seconds=GRACE_SECONDS)
            end(self._processes.stragglers(), grace_seconds=GRACE_SECONDS)
            _unmount_below(self._runtime)
            if self._runtime.exists():
                self._network.down()
                self._forget_outside()
                shutil.rmtree(self._runtime)

    def status(self) -> dict[str, Any]:
        """What runs: components by name, and the node as the API server sees it."""
        components = {
            name: {"pid": self._processes.pid(name), "log": str(self._processes.log(name))}
            for name in self._processes.names()
        }
        facts = json.loads(self._settings.cluster_file.read_text()) if self._settings.cluster_file.exists() else {}
        running = bool(facts) and all(entry["pid"] for entry in components.values())
        node = self._node_status(facts) if running else {}
        return {"mode": "embedded", "running": running, "components": components, "node": node, "cluster": facts}

    def restart(self, name: str) -> None:
        """Restart one component as it was started, and wait until API server and node are ready."""
        self._processes.restart(name)
        kubectl = self._kubectl(self.builds())
        ready = [*kubectl.words, "--request-timeout=2s", "get", "--raw=/readyz"]
        wait_until(lambda: succeeds(ready), what="the API server", timeout_seconds=START_SECONDS)
        self._node().wait_ready(kubectl)

    def load_image(self, archive: Path) -> None:
        """Import an OCI archive into the node's container runtime, unless it holds that very file already."""
        if self._processes.pid("containerd") is None:
            raise ClusterError("the cluster is not up; run: cluster.py up")
        state = archive.stat()
        fingerprint = f"{archive} {state.st_size} {state.st_mtime_ns}"
        loaded_file = self._runtime / "images.json"
        loaded: list[str] = json.loads(loaded_file.read_text()) if loaded_file.exists() else []
        if fingerprint in loaded:
            say(f"image {archive.name}: in the node already")
            return
        with timed(f"image {archive.name} imported"):
            self._node().load_image(archive)
        others = [entry for entry in loaded if not entry.startswith(f"{archive} ")]
        loaded_file.write_text(json.dumps([*others, fingerprint]))

    def _node(self) -> Node:
        return Node(self._settings, self.builds().folder(CONTAINERD), self._processes)

    def _control_plane(self, builds: Builds, plan: Plan, ports: LoopbackPorts) -> ControlPlane:
        if self._processes.pid("kube-apiserver") is None and not is_free(plan.node_address, API_PORT):
            raise ClusterError(f"something else listens on every address at port {API_PORT}; stop it, then try again")
        addresses = Addresses(
            host=plan.node_address,
            api_port=API_PORT,
            etcd_port=ports.etcd,
            etcd_peer_port=ports.etcd_peer,
            controller_manager_port=ports.controller_manager,
            scheduler_port=ports.scheduler,
            service_cidr=plan.service_cidr,
            first_service_address=plan.api_service_address,
        )
        return ControlPlane(self._runtime, builds.program(KUBE), self._processes, addresses)

    def _start_rest(
        self, builds: Builds, control_plane: ControlPlane, node: Node, plan: Plan, ports: LoopbackPorts
    ) -> None:
        kubectl = self._kubectl(builds)
        control_plane.start_controllers()
        control_plane.start_scheduler()
        node.start_kubelet(control_plane, plan)
        node.start_proxy(control_plane, plan)
        crds = gateway.crd_files(builds.module_folder(TRAEFIK, "sigs.k8s.io/gateway-api"))
        kubectl("apply", "--server-side", *(f"--filename={path}" for path in crds))
        wait_until(
            lambda: established(kubectl("get", "crd", "-ojson")),
            what="the Gateway API's CRDs to be served",
            timeout_seconds=START_SECONDS,
        )
        gateway_ports = gateway.Ports(ports.gateway, ports.gateway_metrics)
        items = [*dns.objects(plan), *prometheus.objects(plan), *gateway.objects(plan, gateway_ports)]
        content = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        kubectl("apply", "--server-side", "--filename=-", text=content)
        dns.start(self._runtime, builds.program(COREDNS), self._processes, control_plane, plan)
        prometheus.start(
            self._runtime,
            builds.program(PROMETHEUS),
            self._processes,
            control_plane,
            plan,
            f"127.0.0.1:{ports.gateway_metrics}",
        )
        gateway.start(self._processes, builds.program(TRAEFIK), control_plane, plan, gateway_ports)

    def _wait_add_ons(self, kubectl: Kubectl) -> None:
        query = "-ojsonpath={.status.conditions[?(@.type=='Programmed')].status}"

        def ready() -> bool:
            for name in ("traefik", "prometheus", "coredns", "kube-proxy"):
                self._processes.require(name)
            return kubectl("get", "gateway", gateway.NAME, f"--namespace={gateway.NAMESPACE}", query) == "True"

        wait_until(ready, what="the gateway to be programmed", timeout_seconds=START_SECONDS)
        url = f"http://{self._network.plan().node_address}:{prometheus.PORT}/-/ready"
        wait_until(lambda: _answers(url), what="Prometheus", timeout_seconds=START_SECONDS)
        default = ("get", "serviceaccount", "default", "--namespace=default", "--ignore-not-found", "-oname")
        wait_until(lambda: bool(kubectl(*default)), what="the default ServiceAccount", timeout_seconds=START_SECONDS)

    def _ports(self, plan: Plan) -> LoopbackPorts:
        path = self._runtime / "ports.json"
        if not path.exists():
            for port in (KUBELET_PORT, prometheus.PORT, dns.PORT, gateway.CLUSTER_PORT):
                if not is_free(plan.node_address, port):
                    raise ClusterError(
                        f"something else listens on every address at port {port}; stop it, then try again"
                    )
            chosen = [choose_port("127.0.0.1", FIRST_LOOPBACK_PORT + offset) for offset in range(6)]
            path.write_text(json.dumps(asdict(LoopbackPorts(*chosen))))
        return LoopbackPorts(**json.loads(path.read_text()))

    def _facts(
        self, builds: Builds, control_plane: ControlPlane, node: Node, plan: Plan, ports: LoopbackPorts
    ) -> dict[str, Any]:
        return {
            "mode": "embedded",
            "kubeconfig": str(control_plane.kubeconfig),
            "apiServer": control_plane.addresses.server,
            "prometheus": {
                "url": f"http://{plan.node_address}:{prometheus.PORT}",
                "inClusterUrl": prometheus.IN_CLUSTER_URL,
            },
            "gateway": {
                "url": f"http://127.0.0.1:{ports.gateway}",
                "inClusterUrl": gateway.IN_CLUSTER_URL,
                "className": gateway.CLASS,
                "name": gateway.NAME,
                "namespace": gateway.NAMESPACE,
            },
            "auditLog": str(control_plane.audit_log),
            "node": {"name": self._settings.node_name, "address": plan.node_address, "gpus": self._settings.gpus},
            "podCidr": plan.pod_cidr,
            "serviceCidr": plan.service_cidr,
            "kubectl": [*control_plane.command("kubectl")],
            "helm": [str(builds.program(HELM))],
            "ctr": list(node.ctr),
        }

    def _kubectl(self, builds: Builds) -> Kubectl:
        return Kubectl((str(builds.program(KUBE)), "kubectl", f"--kubeconfig={self._runtime / 'kubeconfig'}"))

    def _node_status(self, facts: dict[str, Any]) -> dict[str, Any]:
        kubectl = Kubectl((*facts["kubectl"], f"--kubeconfig={facts['kubeconfig']}", "--request-timeout=5s"))
        with suppress(ClusterError):
            found = json.loads(kubectl("get", "node", facts["node"]["name"], "-ojson"))["status"]
            ready = next(
                (condition["status"] for condition in found["conditions"] if condition["type"] == "Ready"), "Unknown"
            )
            return {"ready": ready, "gpus": found["capacity"].get("nvidia.com/gpu", "0")}
        return {"ready": "Unknown", "gpus": "0"}

    def _remember_outside(self) -> None:
        path = self._runtime / "outside.json"
        if not path.exists():
            path.write_text(json.dumps([folder for folder in OUTSIDE_FOLDERS if not Path(folder).exists()]))

    def _forget_outside(self) -> None:
        for leftover in Path("/var/lib/cni").glob(f"*/{CNI_NETWORK}-*"):
            leftover.unlink()
        path = self._runtime / "outside.json"
        for folder in json.loads(path.read_text()) if path.exists() else []:
            _unmount_below(Path(folder))
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with its first words filled in."""

    words: tuple[str, ...]

    def __call__(self, *arguments: str, text: str | None = None) -> str:
        """Run kubectl and return what it printed; raises ClusterError when it fails."""
        return run([*self.words, *arguments], text=text)


def _answers(url: str) -> bool:
    return succeeds(["curl", "--silent", "--fail", "--noproxy", "*", "--max-time", "2", url])


def _unmount_below(folder: Path) -> None:
    """Unmount everything at or below a folder, innermost first."""
    escapes = re.compile(r"\\([0-7]{3})")
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    points = [escapes.sub(lambda found: chr(int(found[1], 8)), point) for point in points]
    for point in reversed(points):
        if Path(point).is_relative_to(folder) and not succeeds(["umount", point]):
            run(["umount", "--lazy", point])
