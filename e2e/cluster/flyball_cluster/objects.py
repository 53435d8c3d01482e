"""Kubernetes objects that more than one add-on needs, as plain dictionaries."""

from __future__ import annotations

import json
from typing import Any

Object = dict[str, Any]
Port = tuple[str, str, int, int]
"""Name, protocol, the Service's port, the port that the process of this machine listens on."""


def established(crds: str) -> bool:
    """Whether the API server serves every CRD of this list, in JSON. `kubectl wait` fails on one without conditions."""
    conditions = [item.get("status", {}).get("conditions") or [] for item in json.loads(crds)["items"]]
    return all(
        {"Established": "True"}.items() <= {c["type"]: c["status"] for c in found}.items() for found in conditions
    )


def namespace(name: str) -> Object:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def host_service(name: str, space: str, address: str, ports: list[Port], cluster_ip: str = "") -> list[Object]:
    """A Service whose only endpoint is a process of this machine: an in-cluster name for what is no pod."""
    metadata = {"name": name, "namespace": space}
    spec: Object = {"ports": [{"name": p, "protocol": protocol, "port": outside} for p, protocol, outside, _ in ports]}
    if cluster_ip:
        spec["clusterIP"] = cluster_ip
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            **metadata,
            "labels": {"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "flyball-cluster"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": p, "protocol": protocol, "port": inside} for p, protocol, _, inside in ports],
    }
    return [{"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}, endpoints]


def user_role(user: str, rules: list[Object]) -> list[Object]:
    """A cluster role for one user, bound to that user."""
    name, group = f"flyball-cluster-{user}", "rbac.authorization.k8s.io"
    return [
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
        },
    ]


def reading(groups: list[str], resources: list[str]) -> Object:
    """A rule that lets its bearer read and watch resources."""
    return {"apiGroups": groups, "resources": resources, "verbs": ["get", "list", "watch"]}
