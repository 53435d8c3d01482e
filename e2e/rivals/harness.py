"""The rivals' own code: one Go program for each, built like the cluster's and cached with them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from flyball_cluster.builds import Builds, Component
from flyball_cluster.console import run
from flyball_cluster.errors import ClusterError
from flyball_cluster.settings import settings_from
from flyball_cluster.toolchain import find_go

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from e2e.rivals.manifests import Series
    from e2e.rivals.replay import Answers

_MODULES = Path(__file__).parent / "go"
PROGRAMS = {name: Component(name, modules=_MODULES) for name in ("hpa", "kpa", "keda")}


class Harness:
    """Builds what is asked for on first use. Raises ClusterError where Go cannot be had or a program fails."""

    def __init__(self, rivals: Iterable[str]) -> None:
        cache = settings_from(os.environ).cache
        self._builds = Builds(cache, find_go(cache))
        self._builds.ensure(PROGRAMS[rival] for rival in rivals)

    def answers(self, rival: str, series: Sequence[Series]) -> tuple[str, list[Answers]]:
        """The module and version that answered, and the replicas after each step of each series."""
        lines = "".join(json.dumps(each) + "\n" for each in series)
        printed = run([self._builds.program(PROGRAMS[rival])], text=lines)
        found = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
        if [each["name"] for each in found] != [each["name"] for each in series]:
            raise ClusterError(
                f"the program of {rival} answered {len(found)} of {len(series)} series:\n{printed[-2000:]}"
            )
        return found[0]["version"], [each["replicas"] for each in found]
