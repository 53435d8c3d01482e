"""What tests of single behaviours deploy and declare: the small workload, and WorkloadSLOs that differ in a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from e2e.story.kit import MANIFESTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2e.story.kit import Kit

PRESET = {"enginePreset": "Llama8BOnA100"}
"""Of a target: the engine that the small workload's replicas play."""
FALLBACK: dict[str, Any] = {
    "routes": [{"httpRoute": "chat", "primary": "chat", "fallback": "hosted"}],
    "triggerFor": "5s",
    "minHold": "10s",
    "returnHold": "10s",
}


def host(namespace: str) -> str:
    """The host by which the gateway knows the route of a namespace."""
    return f"chat.{namespace}.test"


def elsewhere(manifest: str, namespace: str) -> str:
    """The objects of a file of the manifests' folder as they are in that namespace."""
    text = (MANIFESTS / manifest).read_text()
    return text.replace("namespace: demo", f"namespace: {namespace}").replace("chat.demo.test", host(namespace))


def deploy(kit: Kit, namespace: str, manifest: str = "small.yaml") -> None:
    """A model and what its traffic falls back to; they start."""
    kit.apply(elsewhere(manifest, namespace), namespace)


def wait_until_ready(kit: Kit, namespace: str) -> None:
    """Wait until the models that were deployed there serve."""
    kit.kubectl("-n", namespace, "rollout", "status", "deploy/chat", "deploy/hosted", "--timeout=180s")


def workload_slo(
    mode: str = "Auto", *, name: str = "chat", of: str = "chat", target: Mapping[str, Any], **spec: Any
) -> str:
    """A WorkloadSLO on the Deployment `of`: `target` is more of its target, the rest more of its spec."""
    targets = [{"targetRef": {"name": of}, "pricePerGpuHour": "2", **target}]
    return json.dumps(
        {
            "apiVersion": "flyball.dev/v1alpha1",
            "kind": "WorkloadSLO",
            "metadata": {"name": name},
            "spec": {"workloadType": "Assistant", "mode": mode, "targets": targets, **spec},
        }
    )


def replace_primary(kit: Kit, namespace: str, startup_seconds: int) -> None:
    """Replace the small workload's pods by ones that take so long to load; until then nothing serves."""
    arguments = ["modelserver", "--preset", "a100_8b", "--model-name", "chat-8b"]
    container = {"name": "vllm", "args": [*arguments, "--startup-seconds", str(startup_seconds)]}
    strategy = {"type": "Recreate", "rollingUpdate": None}
    patch = json.dumps({"spec": {"strategy": strategy, "template": {"spec": {"containers": [container]}}}})
    kit.kubectl("-n", namespace, "patch", "deploy", "chat", "--type=strategic", "-p", patch)
