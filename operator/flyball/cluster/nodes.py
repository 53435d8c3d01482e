"""The GPUs of nodes: what a GPUPool's inventory is counted from. Pure: nodes as dictionaries in, counts out."""

from flyball.cluster.pods import GPU_RESOURCE, node_accelerator, timestamp
from flyball.cluster.resources import Object, dig
from flyball.core.pools.gpu_pools import NodeGpus

# A node that has been out of contact for longer is lost: Kubernetes evicts its pods after 300 s (the toleration that
# every pod gets), so that from then on they want GPUs elsewhere. Before that its pods may still serve.
LOST_AFTER_SECONDS = 300.0


def node_gpus(node: Object, now: float) -> NodeGpus | None:
    """The allocatable GPUs of one node at a time in seconds since the epoch; None where it has none, or is lost.

    A cordoned node counts: what runs on it stays.
    """
    accelerator = node_accelerator(node)
    allocatable = str(dig(node, "status", "allocatable", GPU_RESOURCE) or "")
    if accelerator is None or not allocatable.isdecimal() or not int(allocatable) or _lost(node, now):
        return None
    return NodeGpus(accelerator, int(allocatable), dig(node, "metadata", "labels") or {})


def _lost(node: Object, now: float) -> bool:
    conditions: list[Object] = dig(node, "status", "conditions") or []
    ready = next((condition for condition in conditions if condition.get("type") == "Ready"), {})
    since = timestamp(ready.get("lastTransitionTime"))
    return ready.get("status") != "True" and since is not None and now - since > LOST_AFTER_SECONDS
