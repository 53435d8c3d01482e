"""What the environment says about the cluster, read once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from flyball_cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_RUNTIME = Path("/var/lib/flyball-cluster")
"""On disk and not under /run, which is often a small tmpfs mounted noexec: container file systems live here."""


class Mode(StrEnum):
    """Which cluster the driver speaks of."""

    EMBEDDED = "embedded"
    KIND = "kind"
    CURRENT = "current"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are kept and how large the pretended node is."""

    mode: Mode
    cache: Path
    """Builds, base images and wheels: worth keeping between clusters."""
    runtime: Path
    """One cluster's processes, certificates, logs and data: gone after `down`."""
    gpus: int
    gpu_product: str
    node_name: str = "flyball"

    @property
    def cluster_file(self) -> Path:
        """The JSON file that tests and the demo read the cluster's addresses from."""
        return self.runtime / "cluster.json"


def settings_from(environ: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables; raises ClusterError for values that mean nothing."""
    mode = _mode(environ.get("CLUSTER") or Mode.EMBEDDED)
    home = Path(environ.get("HOME") or "/root")
    cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "flyball" / "cluster"
    default_runtime = SYSTEM_RUNTIME if mode is Mode.EMBEDDED else cache / mode.value
    return Settings(
        mode=mode,
        cache=cache.absolute(),
        runtime=Path(environ.get("FLYBALL_CLUSTER_DIR") or default_runtime).absolute(),
        gpus=_count("FLYBALL_CLUSTER_GPUS", environ.get("FLYBALL_CLUSTER_GPUS") or "16"),
        gpu_product=environ.get("FLYBALL_CLUSTER_GPU_PRODUCT") or "NVIDIA-L4",
    )


def _mode(value: str) -> Mode:
    try:
        return Mode(value)
    except ValueError:
        raise ClusterError(f"CLUSTER={value} is none of {', '.join(Mode)}") from None


def _count(name: str, value: str) -> int:
    if not value.isdecimal():
        raise ClusterError(f"{name}={value} is not a whole number of 0 or more")
    return int(value)
