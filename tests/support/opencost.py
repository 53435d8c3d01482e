"""Series with the names, labels and meaning of OpenCost's, from its source alone: no OpenCost ran to make them.

As of OpenCost 1.120 (pkg/costmodel/metrics.go): each gauge is set once a minute for every node, one without GPUs
included, and ends with its node.
"""

from collections.abc import Callable, Sequence

from support.real_prometheus import History


def add_node(
    history: History,
    times: Sequence[float],
    node: str,
    instance_type: str = "p5.48xlarge",
    gpus: int = 8,
    gpu: Callable[[float], float] | float = 2.5,
    beside: float = 4.0,
    spot: bool = False,
    **more: str,
) -> None:
    """One node with dollars per GPU hour, and per hour for CPUs and memory `beside` them, at these times."""
    labels = {
        "instance": node,
        "node": node,
        "instance_type": instance_type,
        "region": "eu-central-1",
        "provider_id": f"i-{node}",
        "arch": "amd64",
        "uid": f"uid-{node}",
        "job": "opencost",
        **more,
    }
    price = gpu if callable(gpu) else lambda _: gpu
    history.add("node_gpu_hourly_cost", labels, times, price)
    history.add("node_gpu_count", labels, times, lambda _: float(gpus))
    history.add("node_total_hourly_cost", labels, times, lambda at: gpus * price(at) + beside)
    history.add("node_cpu_hourly_cost", labels, times, lambda _: 0.03)
    history.add("node_ram_hourly_cost", labels, times, lambda _: 0.004)
    history.add("kubecost_node_is_spot", labels, times, lambda _: float(spot))
