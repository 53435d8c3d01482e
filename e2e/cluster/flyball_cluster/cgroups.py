"""The cluster's own cgroup, under which the kubelet puts every pod, so that no container escapes `down`."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from flyball_cluster.console import wait_until
from flyball_cluster.errors import ClusterError
from flyball_cluster.processes import end, identify

ROOT = Path("/sys/fs/cgroup")
NAME = "flyball"
_CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")
_REMOVAL_SECONDS = 5.0
_POLL_SECONDS = 0.05


def is_version_2() -> bool:
    """Whether this machine has the unified hierarchy (cgroup v2) and nothing else."""
    return (ROOT / "cgroup.controllers").exists()


def create() -> None:
    """Create the cluster's cgroup in every hierarchy there is."""
    for hierarchy in _hierarchies():
        folder = hierarchy / NAME
        folder.mkdir(exist_ok=True)
        for name in _CPUSET_FILES:
            # On cgroup v1 a new cpuset is empty and takes no process before it is given its parent's processors.
            if (folder / name).exists() and (hierarchy / name).exists() and not (folder / name).read_text().strip():
                (folder / name).write_text((hierarchy / name).read_text())


def remove() -> None:
    """Kill whatever still runs in the cluster's cgroup and remove it."""
    identities = [identity for pid in sorted(_pids()) if (identity := identify(pid))]
    end(identities, grace_seconds=0.0)
    with suppress(ClusterError):
        wait_until(lambda: not _pids(), what="the containers to end", timeout_seconds=_REMOVAL_SECONDS)
    for hierarchy in _hierarchies():
        _remove_tree(hierarchy / NAME)


def _hierarchies() -> list[Path]:
    if is_version_2():
        return [ROOT]
    return [
        path for path in sorted(ROOT.iterdir()) if path.is_dir() and not path.is_symlink() and os.path.ismount(path)
    ]


def _pids() -> set[int]:
    """Every process in the cluster's cgroup; cgroups that vanish while this looks are passed over."""
    found: set[int] = set()
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / NAME):
            with suppress(OSError):
                found |= {int(line) for line in (Path(folder) / "cgroup.procs").read_text().split()}
    return found


def _remove_tree(top: Path) -> None:
    """Remove a cgroup, children first; the kernel may hold one for a moment after its last process has ended."""
    deadline = time.monotonic() + _REMOVAL_SECONDS
    while top.exists() and time.monotonic() < deadline:
        for folder, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()
        if top.exists():
            time.sleep(_POLL_SECONDS)
