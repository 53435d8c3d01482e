"""The GPU agent on the real cluster: its DaemonSet, the kubelet's own word on who holds a GPU, and Prometheus.

The node has no GPU: the agent is given the fake libnvidia-ml.so.1, and the kubelet GPUs of a device plugin of ours.
"""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from e2e.gpu import fake
from e2e.gpu.device_plugin import RESOURCE, plugged_in
from e2e.story.watch import PATIENCE_SECONDS, until

from flyball.gpuagent.nvml import code_of

if TYPE_CHECKING:
    from e2e.story.kit import Kit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

GPUS = [f"GPU-00000000-0000-0000-0000-{index:012}" for index in range(2)]
UTILIZATION = dict(zip(GPUS, (88, 33), strict=True))
OURS = 'namespace="flyball-system"'
"""Of the agent's pod; model servers simulate such series of their own."""
AGENT = ("-n", "flyball-system", "pods", "-l", "app.kubernetes.io/component=gpuagent")

Series = tuple[dict[str, str], float]


def ask(kit: Kit, query: str) -> list[Series]:
    """The series that Prometheus has now."""
    url = f"{kit.facts['prometheus']['url']}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(url) as answer:
        found = json.load(answer)["data"]["result"]
    return [(each["metric"], float(each["value"][1])) for each in found]


def wait_for(kit: Kit, query: str, count: int) -> list[Series]:
    """The series, once there are so many."""
    found: list[Series] = []

    def there() -> bool:
        found[:] = ask(kit, query)
        return len(found) == count

    try:
        until(f"{count} series of {query}", there)
    except TimeoutError as error:
        logs = kit.kubectl("-n", "flyball-system", "logs", "ds/flyball-gpuagent", check=False)
        pytest.fail(f"{error}: {found}\n{logs}")
    return found


@pytest.fixture
def gpus(tmp_path: Path) -> fake.Script:
    """The fake library, and beside it the script of two GPUs."""
    fake.build(tmp_path)
    script = fake.Script(tmp_path / "script")
    script.write("gpus 2", *(f"set util {index} {UTILIZATION[gpu]}" for index, gpu in enumerate(GPUS)))
    return script


@pytest.fixture
def agent(cluster: Kit, gpus: fake.Script) -> Kit:
    """Flyball with its agent, which sweeps every second."""
    sockets = Path(cluster.kubeconfig).parent / "kubelet" / "pod-resources"
    cluster.install(
        "gpuagent.enabled=true",
        "gpuagent.interval=1s",
        f"gpuagent.podResourcesDir={sockets}",
        f"gpuagent.libraryDir={gpus.path.parent}",
    )
    return cluster


def hold_a_gpu(kit: Kit, namespace: str) -> None:
    """A pod that holds one of the device plugin's GPUs, running."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "busy"},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "main",
                    "image": "flyball:dev",
                    "imagePullPolicy": "IfNotPresent",
                    "args": ["modelserver", "--preset", "a100_8b"],
                    "resources": {"limits": {RESOURCE: "1", "memory": "256Mi"}},
                }
            ],
        },
    }
    kit.apply(json.dumps(pod), namespace)
    kit.kubectl("-n", namespace, "wait", "pod/busy", "--for=condition=Ready", f"--timeout={PATIENCE_SECONDS:.0f}s")


def test_a_gpu_s_series_name_the_pod_that_the_kubelet_gave_it_to(agent: Kit, namespace: str, gpus: fake.Script) -> None:
    if agent.facts["mode"] != "embedded":
        pytest.skip("the device plugin must reach the kubelet's sockets, which are another machine's here")
    with plugged_in([f"{gpu}::0" for gpu in GPUS]) as plugin:
        hold_a_gpu(agent, namespace)
        held = f'exported_namespace="{namespace}",exported_pod="busy"'
        ((labels, value),) = wait_for(agent, f"DCGM_FI_DEV_GPU_UTIL{{{held}}}", 1)
        (given,) = plugin.allocated
        uuid, _, share = given.partition("::")
        assert (labels["UUID"], labels["exported_container"], labels["vgpu"]) == (uuid, "main", share)
        assert value == UTILIZATION[uuid]
        assert labels["Hostname"] == labels["node"] == agent.facts["node"]["name"]
        assert labels["namespace"] == "flyball-system"
        # The other GPU is nobody's.
        ((free, other),) = wait_for(agent, f'DCGM_FI_DEV_GPU_UTIL{{{OURS},exported_pod=""}}', 1)
        assert (free["UUID"] in GPUS, free["UUID"] == uuid, other) == (True, False, UTILIZATION[free["UUID"]])

        gpus.add(f"fail * {code_of('GPU_IS_LOST')} {GPUS.index(uuid)}")
        wait_for(agent, f'flyball_gpu_state{{{held},state="Lost"}} == 1', 1)
        wait_for(agent, f"DCGM_FI_DEV_GPU_UTIL{{{held}}}", 0)
        gpus.write("gpus 0")
        wait_for(agent, 'flyball_gpuagent_state{state="NoGpu"} == 1', 1)
        wait_for(agent, f"DCGM_FI_DEV_GPU_UTIL{{{OURS}}}", 0)
    (pod,) = agent.get(*AGENT)["items"]
    (status,) = pod["status"]["containerStatuses"]
    assert (status["ready"], status["restartCount"]) == (True, 0)
