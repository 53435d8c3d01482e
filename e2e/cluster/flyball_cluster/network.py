"""The cluster's own network: one bridge, one route for Services, a few kernel switches, all put back by `down`."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flyball_cluster import firewall
from flyball_cluster.console import run, succeeds
from flyball_cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterable

BRIDGE = "flyball0"
CANDIDATES = ("10.213.0.0/16", "10.97.0.0/16", "172.29.0.0/16", "10.41.0.0/16")
CNI_NETWORK = "flyball"
_SYSCTL = Path("/proc/sys")
REQUIRED_SYSCTLS = {"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1"}
KUBELET_SYSCTLS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
KUBELET_KEY_SYSCTLS = ("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes")
PROXY_SYSCTLS = ("net/ipv4/conf/all/route_localnet", "net/netfilter/nf_conntrack_tcp_be_liberal")
KEPT_SYSCTLS = (*REQUIRED_SYSCTLS, *KUBELET_SYSCTLS, *KUBELET_KEY_SYSCTLS, *PROXY_SYSCTLS)


@dataclass(frozen=True, slots=True)
class Plan:
    """The cluster's address ranges: a private /16 cut into pods (lower half) and Services (upper half)."""

    network: str

    @property
    def pod_cidr(self) -> str:
        """The range that pods get addresses from."""
        return str(self._halves()[0])

    @property
    def service_cidr(self) -> str:
        """The range that Services get addresses from."""
        return str(self._halves()[1])

    @property
    def node_address(self) -> str:
        """The bridge's address: the pods' gateway, and where servers listen that pods must reach."""
        return str(self._halves()[0][1])

    @property
    def api_service_address(self) -> str:
        """Address of the Service `kubernetes`, by convention the first of its range."""
        return str(self._halves()[1][1])

    @property
    def dns_service_address(self) -> str:
        """Address of the Service `kube-dns`, by convention the tenth of its range."""
        return str(self._halves()[1][10])

    def _halves(self) -> tuple[ipaddress.IPv4Network, ipaddress.IPv4Network]:
        pods, services = ipaddress.IPv4Network(self.network).subnets(1)
        return pods, services


def choose_plan(routes: Iterable[str]) -> Plan:
    """The first candidate range that overlaps none of the machine's routes (CIDR notation)."""
    used = [ipaddress.ip_network(route, strict=False) for route in routes]
    for candidate in CANDIDATES:
        network = ipaddress.ip_network(candidate)
        if not any(network.version == other.version and network.overlaps(other) for other in used):
            return Plan(candidate)
    raise ClusterError(f"each of {', '.join(CANDIDATES)} overlaps one of this machine's routes; free one of them")


class Network:
    """The network of one runtime folder. Which of them owns the bridge is written on the bridge itself."""

    def __init__(self, runtime: Path) -> None:
        self._runtime = runtime
        self._owner = f"flyball-cluster:{runtime}"
        self._plan_file = runtime / "network.json"
        self._sysctl_file = runtime / "sysctls.json"
        self._firewall_file = runtime / "firewall.json"
        self.cni_configuration = runtime / "cni" / "net.d"

    def plan(self) -> Plan:
        """The ranges in use, chosen once for a cluster's life."""
        if not self._plan_file.exists():
            self._plan_file.write_text(json.dumps({"network": choose_plan(_routes()).network}))
        return Plan(**json.loads(self._plan_file.read_text()))

    def up(self) -> Plan:
        """Create what is not there yet; raises ClusterError when another cluster's bridge is in the way."""
        owner = _bridge_owner()
        if owner not in (None, self._owner):
            theirs = owner or f"nobody known (to remove it: ip link delete {BRIDGE})"
            raise ClusterError(f"the interface {BRIDGE} belongs to {theirs}; take that cluster down first")
        plan = self.plan()
        firewall.snapshot(self._firewall_file)
        self._switch_kernel()
        if owner is None:
            run(["ip", "link", "add", BRIDGE, "type", "bridge"])
            run(["ip", "link", "set", BRIDGE, "alias", self._owner])
        run(["ip", "address", "replace", f"{plan.node_address}/{plan.pod_cidr.split('/')[1]}", "dev", BRIDGE])
        run(["ip", "link", "set", BRIDGE, "up"])
        # A Service that kube-proxy has no rules for yet must end here and not at the machine's default route.
        run(["ip", "route", "replace", plan.service_cidr, "dev", BRIDGE, "src", plan.node_address])
        firewall.allow_forwarding(plan.pod_cidr)
        self._write_cni(plan)
        return plan

    def down(self) -> None:
        """Remove the bridge if it is ours, and put rules and kernel switches back."""
        if _bridge_owner() == self._owner:
            for port in _ports_of_bridge():
                succeeds(["ip", "link", "delete", port])
            run(["ip", "link", "delete", BRIDGE])
        firewall.restore(self._firewall_file)
        if self._sysctl_file.exists():
            for name, value in json.loads(self._sysctl_file.read_text()).items():
                if _read_sysctl(name) != value:
                    with suppress(OSError):
                        (_SYSCTL / name).write_text(value)

    def _switch_kernel(self) -> None:
        if not (_SYSCTL / "net/bridge").exists():
            subprocess.run(["modprobe", "br_netfilter"], capture_output=True, check=False)
        if not self._sysctl_file.exists():
            values = {name: _read_sysctl(name) for name in KEPT_SYSCTLS}
            self._sysctl_file.write_text(
                json.dumps({name: value for name, value in values.items() if value is not None})
            )
        for name, value in REQUIRED_SYSCTLS.items():
            if _read_sysctl(name) is None:
                raise ClusterError(f"the kernel has no {name.replace('/', '.')}; load the module br_netfilter")
            (_SYSCTL / name).write_text(value)

    def _write_cni(self, plan: Plan) -> None:
        self.cni_configuration.mkdir(parents=True, exist_ok=True)
        addresses = {
            "type": "host-local",
            "dataDir": str(self._runtime / "cni" / "addresses"),
            "ranges": [[{"subnet": plan.pod_cidr, "gateway": plan.node_address}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "hairpinMode": True, "ipam": addresses}
        ports = {"type": "portmap", "capabilities": {"portMappings": True}}
        content = {"cniVersion": "1.0.0", "name": CNI_NETWORK, "plugins": [bridge, ports]}
        (self.cni_configuration / "10-flyball.conflist").write_text(json.dumps(content, indent=2))


def _routes() -> list[str]:
    routes = json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"]) or "[]")
    return [route["dst"] for route in routes if route["dst"] != "default"]


def _bridge_owner() -> str | None:
    """What is written on the bridge: None without a bridge, empty where it bears no word."""
    path = Path(f"/sys/class/net/{BRIDGE}/ifalias")
    return path.read_text().strip() if path.exists() else None


def _ports_of_bridge() -> list[str]:
    return [path.name for path in Path(f"/sys/class/net/{BRIDGE}/brif").glob("*")]


def _read_sysctl(name: str) -> str | None:
    try:
        return (_SYSCTL / name).read_text().strip()
    except OSError:
        return None
