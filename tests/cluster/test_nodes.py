"""What the GPUs of nodes are counted from."""

from datetime import UTC, datetime
from typing import Any

import pytest
from support.objects import condition

from flyball.cluster.nodes import LOST_AFTER_SECONDS, node_gpus
from flyball.core.pools.gpu_pools import NodeGpus

NVIDIA = {"nvidia.com/gpu.product": "NVIDIA-L4"}
LOST = "2026-11-23T12:01:00Z"
AT = datetime(2026, 11, 23, 12, 1, tzinfo=UTC).timestamp()


def node(labels: dict[str, str] | None = None, gpus: Any = "4", *, ready: bool = True, **spec: Any) -> dict[str, Any]:
    allocatable = {"cpu": "8"} | ({} if gpus is None else {"nvidia.com/gpu": gpus})
    return {
        "metadata": {"name": "node", "labels": NVIDIA if labels is None else labels},
        "spec": spec,
        "status": {"allocatable": allocatable, "conditions": [condition("Ready", ready, at=LOST)]},
    }


@pytest.mark.parametrize(
    ("found", "after", "gpus"),
    [
        pytest.param(node(), 0, 4, id="as many as are allocatable"),
        pytest.param(node({"cloud.google.com/gke-accelerator": "nvidia-l4"}), 0, 4, id="another label"),
        pytest.param(node({}), 0, None, id="no label that names them"),
        pytest.param(node(gpus=None), 0, None, id="no GPU"),
        pytest.param(node(gpus="0"), 0, None, id="none that works"),
        pytest.param(node(gpus="many"), 0, None, id="not a number"),
        pytest.param(node(unschedulable=True), 0, 4, id="cordoned: what runs there stays"),
        pytest.param(node(ready=False), LOST_AFTER_SECONDS, 4, id="out of contact for a while"),
        pytest.param(node(ready=False), LOST_AFTER_SECONDS + 1, None, id="lost"),
        pytest.param({"metadata": {"labels": NVIDIA}}, 0, None, id="no status yet"),
    ],
)
def test_the_gpus_of_a_node(found: dict[str, Any], after: float, gpus: int | None) -> None:
    assert node_gpus(found, AT + after) == (
        None
        if gpus is None
        else NodeGpus(next(iter(found["metadata"]["labels"].values())), gpus, found["metadata"]["labels"])
    )
