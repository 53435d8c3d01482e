"""What a cluster may leave on its machine: interfaces, mounts, packet filter rules, control groups and processes."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

OURS = ("flyball", "veth", "KUBE-", "CNI-", "cni-")
"""Words of which each trace of the cluster has one."""


def traces() -> frozenset[str]:
    """Everything of that kind that there is, one line each."""
    found = {f"interface {path.name}" for path in Path("/sys/class/net").iterdir()}
    found |= {f"mount {line.split()[1]}" for line in Path("/proc/mounts").read_text().splitlines()}
    for program in ("iptables-save", "ip6tables-save"):
        with suppress(FileNotFoundError):
            saved = subprocess.run([program], capture_output=True, text=True, check=True).stdout
            # Chains bear counters, which say nothing of who made them.
            found |= {f"{program}: {line.split(' [')[0]}" for line in saved.splitlines() if line[:1] in (":", "-")}
    found |= {f"cgroup {folder}" for folder in Path("/sys/fs/cgroup").glob("**/") if folder.name == "flyball"}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found |= {f"process {folder.name}: {command}"} if "/flyball-cluster/" in command else set()
    return frozenset(found)


def ours(found: frozenset[str]) -> frozenset[str]:
    """Those that a cluster of ours makes."""
    return frozenset(trace for trace in found if any(word in trace for word in OURS))
