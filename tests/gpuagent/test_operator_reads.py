"""The operator reads the agent's series as it reads DCGM exporter's: out of a real Prometheus that scraped them."""

from e2e.gpu import kubelet
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from support.prometheus import make_spec, make_variant
from support.real_prometheus import History, serve

from flyball.gpuagent.exporter import SweepCollector, exposition
from flyball.gpuagent.nvml import code_of
from flyball.gpuagent.pods import PodResources
from flyball.gpuagent.watch import Watch
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.settings import PrometheusSettings

NOW = 1_700_000_000.0
TARGET = {"namespace": "flyball-system", "pod": "flyball-gpuagent-x7k2p", "container": "agent"}


def _scraped(text: str) -> History:
    """What a Prometheus that does not honor the labels of its targets stores, every 15 s for ten minutes."""
    history = History()
    times = [NOW - 600 + 15 * step for step in range(41)]
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            own = {f"exported_{key}" if key in TARGET else key: value for key, value in sample.labels.items()}
            history.add(sample.name, own | TARGET, times, lambda _, value=sample.value: value)
    return history


async def test_utilization_is_that_of_the_gpus_that_a_workload_s_pods_hold(gpus, sampler, tmp_path):
    uuids = [f"GPU-00000000-0000-0000-0000-{index:012}" for index in range(5)]
    gpus.write("gpus 5", "set util 0 60", "set util 1 80", "set util 2 100", "set util 3 7")
    watch = Watch(sampler, PodResources(tmp_path / "kubelet.sock"), 5.0, 15.0)
    held = [
        kubelet.pod("llm-7b-6d4f5c9b7d-bcdfg", uuids[0]),
        kubelet.pod("llm-7b-6d4f5c9b7d-hjklm", uuids[1], uuids[4]),
        kubelet.pod("other-6d4f5c9b7d-zzz24", uuids[2]),
    ]
    with kubelet.serving(tmp_path / "kubelet.sock", held):
        watch.sweep()
        gpus.add(f"fail * {code_of('GPU_IS_LOST')} 4")  # the workload loses a GPU: left out, not counted as idle
        watch.sweep()
    registry = CollectorRegistry()
    registry.register(SweepCollector(watch, "node-a"))
    spec = make_spec(variants=(make_variant(target="llm-7b"),))
    with serve(_scraped(exposition(registry).decode()), tmp_path) as url:
        metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60))
        signals = (await metrics.read((spec,), NOW))[spec.key]
        await metrics.aclose()
    assert round(signals.variant("main").gpu_utilization.value, 9) == 0.7
