"""The packet filter's rules before the cluster, and taking away exactly what the cluster added to them.

kube-proxy, the kubelet and the CNI plugins write chains of their own names (KUBE-…, CNI-…) into the tables and rules
that jump to them into the built-in chains. A snapshot from before tells which of those were somebody else's.
"""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyball_cluster.console import run, succeeds

if TYPE_CHECKING:
    from pathlib import Path

FAMILIES = {"ip": "iptables", "ip6": "ip6tables"}
OWN_CHAIN = "FLYBALL-FORWARD"
PREFIXES = ("KUBE-", "CNI-", OWN_CHAIN)
BUILT_IN = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})


@dataclass(frozen=True, slots=True)
class Table:
    """One table as iptables-save prints it."""

    chains: frozenset[str]
    rules: tuple[str, ...]
    """Lines like `-A INPUT -j KUBE-FIREWALL`."""


def parse_tables(saved: str) -> dict[str, Table]:
    """Read the output of iptables-save."""
    chains: dict[str, set[str]] = {}
    rules: dict[str, list[str]] = {}
    name = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            name = line[1:]
            chains[name], rules[name] = set(), []
        elif line.startswith(":"):
            chains[name].add(line[1:].split()[0])
        elif line.startswith("-A "):
            rules[name].append(line)
    return {name: Table(frozenset(chains[name]), tuple(rules[name])) for name in chains}


def removal_script(now: dict[str, Table], before: dict[str, Table]) -> str:
    """The iptables-restore input that removes our chains and the rules that jump to them, empty when there are none."""
    lines: list[str] = []
    for name, table in now.items():
        theirs = before[name].chains if name in before else frozenset()
        ours = {chain for chain in table.chains if chain.startswith(PREFIXES)} - theirs
        if not ours:
            continue
        lines.append(f"*{name}")
        lines += [f":{chain} - [0:0]" for chain in sorted(ours)]
        lines += [
            f"-D {rule[3:]}" for rule in table.rules if _chain(rule) not in ours and ours & set(shlex.split(rule))
        ]
        lines += [f"-X {chain}" for chain in sorted(ours)]
        lines.append("COMMIT")
    return "".join(f"{line}\n" for line in lines)


def unused_tables(now: dict[str, Table], before: dict[str, Table]) -> list[str]:
    """Tables that were not there before and hold nothing but empty built-in chains."""
    return [name for name, table in now.items() if name not in before and table.chains <= BUILT_IN and not table.rules]


def snapshot(path: Path) -> None:
    """Keep the packet filter's present rules, unless a snapshot of this cluster is there already."""
    if path.exists():
        return
    content = {family: run([f"{command}-save"]) for family, command in FAMILIES.items() if shutil.which(command)}
    path.write_text(json.dumps(content))


def allow_forwarding(pod_cidr: str) -> None:
    """Let pods reach pods whatever the machine's forwarding policy, and let them reach nothing beyond this machine."""
    rules = ("-s", pod_cidr, "-d", pod_cidr, "-j", "ACCEPT"), ("-s", pod_cidr, "-j", "REJECT")
    if not succeeds(["iptables", "--wait", "-N", OWN_CHAIN]):
        run(["iptables", "--wait", "-F", OWN_CHAIN])
    for rule in rules:
        run(["iptables", "--wait", "-A", OWN_CHAIN, *rule])
    if not succeeds(["iptables", "--wait", "-C", "FORWARD", "-j", OWN_CHAIN]):
        run(["iptables", "--wait", "-I", "FORWARD", "-j", OWN_CHAIN])


def restore(path: Path) -> None:
    """Remove what came since the snapshot; without one nothing is known to be ours and nothing is touched."""
    if not path.exists():
        return
    kept: dict[str, str] = json.loads(path.read_text())
    for family, saved in kept.items():
        command, before = FAMILIES[family], parse_tables(saved)
        if script := removal_script(parse_tables(run([f"{command}-save"])), before):
            run([f"{command}-restore", "--noflush", "--wait"], text=script)
        for table in unused_tables(parse_tables(run([f"{command}-save"])), before):
            succeeds(["nft", "delete", "table", family, table])


def _chain(rule: str) -> str:
    return rule.split(maxsplit=2)[1]
