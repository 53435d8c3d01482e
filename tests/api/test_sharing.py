"""GPUPools and DemandEvents as the core sees them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from flyball.api.sharing import discovers, to_demand_event, to_pool
from flyball.api.v1alpha1 import DemandEvent, DemandEventSpec, GPUPool, GPUPoolSpec
from flyball.core.pools.gpu_pools import NodeGpus, Peers, Pool, Preemption, Stock
from flyball.core.traffic.demand_events import DemandWindow

DATA = Path(__file__).parent / "data" / "accept"
H100 = "NVIDIA-H100-80GB-HBM3"
NODES = [
    NodeGpus("NVIDIA-L4", 4, {"example.com/pool": "shared"}),
    NodeGpus("NVIDIA-L4", 2, {"example.com/pool": "shared", "zone": "a"}),
    NodeGpus("NVIDIA-L4", 8, {"example.com/pool": "other"}),
    NodeGpus(H100, 8, {"example.com/pool": "shared"}),
]


def manifest(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DATA / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


def pool(**spec: Any) -> GPUPoolSpec:
    return GPUPoolSpec.model_validate({"inventory": [{"accelerator": "NVIDIA-L4"}]} | spec)


def test_every_field_of_a_pool_reaches_the_core() -> None:
    spec = GPUPool.model_validate(manifest("gpupool-every-field")).spec
    assert to_pool("shared", spec, NODES) == Pool(
        "shared",
        (Stock(H100, 16, 2, (("chat", 12), ("search", 0))), Stock("NVIDIA-L4", 6)),
        frozenset({"chat", "search"}),
        Peers.EQUAL_SHARE,
        Preemption.NEVER,
    )


def test_the_defaults_of_a_pool() -> None:
    assert to_pool("p", pool(), []) == Pool("p", (Stock("NVIDIA-L4", 0),))


@pytest.mark.parametrize(
    ("spec", "nodes", "gpus"),
    [
        pytest.param(pool(), NODES, 14, id="all nodes"),
        pytest.param(pool(nodeSelector={"zone": "a"}), NODES, 2, id="those with a label"),
        pytest.param(pool(), None, None, id="not counted yet: unknown, not zero"),
        pytest.param(pool(inventory=[{"accelerator": "NVIDIA-L4", "gpus": 3}]), NODES, 3, id="what is declared"),
        pytest.param(pool(inventory=[{"accelerator": "NVIDIA-L4", "gpus": 0}]), NODES, 0, id="none declared"),
    ],
)
def test_how_many_gpus_there_are(spec: GPUPoolSpec, nodes: list[NodeGpus] | None, gpus: int | None) -> None:
    assert to_pool("p", spec, nodes).stocks[0].gpus == gpus
    assert discovers(spec) is (spec.inventory[0].gpus is None)


def test_every_field_of_an_event_reaches_the_core() -> None:
    event = to_demand_event("team", "launch", DemandEvent.model_validate(manifest("demandevent-every-field")).spec)
    eight_utc = 1_796_112_000.0  # 2026-12-01T08:00:00Z; the end is 20:00 one hour east of that
    assert event.window == DemandWindow(eight_utc, eight_utc + 11 * 3600, 2.5, 1800.0)
    assert (event.namespace, event.name, event.workloads) == ("team", "launch", frozenset({"storefront", "search"}))


def test_an_event_by_labels() -> None:
    spec = DemandEvent.model_validate(manifest("demandevent-by-label")).spec
    event = to_demand_event("team", "launch", spec)
    assert (event.workloads, event.labels) == (frozenset(), (("example.com/team", "billing"),))
    assert event.window.ramp_seconds == 0


@pytest.mark.parametrize("text", ["2026-02-30T00:00:00Z", "2026-12-01T24:00:00Z", "2026-12-01", "tomorrow"])
def test_a_time_that_no_calendar_has_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write a time with its zone"):
        DemandEventSpec.model_validate(
            {"start": text, "end": "2027-01-01T00:00:00Z", "multiple": "2", "workloads": ["a"]}
        )
