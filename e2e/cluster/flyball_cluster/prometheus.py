"""Prometheus as a process of this machine, reachable in the cluster as http://prometheus.monitoring.svc:9090."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from flyball_cluster.files import write_if_changed
from flyball_cluster.objects import Object, host_service, namespace, reading, user_role

if TYPE_CHECKING:
    from pathlib import Path

    from flyball_cluster.control_plane import ControlPlane
    from flyball_cluster.network import Plan
    from flyball_cluster.processes import Processes

PORT = 9090
USER = "prometheus"
NAMESPACE = "monitoring"
IN_CLUSTER_URL = f"http://prometheus.{NAMESPACE}.svc:{PORT}"
SCRAPE_SECONDS = 5
RETENTION = "2d"
_ANNOTATION = "__meta_kubernetes_pod_annotation_prometheus_io"


def start(
    runtime: Path, program: Path, processes: Processes, control_plane: ControlPlane, plan: Plan, traefik_metrics: str
) -> None:
    """Start Prometheus on the node's address; `traefik_metrics` is the gateway's host:port for metrics."""
    configuration = runtime / "prometheus.yml"
    content = json.dumps(scrape_configuration(control_plane.client(USER, USER), traefik_metrics), indent=2)
    write_if_changed(configuration, content)
    processes.start(
        "prometheus",
        [
            program,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={runtime / 'prometheus'}",
            f"--storage.tsdb.retention.time={RETENTION}",
            f"--web.listen-address={plan.node_address}:{PORT}",
            "--web.enable-lifecycle",
            "--log.level=warn",
        ],
    )


def objects(plan: Plan) -> list[Object]:
    """What Prometheus may read, and the Service that pods reach it by."""
    service = host_service("prometheus", NAMESPACE, plan.node_address, [("http", "TCP", PORT, PORT)])
    return [
        namespace(NAMESPACE),
        *user_role(USER, [reading([""], ["pods", "nodes", "services", "endpoints"])]),
        *service,
    ]


def scrape_configuration(kubeconfig: Path | None, traefik_metrics: str) -> Object:
    """Scrape every pod annotated with prometheus.io/scrape, at the port and path it names, and the gateway.

    A pod's series bear the labels namespace, pod, container and node. Without a kubeconfig the pod's own account asks.
    """
    pods: Object = {"role": "pod"} | ({"kubeconfig_file": str(kubeconfig)} if kubeconfig else {})
    return {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS - 1}s"},
        "scrape_configs": [
            {
                "job_name": "pods",
                "kubernetes_sd_configs": [pods],
                "relabel_configs": _pod_relabelling(),
            },
            {"job_name": "traefik", "static_configs": [{"targets": [traefik_metrics]}]},
        ],
    }


def _pod_relabelling() -> list[Object]:
    labels = {
        "__meta_kubernetes_namespace": "namespace",
        "__meta_kubernetes_pod_name": "pod",
        "__meta_kubernetes_pod_container_name": "container",
        "__meta_kubernetes_pod_node_name": "node",
    }
    at_port = {"regex": r"([^:]+)(?::\d+)?;(\d+)", "replacement": "$1:$2", "target_label": "__address__"}
    return [
        {"source_labels": [f"{_ANNOTATION}_scrape"], "action": "keep", "regex": "true"},
        {"source_labels": ["__meta_kubernetes_pod_container_init"], "action": "drop", "regex": "true"},
        {"source_labels": ["__meta_kubernetes_pod_phase"], "action": "drop", "regex": "Succeeded|Failed"},
        {"source_labels": [f"{_ANNOTATION}_path"], "regex": "(.+)", "target_label": "__metrics_path__"},
        {"source_labels": ["__address__", f"{_ANNOTATION}_port"], **at_port},
        *({"source_labels": [source], "target_label": target} for source, target in labels.items()),
    ]
