"""An installation that is confined to a namespace: the operator's own process, with the chart's settings and rights.

It governs what is in its namespace, sees nothing of another one, and asks for nothing that it was not granted.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from flyball_cluster.ports import free_ports
from support.api_server import Kubectl
from support.objects import deployment, http_route, workload_slo
from support.objects_api import ObjectsApi
from support.world import PRICED

if TYPE_CHECKING:
    from flyball_cluster import ApiServer as Server

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(1800)]  # the first start may build kube-apiserver

PATIENCE_SECONDS = 180.0


def _settings(render: Any, namespace: str) -> dict[str, str]:
    """The environment that the chart gives the operator of this namespace alone."""
    values = {"watchNamespaces": [namespace], "prometheus": {"url": "http://127.0.0.1:9"}}
    pod = render(values, namespace=namespace).one("Deployment", "flyball")["spec"]["template"]["spec"]
    return {each["name"]: str(each["value"]) for each in pod["containers"][0]["env"] if "value" in each}


def _until(happened: Callable[[], Any], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.2)


def test_it_governs_its_namespace_and_asks_for_nothing_else(
    server: "Server", kubectl: Kubectl, objects: ObjectsApi, render: Any, tmp_path: Path
) -> None:
    elsewhere = Kubectl(server.kubectl, objects, f"{kubectl.namespace}-other")
    elsewhere.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": elsewhere.namespace}})
    rendered = render({"watchNamespaces": [kubectl.namespace]}, namespace=kubectl.namespace)
    roles = [each for each in rendered.objects if each["kind"].endswith(("Role", "RoleBinding"))]
    text = yaml.safe_dump_all(roles)
    kubectl("apply", "--filename=-", text=text)
    for own in (kubectl, elsewhere):
        declared = workload_slo()
        target = {**declared["spec"]["targets"][0], **PRICED, "minReplicas": 3, "maxReplicas": 4}
        declared["spec"] |= {"mode": "Auto", "targets": [target]}
        own.create(deployment(gpus=1), http_route(), declared)
    account, log = f"system:serviceaccount:{kubectl.namespace}:flyball", tmp_path / "log"
    settings = _settings(render, kubectl.namespace) | {
        "FLYBALL_LISTEN": f"127.0.0.1:{free_ports(1)[0]}",
        "FLYBALL_RECORDS": str(tmp_path / "decisions"),
        "FLYBALL_TICK": "1s",
        "FLYBALL_IDENTITY": "flyball-0",
        "KUBECONFIG": str(server.kubeconfig_for(account)),
    }
    assert settings["FLYBALL_WATCH_NAMESPACES"] == kubectl.namespace
    with log.open("w") as output:
        command = (str(Path(sys.executable).parent / "flyball"), "run")
        process = subprocess.Popen(command, stderr=output, env={**os.environ, **settings})
    try:
        _until(lambda: kubectl.get("deployment", "chat")["spec"]["replicas"] == 3, log)
        _until(lambda: kubectl.get("wslo", "chat").get("status", {}).get("conditions"), log)
        kubectl.patch("wslo", "chat", {"spec": {"targets": [{**target, "minReplicas": 4}]}})
        _until(lambda: kubectl.get("deployment", "chat")["spec"]["replicas"] == 4, log)
    finally:
        process.terminate()
        process.wait(timeout=60)
        kubectl("delete", "--filename=-", text=text)
    assert elsewhere.get("deployment", "chat")["spec"]["replicas"] == 2
    assert "status" not in elsewhere.get("wslo", "chat")
    ours = [entry for entry in map(json.loads, server.audit_log.open()) if entry["user"]["username"] == account]
    assert len(ours) > 20
    assert [entry["requestURI"] for entry in ours if entry["responseStatus"]["code"] == 403] == []
    assert not [entry for entry in ours if entry.get("objectRef", {}).get("namespace") == elsewhere.namespace]
