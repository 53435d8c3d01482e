"""Traefik as a process of this machine: the Gateway API's data plane.

One Gateway with two listeners: `host` on loopback, for load and people on this machine, and `cluster` on the node's
address, behind a Service, for pods. An HTTPRoute that names no listener is served by both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyball_cluster.builds import ROUTE_CRDS
from flyball_cluster.objects import Object, host_service, namespace, reading, user_role

if TYPE_CHECKING:
    from pathlib import Path

    from flyball_cluster.builds import Builds
    from flyball_cluster.control_plane import ControlPlane
    from flyball_cluster.network import Plan
    from flyball_cluster.processes import Processes

USER = "traefik"
CLASS = "traefik"
NAMESPACE = "gateway"
NAME = "flyball"
CLUSTER_PORT = 8081
IN_CLUSTER_URL = f"http://gateway.{NAMESPACE}.svc"
CONTROLLER = "traefik.io/gateway-controller"
GROUP = "gateway.networking.k8s.io"
METRICS_FLAGS = (
    "--metrics.prometheus",
    "--metrics.prometheus.entrypoint=metrics",
    "--metrics.prometheus.addserviceslabels",
    "--metrics.prometheus.addrouterslabels",
)
ROUTE_CRD = f"httproutes.{GROUP}"
_AI_GATEWAY_CRDS = "manifests/charts/ai-gateway-crds-helm/templates/aigateway.envoyproxy.io"
OTHER_CRDS = (
    (
        "sigs.k8s.io/gateway-api-inference-extension",
        "config/crd/bases/inference.networking.k8s.io_inferencepools.yaml",
    ),
    ("github.com/envoyproxy/ai-gateway", f"{_AI_GATEWAY_CRDS}_aigatewayroutes.yaml"),
    ("github.com/envoyproxy/ai-gateway", f"{_AI_GATEWAY_CRDS}_aiservicebackends.yaml"),
    (
        "github.com/envoyproxy/gateway",
        "charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_backends.yaml",
    ),
)
"""Go module and file of each CRD of other gateways' routes and backends."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of the gateway."""

    host: int
    metrics: int


def start(processes: Processes, traefik: Path, control_plane: ControlPlane, plan: Plan, ports: Ports) -> None:
    """Start Traefik; the Gateway API's CRDs must be established before."""
    processes.start(
        "traefik",
        [
            traefik,
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
            "--log.level=INFO",
            f"--entrypoints.host.address=127.0.0.1:{ports.host}",
            f"--entrypoints.cluster.address={plan.node_address}:{CLUSTER_PORT}",
            f"--entrypoints.metrics.address=127.0.0.1:{ports.metrics}",
            "--providers.kubernetesgateway",
            "--providers.kubernetesgateway.statusaddress.ip=127.0.0.1",
            *METRICS_FLAGS,
        ],
        {"KUBECONFIG": str(control_plane.client(USER, USER))},
    )


def objects(plan: Plan, ports: Ports) -> list[Object]:
    """The GatewayClass, the Gateway, what Traefik may do, and the Service that pods reach the gateway by."""
    service = host_service("gateway", NAMESPACE, plan.node_address, [("http", "TCP", 80, CLUSTER_PORT)])
    return [
        namespace(NAMESPACE),
        *user_role(USER, rules()),
        *gateway_objects({"host": ports.host, "cluster": CLUSTER_PORT}),
        *service,
    ]


def gateway_objects(listeners: dict[str, int]) -> list[Object]:
    """The GatewayClass and a Gateway with HTTP listeners (name → port) that take routes from every namespace."""
    entries = [
        {"name": name, "port": port, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
        for name, port in listeners.items()
    ]
    return [
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "GatewayClass",
            "metadata": {"name": CLASS},
            "spec": {"controllerName": CONTROLLER},
        },
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "Gateway",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {"gatewayClassName": CLASS, "listeners": entries},
        },
    ]


def crd_files(module: Path) -> list[Path]:
    """The standard channel's CRDs inside the unpacked Go module sigs.k8s.io/gateway-api."""
    return sorted((module / "config" / "crd" / "standard").glob(f"{GROUP}_*.yaml"))


def other_crd_files(builds: Builds) -> list[Path]:
    """CRDs of routes and backends that this gateway does not serve: tests hold Flyball against their validation."""
    return [builds.module_folder(ROUTE_CRDS, module) / path for module, path in OTHER_CRDS]


def rules() -> list[Object]:
    """What Traefik reads and writes of the cluster."""
    routes = [
        "gatewayclasses",
        "gateways",
        "httproutes",
        "grpcroutes",
        "tcproutes",
        "tlsroutes",
        "referencegrants",
        "backendtlspolicies",
    ]
    return [
        reading([""], ["namespaces", "services", "secrets", "configmaps", "nodes", "endpoints", "pods"]),
        reading(["discovery.k8s.io"], ["endpointslices"]),
        reading([GROUP], routes),
        {"apiGroups": [GROUP], "resources": [f"{route}/status" for route in routes], "verbs": ["update", "patch"]},
    ]
