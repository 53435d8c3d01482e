"""etcd and the Kubernetes control plane as processes of this machine, with the same settings in every mode."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyball_cluster.console import wait_until
from flyball_cluster.pki import Authority, KeyPair

if TYPE_CHECKING:
    from pathlib import Path

    from flyball_cluster.processes import Processes

READY_SECONDS = 240.0  # on a machine that is busy building, etcd and the API server take minutes
ADMIN = "system:masters"
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": ["system:apiserver"], "verbs": ["get", "list", "watch"]},
        {"level": "None", "userGroups": ["system:nodes"], "verbs": ["get", "list", "watch"]},
        {"level": "None", "nonResourceURLs": ["/readyz*", "/healthz*", "/livez*"]},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the control plane listens. Only the API server must be reached by pods, so the rest stays on loopback."""

    host: str
    """Address of the API server."""
    api_port: int
    etcd_port: int
    etcd_peer_port: int
    controller_manager_port: int
    scheduler_port: int
    service_cidr: str = "10.214.0.0/16"
    first_service_address: str = "10.214.0.1"

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{self.host}:{self.api_port}"


class ControlPlane:
    """etcd, kube-apiserver, kube-controller-manager and kube-scheduler of one runtime folder."""

    def __init__(self, runtime: Path, kube: Path, processes: Processes, addresses: Addresses) -> None:
        self._runtime = runtime
        self._kube = kube
        self._processes = processes
        self.addresses = addresses
        self.authority = Authority(runtime / "pki")
        self._front_proxy = Authority(runtime / "pki", "front-proxy-ca")
        self.audit_log = runtime / "audit.log"
        self.kubeconfig = runtime / "kubeconfig"

    def client(self, name: str, user: str, group: str = "") -> Path:
        """Path of a kubeconfig for a user of that name and group."""
        path = self._runtime / "pki" / f"{name}.kubeconfig"
        return self.authority.kubeconfig(path, self.addresses.server, self.authority.issue(name, user, group))

    def command(self, component: str) -> tuple[str, str]:
        """The words in front of a Kubernetes component's own arguments."""
        return (str(self._kube), component)

    def start_api_server(self) -> None:
        """Start etcd and the API server, and write the administrator's kubeconfig; `wait_ready` waits for them."""
        at = self.addresses
        etcd, peer = f"http://127.0.0.1:{at.etcd_port}", f"http://127.0.0.1:{at.etcd_peer_port}"
        self._processes.start(
            "etcd",
            [
                "etcd",
                f"--data-dir={self._runtime / 'etcd'}",
                f"--listen-client-urls={etcd}",
                f"--advertise-client-urls={etcd}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--unsafe-no-fsync",
                "--logger=zap",
                "--log-level=warn",
            ],
        )
        admin = self.authority.issue("admin", "flyball-admin", ADMIN)
        self.authority.kubeconfig(self.kubeconfig, at.server, admin)
        self._processes.start("kube-apiserver", [*self.command("kube-apiserver"), *self._api_server_flags(etcd)])

    def wait_ready(self) -> None:
        """Wait until the API server says that it is ready."""
        wait_until(self._ready, what="the API server", timeout_seconds=READY_SECONDS, poll_seconds=0.1)

    def start_controllers(self) -> None:
        """Start the controller manager with every controller that a cluster without clouds has."""
        kubeconfig = self.client("controller-manager", "system:kube-controller-manager")
        self._processes.start(
            "kube-controller-manager",
            [
                *self.command("kube-controller-manager"),
                f"--kubeconfig={kubeconfig}",
                f"--authentication-kubeconfig={kubeconfig}",
                f"--authorization-kubeconfig={kubeconfig}",
                "--bind-address=127.0.0.1",
                f"--secure-port={self.addresses.controller_manager_port}",
                f"--cert-dir={self._runtime / 'pki' / 'controller-manager'}",
                f"--root-ca-file={self.authority.pair.certificate}",
                f"--service-account-private-key-file={self._signing_pair().key}",
                f"--cluster-signing-cert-file={self.authority.pair.certificate}",
                f"--cluster-signing-key-file={self.authority.pair.key}",
                "--use-service-account-credentials",
                "--leader-elect=false",
                "--kube-api-qps=200",
                "--kube-api-burst=400",
            ],
        )

    def start_scheduler(self) -> None:
        """Start the scheduler."""
        kubeconfig = self.client("scheduler", "system:kube-scheduler")
        self._processes.start(
            "kube-scheduler",
            [
                *self.command("kube-scheduler"),
                f"--kubeconfig={kubeconfig}",
                f"--authentication-kubeconfig={kubeconfig}",
                f"--authorization-kubeconfig={kubeconfig}",
                "--bind-address=127.0.0.1",
                f"--secure-port={self.addresses.scheduler_port}",
                f"--cert-dir={self._runtime / 'pki' / 'scheduler'}",
                "--leader-elect=false",
            ],
        )

    def _api_server_flags(self, etcd: str) -> list[str]:
        at, authority = self.addresses, self.authority
        names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
        serving = authority.issue(
            "apiserver", "kube-apiserver", hosts=(*names, "localhost", at.host, at.first_service_address)
        )
        kubelet_client = authority.issue("apiserver-kubelet-client", "kube-apiserver", ADMIN)
        front_proxy = self._front_proxy.issue("front-proxy-client", "front-proxy-client")
        policy = self._runtime / "audit-policy.json"
        policy.write_text(json.dumps(_AUDIT_POLICY))
        return [
            f"--etcd-servers={etcd}",
            f"--bind-address={at.host}",
            f"--advertise-address={at.host}",
            f"--secure-port={at.api_port}",
            # The API server refuses to publish a loopback address as the `kubernetes` Service's endpoint.
            f"--endpoint-reconciler-type={'none' if at.host.startswith('127.') else 'lease'}",
            f"--service-cluster-ip-range={at.service_cidr}",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={authority.pair.certificate}",
            f"--kubelet-certificate-authority={authority.pair.certificate}",
            f"--kubelet-client-certificate={kubelet_client.certificate}",
            f"--kubelet-client-key={kubelet_client.key}",
            f"--requestheader-client-ca-file={self._front_proxy.pair.certificate}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={front_proxy.certificate}",
            f"--proxy-client-key-file={front_proxy.key}",
            "--kubelet-preferred-address-types=InternalIP",
            "--enable-aggregator-routing",
            f"--service-account-key-file={self._signing_pair().certificate}",
            f"--service-account-signing-key-file={self._signing_pair().key}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged",
            "--profiling=false",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-maxsize=200",
            "--audit-log-maxbackup=2",
        ]

    def _signing_pair(self) -> KeyPair:
        return self.authority.issue("service-accounts", "service-accounts")

    def _ready(self) -> bool:
        self._processes.require("etcd")
        self._processes.require("kube-apiserver")
        context = ssl.create_default_context(cafile=str(self.authority.pair.certificate))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(f"{self.addresses.server}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
