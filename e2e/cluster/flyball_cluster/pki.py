"""Certificates and kubeconfigs, made with the openssl command because Python's standard library signs nothing."""

from __future__ import annotations

import base64
import ipaddress
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyball_cluster.console import run
from flyball_cluster.files import write_if_changed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

VALID_DAYS = 365
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", str(VALID_DAYS))


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority in a folder; what it has issued once it does not issue again."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.pair = self._paths(name)
        if not self.pair.certificate.exists():
            run(
                ["openssl", "req", "-x509", *_NEW_KEY, "-subj", f"/CN=flyball-cluster-{name}", *self._output(self.pair)]
            )

    def issue(self, name: str, common_name: str, organization: str = "", hosts: Sequence[str] = ()) -> KeyPair:
        """Issue a certificate for a client (user and group) and, where hosts are given, a server."""
        pair = self._paths(name)
        if pair.certificate.exists():
            return pair
        subject = (f"/O={organization}" if organization else "") + f"/CN={common_name}"
        extensions = ["extendedKeyUsage=clientAuth,serverAuth", "basicConstraints=critical,CA:FALSE"]
        if hosts:
            extensions.append("subjectAltName=" + ",".join(_alternative(host) for host in hosts))
        signer = ("-CA", self.pair.certificate, "-CAkey", self.pair.key)
        wanted = [word for extension in extensions for word in ("-addext", extension)]
        run(["openssl", "req", "-x509", *signer, *_NEW_KEY, "-subj", subject, *wanted, *self._output(pair)])
        return pair

    def kubeconfig(self, path: Path, server: str, user: KeyPair) -> Path:
        """Write a kubeconfig with everything inside it (JSON, which is YAML too)."""
        cluster = {"server": server, "certificate-authority-data": _encoded(self.pair.certificate)}
        credentials = {"client-certificate-data": _encoded(user.certificate), "client-key-data": _encoded(user.key)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "flyball",
            "clusters": [{"name": "flyball", "cluster": cluster}],
            "users": [{"name": "flyball", "user": credentials}],
            "contexts": [{"name": "flyball", "context": {"cluster": "flyball", "user": "flyball"}}],
        }
        write_if_changed(path, json.dumps(content, indent=2), mode=0o600)
        return path

    def _paths(self, name: str) -> KeyPair:
        return KeyPair(self._folder / f"{name}.crt", self._folder / f"{name}.key")

    def _output(self, pair: KeyPair) -> tuple[str | Path, ...]:
        return ("-keyout", pair.key, "-out", pair.certificate)


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _alternative(host: str) -> str:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return f"DNS:{host}"
    return f"IP:{host}"
