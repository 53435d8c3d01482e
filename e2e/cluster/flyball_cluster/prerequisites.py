"""What the machine must have, asked before anything is started."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flyball_cluster.console import run, say, succeeds
from flyball_cluster.errors import ClusterError
from flyball_cluster.files import exclusive

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
CNI_PLUGINS = ("bridge", "host-local", "loopback", "portmap")
OTHER_MODES = "CLUSTER=kind (needs Docker and kind) and CLUSTER=current (uses the cluster of KUBECONFIG) need neither"
_POLICY = Path("/usr/sbin/policy-rc.d")
_INSTALLING = Path("/run/lock/flyball-install.lock")


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that is not built here."""

    program: str
    package: str
    """Debian's package name."""
    elsewhere: str
    """How to get it where apt is not."""
    service: str = ""
    """The system service that Debian's package would start, and that must not run for us."""
    folders: str = ""
    """Where beside the PATH it may lie, under the root, as a pattern: Debian keeps some programs aside by version."""

    @property
    def path(self) -> Path | None:
        """The program: that of the PATH, else the newest of `folders`; None where it is missing."""
        if found := shutil.which(self.program):
            return Path(found)
        aside = sorted(Path("/").glob(f"{self.folders}/{self.program}")) if self.folders else []
        return aside[-1] if aside else None


ETCD = Tool("etcd", "etcd-server", "from the releases of etcd-io/etcd, 3.4 or later", service="etcd")
OPENSSL = Tool("openssl", "openssl", "OpenSSL 3 from your distribution")
C_COMPILER = Tool("cc", "gcc", "any C compiler with your C library's headers")
API_TOOLS = (ETCD, OPENSSL, C_COMPILER)
NODE_TOOLS = (
    *API_TOOLS,
    Tool("runc", "runc", "runc 1.1 or later, built with seccomp"),
    Tool("iptables", "iptables", "from your distribution"),
    Tool("conntrack", "conntrack", "conntrack-tools from your distribution"),
    Tool("ip", "iproute2", "from your distribution"),
    Tool("mount", "mount", "util-linux from your distribution"),
)
POSTGRES_TOOLS = tuple(
    Tool(name, "postgresql", "PostgreSQL 13 or later", service="postgresql", folders="usr/lib/postgresql/*/bin")
    for name in ("initdb", "postgres")
)
TEST_TOOLS = (
    Tool("promtool", "prometheus", "from the releases of prometheus/prometheus, 2.42 or later", service="prometheus"),
    *POSTGRES_TOOLS,
)
"""What the test suite runs beside the cluster: a Prometheus over blocks of known history, and a PostgreSQL."""
POLICY_TOOLS = (Tool("ipset", "ipset", "from your distribution"),)
"""What kube-router's controller of NetworkPolicies runs; only the test of them needs it."""
IMAGE_TOOLS = (
    Tool("buildah", "buildah", "from your distribution"),
    Tool("mmdebstrap", "mmdebstrap", "from Debian or Ubuntu"),
)


def require_embedded() -> None:
    """Raise ClusterError, in one line, where the embedded cluster cannot run at all."""
    if platform.system() != "Linux" or os.geteuid() != 0:
        raise ClusterError(f"the embedded cluster needs Linux and root; {OTHER_MODES}")


def require_tools(tools: Iterable[Tool]) -> None:
    """Install missing programs on Debian and Ubuntu as root; elsewhere raise ClusterError naming their sources."""
    missing = [tool for tool in tools if tool.path is None]
    if missing:
        _install_or_explain(missing)


def cni_folder() -> Path:
    """The folder of the CNI plugins, installing them where apt can."""
    if (folder := _find_cni()) is None:
        _install_or_explain(
            [Tool("bridge", "containernetworking-plugins", f"CNI plugins 1.1 or later in {CNI_FOLDERS[1]}")]
        )
        folder = _find_cni()
    if folder is None:
        raise ClusterError(
            f"the CNI plugins {', '.join(CNI_PLUGINS)} are in none of {', '.join(map(str, CNI_FOLDERS))}"
        )
    return folder


def _find_cni() -> Path | None:
    return next((folder for folder in CNI_FOLDERS if all((folder / plugin).exists() for plugin in CNI_PLUGINS)), None)


def _install_or_explain(missing: list[Tool]) -> None:
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        needs = "\n".join(f"  {tool.program}: {tool.elsewhere} (Debian's package: {tool.package})" for tool in missing)
        raise ClusterError(f"missing on this machine:\n{needs}")
    packages = sorted({tool.package for tool in missing})
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
    with exclusive(_INSTALLING, "another installation"), _NoServiceStarts():
        say(f"installing with apt-get: {' '.join(packages)}")
        run(["apt-get", "update", "--quiet"], env=environment)
        run(install, env=environment)
    for service in _services(missing):
        if Path("/run/systemd/system").is_dir() and succeeds(["systemctl", "disable", "--now", service]):
            say(f"  the system's own service {service} stays off: the cluster runs its own process")


def _services(tools: Iterable[Tool]) -> Iterator[str]:
    return (tool.service for tool in tools if tool.service)


class _NoServiceStarts:
    """While packages install, Debian's documented switch tells their scripts to start no services."""

    def __enter__(self) -> None:
        self._ours = not _POLICY.exists()
        if self._ours:
            _POLICY.write_text("#!/bin/sh\nexit 101\n")
            _POLICY.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        if self._ours:
            _POLICY.unlink(missing_ok=True)
