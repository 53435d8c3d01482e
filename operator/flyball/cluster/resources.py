"""Kubernetes resources as addresses: group, version, plural, and the paths of their collections, objects and parts.

Objects are plain dictionaries, as they stand on the wire: typed models of ten thousand pods cost more than reading
them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

Object = dict[str, Any]

GROUP = "flyball.dev"
VERSION = "v1alpha1"
FIELD_MANAGER = "flyball"
FINALIZER = f"{GROUP}/restore-routes"
CONTROLLER = f"{GROUP}/flyball"


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object at one version, as the API server's paths name it."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of a collection (cluster-wide without a namespace), an object or one of its subresources."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root, *(("namespaces", namespace) if namespace else ()), self.plural, name, subresource]
        return "/".join(quote(part, safe="/") if part is root else quote(part, safe="") for part in parts if part)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


WORKLOADS = Resource(GROUP, VERSION, "workloadslos")
PRICE_BOOKS = Resource(GROUP, VERSION, "pricebooks")
GPU_POOLS = Resource(GROUP, VERSION, "gpupools")
DEMAND_EVENTS = Resource(GROUP, VERSION, "demandevents")
BUDGETS = Resource(GROUP, VERSION, "budgets")
ROI_EXPERIMENTS = Resource(GROUP, VERSION, "roiexperiments")
DEPLOYMENTS = Resource("apps", "v1", "deployments")
STATEFUL_SETS = Resource("apps", "v1", "statefulsets")
PODS = Resource("", "v1", "pods")
NODES = Resource("", "v1", "nodes")
HORIZONTAL_POD_AUTOSCALERS = Resource("autoscaling", "v2", "horizontalpodautoscalers")
SCALED_OBJECTS = Resource("keda.sh", "v1alpha1", "scaledobjects")
HTTP_ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes")
GRPC_ROUTES = Resource("gateway.networking.k8s.io", "v1", "grpcroutes")
INFERENCE_POOLS = Resource("inference.networking.k8s.io", "v1", "inferencepools")
AI_GATEWAY_ROUTES = Resource("aigateway.envoyproxy.io", "v1beta1", "aigatewayroutes")
AI_SERVICE_BACKENDS = Resource("aigateway.envoyproxy.io", "v1beta1", "aiservicebackends")
ENVOY_BACKENDS = Resource("gateway.envoyproxy.io", "v1alpha1", "backends")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices")
EVENTS = Resource("events.k8s.io", "v1", "events")
LEASES = Resource("coordination.k8s.io", "v1", "leases")


def dig(found: Mapping[str, Any], *path: str) -> Any:
    """What stands at a path of an object, None where any step of it is absent."""
    value: Any = found
    for step in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value


def group_of(api_version: str) -> str:
    """The group of an apiVersion: `apps` of `apps/v1`, and the empty one of `v1`."""
    return api_version.rpartition("/")[0]


def pointer(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901) to a path, its parts escaped."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)
