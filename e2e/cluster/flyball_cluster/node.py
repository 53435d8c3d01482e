"""The one node: containerd, kubelet and kube-proxy, and the GPUs that the node claims to have."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from flyball_cluster import cgroups
from flyball_cluster.console import run, succeeds, wait_until
from flyball_cluster.files import write_if_changed
from flyball_cluster.oci import write_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from flyball_cluster.control_plane import ControlPlane
    from flyball_cluster.network import Network, Plan
    from flyball_cluster.processes import Processes
    from flyball_cluster.settings import Settings

PAUSE_IMAGE = "flyball.local/pause:1"
KUBELET_PORT = 10250
READY_SECONDS = 90.0
CAP_SYS_RESOURCE = 24

_CONTAINERD = """\
version = 4
root = '{root}'
state = '{state}'
imports = []
[plugins.'io.containerd.server.v1.grpc']
address = '{socket}'
[plugins.'io.containerd.server.v1.ttrpc']
address = '{socket}.ttrpc'
[plugins.'io.containerd.shim.v1.manager']
socket_dir = '{shim_sockets}'
[plugins.'io.containerd.nri.v1.nri']
disable = true
[plugins.'io.containerd.internal.v1.opt']
path = '{root}/opt'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{pause}'
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = {restrict_oom}
netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false
Root = '{state}/runc'
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['{cni_programs}']
conf_dir = '{cni_configuration}'
"""


class Node:
    """The node's processes in one runtime folder."""

    def __init__(self, settings: Settings, containerd: Path, processes: Processes) -> None:
        self._settings = settings
        self._programs = containerd
        self._processes = processes
        self._runtime = settings.runtime
        self.socket = self._runtime / "containerd.sock"
        self.ctr = (str(containerd / "ctr"), f"--address={self.socket}", "--namespace=k8s.io")

    def start_containerd(self, network: Network, cni_programs: Path) -> None:
        """Start the container runtime; `wait_containerd` waits for it."""
        configuration = self._runtime / "containerd.toml"
        content = _CONTAINERD.format(
            root=self._runtime / "containerd",
            state=self._runtime / "containerd-state",
            socket=self.socket,
            shim_sockets=self._runtime / "shims",
            pause=PAUSE_IMAGE,
            restrict_oom=str(not _has_capability(CAP_SYS_RESOURCE)).lower(),
            cni_programs=cni_programs,
            cni_configuration=network.cni_configuration,
        )
        write_if_changed(configuration, content)
        path = {"PATH": f"{self._programs}:{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin"}
        self._processes.start("containerd", [self._programs / "containerd", f"--config={configuration}"], path)

    def wait_containerd(self, pause: Path) -> None:
        """Wait for the container runtime and give it the image that holds pods open."""

        def answers() -> bool:
            self._processes.require("containerd")
            return succeeds([*self.ctr, "version"])

        wait_until(answers, what="containerd", timeout_seconds=30.0)
        if not self.has_image(PAUSE_IMAGE):
            archive = self._runtime / "pause.tar"
            write_image(archive, PAUSE_IMAGE, files={"pause": pause}, entrypoint=["/pause"])
            self.load_image(archive)

    def has_image(self, reference: str) -> bool:
        """Whether the node holds an image of that name."""
        return reference in run([*self.ctr, "images", "list", "--quiet"]).split()

    def load_image(self, archive: Path) -> None:
        """Import an OCI archive; its pods then need `imagePullPolicy: IfNotPresent` or `Never`."""
        run([*self.ctr, "images", "import", archive])

    def start_kubelet(self, control_plane: ControlPlane, plan: Plan) -> None:
        """Start the kubelet with its pods under the cluster's own cgroup."""
        cgroups.create()
        name = self._settings.node_name
        client = control_plane.client("kubelet", f"system:node:{name}", "system:nodes")
        serving = control_plane.authority.issue(
            "kubelet-serving", f"system:node:{name}", hosts=(name, plan.node_address)
        )
        configuration = self._runtime / "kubelet.json"
        content = kubelet_configuration(
            self._runtime, plan, {"certificate": str(serving.certificate), "key": str(serving.key)}
        )
        content["authentication"] = {
            "anonymous": {"enabled": False},
            "x509": {"clientCAFile": str(control_plane.authority.pair.certificate)},
        }
        write_if_changed(configuration, json.dumps(content, indent=2))
        labels = {
            "nvidia.com/gpu.present": "true",
            "nvidia.com/gpu.product": self._settings.gpu_product,
            "nvidia.com/gpu.count": str(self._settings.gpus),
        }
        self._processes.start(
            "kubelet",
            [
                *control_plane.command("kubelet"),
                f"--config={configuration}",
                f"--kubeconfig={client}",
                f"--hostname-override={name}",
                f"--node-ip={plan.node_address}",
                f"--root-dir={self._runtime / 'kubelet'}",
                f"--cert-dir={self._runtime / 'pki' / 'kubelet'}",
                f"--node-labels={','.join(f'{key}={value}' for key, value in labels.items())}",
            ],
        )

    def start_proxy(self, control_plane: ControlPlane, plan: Plan) -> None:
        """Start kube-proxy in iptables mode, leaving the machine's connection tracking limits alone."""
        configuration = self._runtime / "kube-proxy.json"
        content = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clusterCIDR": plan.pod_cidr,
            "clientConnection": {"kubeconfig": str(control_plane.client("proxy", "system:kube-proxy"))},
            "bindAddress": plan.node_address,
            "healthzBindAddress": f"{plan.node_address}:10256",
            "metricsBindAddress": f"{plan.node_address}:10249",
            "nodePortAddresses": [f"{plan.node_address}/32"],
            "hostnameOverride": self._settings.node_name,
            "iptables": {"localhostNodePorts": False, "minSyncPeriod": "100ms"},
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }
        write_if_changed(configuration, json.dumps(content, indent=2))
        self._processes.start("kube-proxy", [*control_plane.command("kube-proxy"), f"--config={configuration}"])

    def wait_ready(self, kubectl: Callable[..., str]) -> None:
        """Wait until the node is Ready, then declare its GPUs, which the kubelet forgets whenever it starts."""
        name = self._settings.node_name
        query = "-ojsonpath={.status.conditions[?(@.type=='Ready')].status}"

        def ready() -> bool:
            self._processes.require("kubelet")
            return kubectl("get", "node", name, "--ignore-not-found", query) == "True"

        wait_until(ready, what="the node to be Ready", timeout_seconds=READY_SECONDS)
        patch = [{"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": str(self._settings.gpus)}]
        kubectl("patch", "node", name, "--subresource=status", "--type=json", f"--patch={json.dumps(patch)}")


def kubelet_configuration(runtime: Path, plan: Plan, serving: dict[str, str]) -> dict[str, object]:
    """The kubelet's configuration but for who may ask it: everything it writes stays in the runtime folder."""
    configuration: dict[str, object] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": plan.node_address,
        "port": KUBELET_PORT,
        "healthzPort": 0,
        "tlsCertFile": serving["certificate"],
        "tlsPrivateKeyFile": serving["key"],
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{runtime / 'containerd.sock'}",
        "podLogsDir": str(runtime / "pod-logs"),
        "clusterDNS": [plan.dns_service_address],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroups.NAME}",
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "maxPods": 250,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "shutdownGracePeriod": "0s",
    }
    if not cgroups.is_version_2():
        configuration["failCgroupV1"] = False
    return configuration


def _has_capability(number: int) -> bool:
    status = Path("/proc/self/status").read_text()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff"))
    return bool(int(effective, 16) >> number & 1)
