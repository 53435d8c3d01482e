"""Up and down again: CRDs of the version before, of this one, and of the one before, with objects that stay.

Specs that were written for the version before are read, decided by and kept by this one; statuses of this one are read
by the version before, which goes on where it was. Each version runs in a process of its own, from its own sources.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from flyball_cluster import ApiServer as Server

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(1800)]  # the first start may build kube-apiserver

ROOT = Path(__file__).parents[2]
NAMESPACE = "default"
FIRST = 1_795_650_000.0
HOUR = 3600.0
BROKEN = ("counted-indicators-0",)
"""Samples of the version before that are no longer valid. docs/upgrade.md says what to write in place of each."""

Object = dict[str, Any]


class Cluster:
    """An API server whose CRDs change."""

    def __init__(self, server: "Server") -> None:
        self._command = server.kubectl

    def __call__(self, *arguments: str, text: str | None = None) -> str:
        command = [*self._command, f"--namespace={NAMESPACE}", *arguments]
        done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def serve(self, sources: Path) -> None:
        """Take that version's CRDs, as `helm upgrade` and `helm rollback` do."""
        self("apply", "--server-side", "--force-conflicts", f"--filename={sources / 'crds'}")
        self("wait", "--for=condition=Established", "crd", "--all", "--timeout=120s")

    def workloads(self) -> list[Object]:
        found: list[Object] = json.loads(self("get", "workloadslos", "--output=json"))["items"]
        return found

    def write(self, found: Object, status: Object) -> None:
        """Write a status as the operator does."""
        body = {**{name: found[name] for name in ("apiVersion", "kind")}, "status": status}
        body["metadata"] = {"name": found["metadata"]["name"]}
        arguments = ("apply", "--server-side", "--subresource=status", "--field-manager=flyball", "--force-conflicts")
        self(*arguments, "--filename=-", text=json.dumps(body))

    def stored_versions(self) -> set[str]:
        crds = json.loads(self("get", "crds", "--output=json"))["items"]
        return {version for crd in crds for version in crd["status"]["storedVersions"]}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """An API server of this test's own, since CRDs are everybody's."""
    from flyball_cluster import api_server

    with api_server() as server:
        yield Cluster(server)


def _judged(sources: Path, found: list[Object], at: float) -> list[Object]:
    """What that version makes of the objects."""
    environment = {**os.environ, "PYTHONPATH": str(sources / "operator")}
    command = [sys.executable, str(Path(__file__).parent / "judge.py"), str(at)]
    done = subprocess.run(
        command, input=json.dumps(found), capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    judged: list[Object] = json.loads(done.stdout)
    return judged


def _tick(cluster: Cluster, sources: Path, at: float, broken: tuple[str, ...] = ()) -> dict[str, Object]:
    """A look of that version at everything: what it made of each valid object, by name. It writes their statuses.

    The `broken` ones it refuses with a fix, which their owners find in the status; nothing is done by them.
    """
    found = {raw["metadata"]["name"]: raw for raw in cluster.workloads()}
    judged = dict(zip(found, _judged(sources, list(found.values()), at), strict=True))
    for name, each in judged.items():
        assert bool(each["errors"]) == (name in broken), (name, each["errors"])
        assert all(";" in error for error in each["errors"]), "a refusal without a fix"
        cluster.write(found[name], each["status"])
    return {name: each for name, each in judged.items() if name not in broken}


def _samples(sources: Path) -> list[Object]:
    """The WorkloadSLOs that the version's users have."""
    workloads = []
    for folder in ("docs/samples", "tests/api/data/accept"):
        for path in sorted((sources / folder).glob("*.yaml")):
            for number, each in enumerate(yaml.safe_load_all(path.read_text(encoding="utf-8"))):
                if each and each["kind"] == "WorkloadSLO":
                    workloads.append({**each, "metadata": {"name": f"{path.stem}-{number}"}})
    return workloads


def test_specs_and_statuses_go_up_and_down_again(cluster: Cluster, previous: Path) -> None:
    cluster.serve(previous)
    declared = _samples(previous)
    assert len(declared) > 8
    cluster("apply", "--filename=-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": declared}))
    before = {raw["metadata"]["name"]: raw["spec"] for raw in cluster.workloads()}
    _tick(cluster, previous, FIRST)

    cluster.serve(ROOT)
    up = _tick(cluster, ROOT, FIRST + HOUR, BROKEN)
    _remember(up, FIRST)
    assert {raw["metadata"]["name"]: raw["spec"] for raw in cluster.workloads()} == before, "an upgrade changed specs"
    cluster("annotate", "workloadslos", "--all", "touched=yes")  # every object can still be written

    cluster.serve(previous)
    down = _tick(cluster, previous, FIRST + 2 * HOUR)
    _remember(down, FIRST)
    assert {raw["metadata"]["name"]: raw["spec"] for raw in cluster.workloads()} == before
    cluster("annotate", "workloadslos", "--all", "touched=again", "--overwrite")

    cluster.serve(ROOT)
    _remember(_tick(cluster, ROOT, FIRST + 3 * HOUR, BROKEN), FIRST)
    assert cluster.stored_versions() == {"v1alpha1"}, "no version to migrate"


def _remember(judged: dict[str, Object], since: float) -> None:
    """Conditions go on: what held under the other version has held since then."""
    for name in judged.keys() - set(BROKEN):
        each = judged[name]
        assert each["since"]["Ready"] == since, name
        ready = next(c for c in each["status"]["conditions"] if c["type"] == "Ready")
        assert ready["lastTransitionTime"] == "2026-11-25T23:40:00Z", name


def test_a_spec_of_this_version_says_to_the_version_before_what_it_does_not_know(previous: Path) -> None:
    """A rollback under new specs: they are read or refused with a reason, and nothing raises."""
    declared = _samples(ROOT)
    for number, each in enumerate(declared):
        each["metadata"] |= {"namespace": NAMESPACE, "uid": f"u{number}", "generation": 1}
    judged = _judged(previous, declared, FIRST)
    assert len(judged) == len(declared)
    assert sum(each["errors"] == [] for each in judged) > len(declared) / 2
    assert all(isinstance(error, str) and error for each in judged for error in each["errors"])
