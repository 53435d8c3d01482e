"""CoreDNS as a process, behind the Service `kube-dns` that pods ask; it knows the cluster's names only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyball_cluster.files import write_if_changed
from flyball_cluster.objects import Object, host_service, reading, user_role

if TYPE_CHECKING:
    from pathlib import Path

    from flyball_cluster.control_plane import ControlPlane
    from flyball_cluster.network import Plan
    from flyball_cluster.processes import Processes

PORT = 5353
USER = "coredns"
_COREFILE = """\
.:{port} {{
    bind {address}
    errors
    cache 5
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig} flyball
        ttl 5
    }}
    loadbalance
}}
"""


def start(runtime: Path, coredns: Path, processes: Processes, control_plane: ControlPlane, plan: Plan) -> None:
    """Start CoreDNS on the node's address."""
    corefile = runtime / "Corefile"
    kubeconfig = control_plane.client(USER, USER)
    write_if_changed(corefile, _COREFILE.format(port=PORT, address=plan.node_address, kubeconfig=kubeconfig))
    processes.start("coredns", [coredns, f"-conf={corefile}"])


def objects(plan: Plan) -> list[Object]:
    """What CoreDNS may read, and the Service that pods reach it by."""
    ports = [("dns", "UDP", 53, PORT), ("dns-tcp", "TCP", 53, PORT)]
    rules = [reading([""], ["services", "pods", "namespaces"]), reading(["discovery.k8s.io"], ["endpointslices"])]
    return user_role(USER, rules) + host_service(
        "kube-dns", "kube-system", plan.node_address, ports, plan.dns_service_address
    )
