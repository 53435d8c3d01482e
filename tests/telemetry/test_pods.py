"""Pods find their targets by name."""

import pytest

from flyball.core.spec import TargetRef
from flyball.telemetry.pods import group_of, groups_of, worker_groups

LONG = "a-deployment-with-a-name-of-fifty-characters-in-al"


@pytest.mark.parametrize(
    ("kind", "name", "pod", "belongs"),
    [
        pytest.param("Deployment", "llm", "llm-6d4f5c9b7d-bcdfg", True, id="a Deployment's pod"),
        pytest.param("Deployment", "llm-7b", "llm-7b-6d4f5c9b7d-bcdfg", True, id="a name with dashes and digits"),
        pytest.param("Deployment", "llm", "llm-7b-6d4f5c9b7d-bcdfg", False, id="a longer name is another target"),
        pytest.param("Deployment", "llm-7b", "llm-6d4f5c9b7d-bcdfg", False, id="a shorter name is another target"),
        pytest.param("Deployment", "llm", "llm-0", False, id="a StatefulSet of the same name"),
        pytest.param("Deployment", "llm", "llm-98bc-zx2cv", True, id="a short hash"),
        pytest.param("Deployment", LONG, LONG + "-6d4f5c9zx2cv", True, id="a hash cut off by the limit on names"),
        pytest.param("Rollout", "llm", "llm-6d4f5c9b7d-bcdfg", True, id="an Argo Rollout's pod"),
        pytest.param("StatefulSet", "llm", "llm-0", True, id="a StatefulSet's pod"),
        pytest.param("StatefulSet", "llm-1", "llm-1-12", True, id="a StatefulSet whose name ends in a number"),
        pytest.param("StatefulSet", "llm", "llm-1-12", False, id="not the StatefulSet with the shorter name"),
        pytest.param("StatefulSet", "llm", "llm-6d4f5c9b7d-bcdfg", False, id="a Deployment of the same name"),
        pytest.param("ReplicaSet", "my-llm", "my-llm-bcdfg", True, id="a ReplicaSet's pod"),
        pytest.param("LeaderWorkerSet", "llm", "llm-3", True, id="a leader"),
        pytest.param("LeaderWorkerSet", "llm", "llm-3-1", True, id="a worker"),
        pytest.param("LeaderWorkerSet", "llm", "llm-b-3-1", False, id="another set's worker"),
        pytest.param("Engine", "llm", "llm-x7k2p", True, id="an unknown kind with pods of its own"),
        pytest.param("Engine", "llm", "llm-6d4f5c9b7d-bcdfg", True, id="an unknown kind over a Deployment"),
        pytest.param("Engine", "llm", "solitary", False, id="a pod without an owner"),
    ],
)
def test_a_pod_belongs_to_its_target_alone(kind: str, name: str, pod: str, belongs: bool) -> None:
    target, group = TargetRef("apps/v1", kind, name), group_of(pod)
    workers = worker_groups(target)
    assert (group in groups_of(target) or bool(workers and workers.fullmatch(group))) is belongs
