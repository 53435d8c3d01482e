"""Clusters that this driver does not build: one that kind makes in Docker, or whatever KUBECONFIG points to.

The kind mode has been written to kind's and the images' documentation and could not be tried on the machines this
project is developed on, which have no Docker. It needs Docker, kind, kubectl and helm, and the internet for the images.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyball_cluster import gateway, prometheus
from flyball_cluster.builds import TRAEFIK, Builds
from flyball_cluster.console import run, say, succeeds
from flyball_cluster.errors import ClusterError
from flyball_cluster.objects import Object, namespace, reading
from flyball_cluster.toolchain import find_go

if TYPE_CHECKING:
    from flyball_cluster.settings import Settings

KIND_NAME = "flyball"
KIND_GATEWAY_PORT, KIND_PROMETHEUS_PORT = 18080, 19090
NODE_PORTS = {"gateway": 30080, "prometheus": 30090}
TRAEFIK_IMAGE = "docker.io/library/traefik:v3.6.0"
PROMETHEUS_IMAGE = "docker.io/prom/prometheus:v2.53.5"
TRAEFIK_LISTENER_PORT = 8000


class CurrentCluster:
    """The cluster of KUBECONFIG: nothing is started, only what is needed is looked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def prepare(self) -> None:
        """Nothing is needed ahead of `up`."""

    def up(self) -> dict[str, Any]:
        """Look for what the tests need and write `cluster.json`; raises ClusterError naming all that is missing."""
        kubectl = _program("kubectl")
        missing = []
        if not succeeds([*kubectl, "version", "--request-timeout=10s"]):
            raise ClusterError("kubectl reaches no cluster; set KUBECONFIG to one")
        for crd in (gateway.ROUTE_CRD, f"gateways.{gateway.GROUP}"):
            if not succeeds([*kubectl, "get", "crd", crd]):
                missing.append(f"the Gateway API (CRD {crd})")
        urls = {name: os.environ.get(name, "") for name in ("FLYBALL_GATEWAY_URL", "FLYBALL_PROMETHEUS_URL")}
        missing += [f"{name}, an address that this machine reaches it by" for name, url in urls.items() if not url]
        if missing:
            raise ClusterError("missing for CLUSTER=current:\n" + "\n".join(f"  {what}" for what in missing))
        server = run([*kubectl, "config", "view", "--minify", "-ojsonpath={.clusters[0].cluster.server}"])
        facts = _facts(
            self._settings,
            kubeconfig=os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser()),
            server=server,
            gateway_url=urls["FLYBALL_GATEWAY_URL"],
            prometheus_url=urls["FLYBALL_PROMETHEUS_URL"],
        )
        facts["prometheus"]["inClusterUrl"] = (
            os.environ.get("FLYBALL_PROMETHEUS_IN_CLUSTER_URL") or prometheus.IN_CLUSTER_URL
        )
        return _write(self._settings, facts)

    def down(self) -> None:
        """Forget what `up` found; nothing was started."""
        shutil.rmtree(self._settings.runtime, ignore_errors=True)

    def status(self) -> dict[str, Any]:
        """What `up` found, and whether the cluster still answers."""
        return _status(self._settings)

    def load_image(self, archive: Path) -> None:
        """Not possible from outside; raises ClusterError saying what to do instead."""
        raise ClusterError(
            f"push {archive} to a registry that this cluster pulls from (skopeo copy oci-archive:… docker://…)"
        )


class KindCluster:
    """A cluster named `flyball` that kind runs in Docker, with Prometheus and Traefik as pods."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kubeconfig = settings.runtime / "kubeconfig"

    def prepare(self) -> None:
        """Look whether kind is there; what is built here is little."""
        _require_kind()

    def up(self) -> dict[str, Any]:
        """Create the cluster if it is not there, apply the add-ons, declare GPUs and write `cluster.json`."""
        self.prepare()
        self._settings.runtime.mkdir(parents=True, exist_ok=True)
        if KIND_NAME not in run(["kind", "get", "clusters"]).split():
            say(f"creating the kind cluster {KIND_NAME}")
            run(
                ["kind", "create", "cluster", f"--name={KIND_NAME}", "--config=-", "--wait=120s"],
                text=json.dumps(kind_configuration()),
            )
        run(["kind", "export", "kubeconfig", f"--name={KIND_NAME}", f"--kubeconfig={self._kubeconfig}"])
        kubectl = [*_program("kubectl"), f"--kubeconfig={self._kubeconfig}"]
        builds = Builds(self._settings.cache, find_go(self._settings.cache))
        crds = gateway.crd_files(builds.module_folder(TRAEFIK, "sigs.k8s.io/gateway-api"))
        run([*kubectl, "apply", "--server-side", *(f"--filename={path}" for path in crds)])
        content = json.dumps({"apiVersion": "v1", "kind": "List", "items": kind_objects()})
        run([*kubectl, "apply", "--server-side", "--filename=-"], text=content)
        for space, name in ((gateway.NAMESPACE, "traefik"), (prometheus.NAMESPACE, "prometheus")):
            run([*kubectl, "rollout", "status", f"--namespace={space}", f"deployment/{name}", "--timeout=180s"])
        node = f"{KIND_NAME}-control-plane"
        patch = [{"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": str(self._settings.gpus)}]
        run([*kubectl, "label", "node", node, f"nvidia.com/gpu.product={self._settings.gpu_product}", "--overwrite"])
        run([*kubectl, "patch", "node", node, "--subresource=status", "--type=json", f"--patch={json.dumps(patch)}"])
        facts = _facts(
            self._settings,
            kubeconfig=str(self._kubeconfig),
            server=run([*kubectl, "config", "view", "--minify", "-ojsonpath={.clusters[0].cluster.server}"]),
            gateway_url=f"http://127.0.0.1:{KIND_GATEWAY_PORT}",
            prometheus_url=f"http://127.0.0.1:{KIND_PROMETHEUS_PORT}",
        )
        return _write(self._settings, facts)

    def down(self) -> None:
        """Delete the cluster named `flyball` and no other."""
        _require_kind()
        run(["kind", "delete", "cluster", f"--name={KIND_NAME}"])
        shutil.rmtree(self._settings.runtime, ignore_errors=True)

    def status(self) -> dict[str, Any]:
        """What `up` made, and whether the cluster still answers."""
        return _status(self._settings)

    def load_image(self, archive: Path) -> None:
        """Hand an image archive to kind's node."""
        _require_kind()
        run(["kind", "load", "image-archive", archive, f"--name={KIND_NAME}"])


def kind_configuration() -> Object:
    """One node whose ports for the gateway and Prometheus appear on loopback."""
    ports = {KIND_GATEWAY_PORT: NODE_PORTS["gateway"], KIND_PROMETHEUS_PORT: NODE_PORTS["prometheus"]}
    mappings = [{"hostPort": h, "containerPort": c, "listenAddress": "127.0.0.1"} for h, c in ports.items()]
    node = {"role": "control-plane", "extraPortMappings": mappings}
    return {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": [node]}


def kind_objects() -> list[Object]:
    """Traefik and Prometheus as Deployments, by the names that the embedded cluster's Services have."""
    configuration = prometheus.scrape_configuration(None, "traefik-metrics.gateway.svc:9100")
    metadata = {"name": "prometheus", "namespace": prometheus.NAMESPACE}
    return [
        namespace(gateway.NAMESPACE),
        namespace(prometheus.NAMESPACE),
        *_account("traefik", gateway.NAMESPACE, gateway.rules()),
        *_account("prometheus", prometheus.NAMESPACE, [reading([""], ["pods", "nodes", "services", "endpoints"])]),
        *gateway.gateway_objects({"cluster": TRAEFIK_LISTENER_PORT}),
        _deployment("traefik", gateway.NAMESPACE, TRAEFIK_IMAGE, _traefik_arguments(), []),
        _service("gateway", gateway.NAMESPACE, "traefik", 80, TRAEFIK_LISTENER_PORT, NODE_PORTS["gateway"]),
        _service("traefik-metrics", gateway.NAMESPACE, "traefik", 9100, 9100),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {"prometheus.yml": json.dumps(configuration)},
        },
        _deployment("prometheus", prometheus.NAMESPACE, PROMETHEUS_IMAGE, [], ["/etc/prometheus"]),
        _service(
            "prometheus", prometheus.NAMESPACE, "prometheus", prometheus.PORT, prometheus.PORT, NODE_PORTS["prometheus"]
        ),
    ]


def _traefik_arguments() -> list[str]:
    return [
        f"--entrypoints.cluster.address=:{TRAEFIK_LISTENER_PORT}",
        "--entrypoints.metrics.address=:9100",
        "--providers.kubernetesgateway",
        *gateway.METRICS_FLAGS,
    ]


def _account(name: str, space: str, rules: list[Object]) -> list[Object]:
    role, group = f"flyball-cluster-{name}", "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": space}},
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": role}, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": role},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": space}],
        },
    ]


def _deployment(name: str, space: str, image: str, arguments: list[str], configuration_mounts: list[str]) -> Object:
    mounts = [{"name": "configuration", "mountPath": path} for path in configuration_mounts]
    volumes = [{"name": "configuration", "configMap": {"name": name}}] if mounts else []
    container = {"name": name, "image": image, "args": arguments, "volumeMounts": mounts}
    template = {"serviceAccountName": name, "containers": [container], "volumes": volumes}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": space},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": template},
        },
    }


def _service(name: str, space: str, app: str, port: int, target: int, node_port: int | None = None) -> Object:
    entry = {"name": "http", "port": port, "targetPort": target} | ({"nodePort": node_port} if node_port else {})
    spec = {"type": "NodePort" if node_port else "ClusterIP", "selector": {"app": app}, "ports": [entry]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": space}, "spec": spec}


def _require_kind() -> None:
    missing = [program for program in ("docker", "kind", "kubectl") if shutil.which(program) is None]
    if missing:
        raise ClusterError(
            f"CLUSTER=kind needs {', '.join(missing)} on PATH; or use CLUSTER=embedded or CLUSTER=current"
        )
    if not succeeds(["docker", "info"]):
        raise ClusterError("CLUSTER=kind needs a running Docker engine that this user may use")


def _program(name: str) -> list[str]:
    if (found := shutil.which(name)) is None:
        raise ClusterError(f"{name} is not on PATH")
    return [found]


def _facts(
    settings: Settings, *, kubeconfig: str, server: str, gateway_url: str, prometheus_url: str
) -> dict[str, Any]:
    return {
        "mode": settings.mode.value,
        "kubeconfig": kubeconfig,
        "apiServer": server,
        "prometheus": {"url": prometheus_url, "inClusterUrl": prometheus.IN_CLUSTER_URL},
        "gateway": {
            "url": gateway_url,
            "inClusterUrl": gateway.IN_CLUSTER_URL,
            "className": gateway.CLASS,
            "name": gateway.NAME,
            "namespace": gateway.NAMESPACE,
        },
        "auditLog": None,
        "kubectl": _program("kubectl"),
        "helm": _program("helm"),
    }


def _write(settings: Settings, facts: dict[str, Any]) -> dict[str, Any]:
    settings.runtime.mkdir(parents=True, exist_ok=True)
    settings.cluster_file.write_text(json.dumps(facts, indent=2) + "\n")
    return facts


def _status(settings: Settings) -> dict[str, Any]:
    facts = json.loads(settings.cluster_file.read_text()) if settings.cluster_file.exists() else {}
    words = [*facts["kubectl"], f"--kubeconfig={facts['kubeconfig']}", "--request-timeout=5s"] if facts else []
    running = bool(facts) and succeeds([*words, "get", "--raw=/readyz"])
    return {"mode": settings.mode.value, "running": running, "components": {}, "node": {}, "cluster": facts}
