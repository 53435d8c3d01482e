"""Kubernetes objects and declared workloads for tests: what matters as arguments, the rest as small as it may be."""

from typing import Any

from flyball.core.names import Mode, Precedence, RouteKind, WorkloadKey
from flyball.core.spec import Fallback, FallbackRoute, TargetRef, Variant, WorkloadSpec

Object = dict[str, Any]
CHAT = TargetRef("apps/v1", "Deployment", "chat")
ROUTE = FallbackRoute("chat", "chat", "chat-small")
AI_ROUTE = FallbackRoute("chat", "chat", "chat-small", kind=RouteKind.AI_GATEWAY)


def deployment(name: str = "chat", replicas: int = 2, *, gpus: int = 0, **pod_spec: Any) -> Object:
    """A Deployment whose pods are labelled with its name."""
    resources = {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {}
    container = {"name": "engine", "image": "engine", "resources": resources}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container], **pod_spec}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def pod(name: str, *conditions: Object, app: str = "chat", gpus: int = 0, **spec: Any) -> Object:
    """A pod with these conditions."""
    resources = {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": app}},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "engine", "image": "engine", "resources": resources}],
            **spec,
        },
        "status": {"phase": "Pending", "conditions": list(conditions)},
    }


def condition(kind: str, status: bool, reason: str = "", at: str = "2026-11-23T12:01:00Z") -> Object:
    """A pod's condition."""
    return {"type": kind, "status": str(status), "reason": reason, "lastTransitionTime": at}


READY = condition("Ready", True)
SCHEDULED = condition("PodScheduled", True)
UNSCHEDULABLE = condition("PodScheduled", False, "Unschedulable")


def backend(name: str, weight: int | None = None, **more: Any) -> Object:
    """A backendRef."""
    return {"name": name, "port": 8000, **({} if weight is None else {"weight": weight}), **more}


POOL = {"group": "inference.networking.k8s.io", "kind": "InferencePool"}
"""Of a backendRef that names an InferencePool."""


def rule(*backends: Object, name: str = "") -> Object:
    """A rule of an HTTPRoute."""
    return {**({"name": name} if name else {}), "backendRefs": list(backends)}


def http_route(*rules: Object, name: str = "chat", **metadata: Any) -> Object:
    """An HTTPRoute; by default with one rule of two backends, all traffic to the first."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, **metadata},
        "spec": {"rules": list(rules) or [rule(backend("chat", 1), backend("chat-small", 0))]},
    }


def grpc_route(*rules: Object, name: str = "chat", **metadata: Any) -> Object:
    """The same as a GRPCRoute."""
    return {**http_route(*rules, name=name, **metadata), "kind": "GRPCRoute"}


def ai_gateway_route(*rules: Object, name: str = "chat", **metadata: Any) -> Object:
    """An AIGatewayRoute; by default the fallback has its own weight, and stands behind the primary."""
    default = rule(ai_backend("chat", weight=1, priority=0), ai_backend("chat-small", weight=1, priority=1))
    return {
        "apiVersion": "aigateway.envoyproxy.io/v1beta1",
        "kind": "AIGatewayRoute",
        "metadata": {"name": name, **metadata},
        "spec": {"rules": list(rules) or [default]},
    }


def ai_backend(name: str, **fields: Any) -> Object:
    """A backendRef of an AIGatewayRoute."""
    return {"name": name, **fields}


def ai_service_backend(name: str, *hostnames: str) -> list[Object]:
    """An AIServiceBackend, and the Backend of the same name that it stands for, with these hosts."""
    reference = {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": name}
    endpoints = [{"fqdn": {"hostname": hostname, "port": 8000}} for hostname in hostnames]
    return [
        {
            "apiVersion": "aigateway.envoyproxy.io/v1beta1",
            "kind": "AIServiceBackend",
            "metadata": {"name": name},
            "spec": {"schema": {"name": "OpenAI"}, "backendRef": reference},
        },
        {
            "apiVersion": "gateway.envoyproxy.io/v1alpha1",
            "kind": "Backend",
            "metadata": {"name": name},
            "spec": {"endpoints": endpoints},
        },
    ]


def inference_pool(name: str, app: str = "", **spec: Any) -> Object:
    """An InferencePool of the pods of that app, which by default is called as the pool is."""
    return {
        "apiVersion": "inference.networking.k8s.io/v1",
        "kind": "InferencePool",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": app or name}},
            "targetPorts": [{"number": 8000}],
            "endpointPickerRef": {"name": f"{name}-picker", "port": {"number": 9002}},
            **spec,
        },
    }


def endpoint_slice(service: str, *addresses: str, ready: bool = True) -> Object:
    """An EndpointSlice of a Service."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{service}-1", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": ready}} for address in addresses],
    }


def autoscaler(name: str, target: TargetRef = CHAT, **metadata: Any) -> Object:
    """A HorizontalPodAutoscaler."""
    reference = {"apiVersion": target.api_version, "kind": target.kind, "name": target.name}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, **metadata},
        "spec": {"scaleTargetRef": reference, "maxReplicas": 3},
    }


def workload_slo(name: str = "chat") -> Object:
    """A WorkloadSLO as its user writes it."""
    return {
        "apiVersion": "flyball.dev/v1alpha1",
        "kind": "WorkloadSLO",
        "metadata": {"name": name},
        "spec": {
            "workloadType": "Assistant",
            "targets": [{"name": "gpu", "targetRef": {"name": name}, "maxReplicas": 4}],
        },
    }


def gpu_pool(name: str, gpus: int | None = None) -> Object:
    """A GPUPool of NVIDIA-L4; without a number they are counted from the nodes."""
    stock = {"accelerator": "NVIDIA-L4"} | ({} if gpus is None else {"gpus": gpus})
    return {
        "apiVersion": "flyball.dev/v1alpha1",
        "kind": "GPUPool",
        "metadata": {"name": name},
        "spec": {"inventory": [stock]},
    }


def demand_event(start: str, end: str, name: str = "launch", workload: str = "chat") -> Object:
    """A DemandEvent that announces three times the usual load."""
    return {
        "apiVersion": "flyball.dev/v1alpha1",
        "kind": "DemandEvent",
        "metadata": {"name": name},
        "spec": {"start": start, "end": end, "multiple": "3", "workloads": [workload]},
    }


def experiment(name: str = "quantized") -> Object:
    """An ROIExperiment as its user writes it."""
    return {
        "apiVersion": "flyball.dev/v1alpha1",
        "kind": "ROIExperiment",
        "metadata": {"name": name},
        "spec": {
            "hypothesis": {"metric": "CostPerRequest", "direction": "Decrease", "by": "18%"},
            "baseline": {"workloads": ["chat"]},
            "treatment": {"workloads": ["chat-small"]},
        },
    }


def workload(
    namespace: str, *targets: TargetRef, name: str = "chat", routes: tuple[FallbackRoute, ...] = ()
) -> WorkloadSpec:
    """A workload as the core knows it; its variants are called after their targets."""
    return WorkloadSpec(
        key=WorkloadKey(namespace, name),
        uid="uid",
        generation=1,
        workload_type="Assistant",
        mode=Mode.AUTO,
        precedence=Precedence.SLO,
        priority=0,
        variants=tuple(Variant(target.name, target, 0, 9) for target in targets or (CHAT,)),
        objectives=(),
        fallback=Fallback(routes) if routes else None,
    )
