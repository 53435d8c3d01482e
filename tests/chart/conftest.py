"""Renders the chart with the real Helm, without a cluster."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "charts" / "flyball"
PROMETHEUS = {"prometheus": {"url": "http://prometheus.monitoring:9090"}}

Manifest = dict[str, Any]


def find_helm(environ: Mapping[str, str]) -> str:
    """FLYBALL_HELM, else `helm` on the PATH, else the newest one that the embedded cluster was built with."""
    if named := environ.get("FLYBALL_HELM"):
        return named
    if on_path := shutil.which("helm", path=environ.get("PATH", "")):
        return on_path
    cache_home = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "/")) / ".cache")
    built = (cache_home / "flyball" / "cluster" / "builds").glob("helm/*/helm")
    programs = [path for path in built if path.is_file() and os.access(path, os.X_OK)]
    if not programs:
        pytest.fail(
            "no helm: `make cluster-build` provides it; or put one on the PATH, or name it in FLYBALL_HELM",
            pytrace=False,
        )
    return str(max(programs, key=lambda path: path.stat().st_mtime))


@dataclass(frozen=True)
class Refused(Exception):
    """Helm did not render; `text` is what it says."""

    text: str


# The CRDs alone are thousands of lines, which PyYAML in Python reads ten times slower.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def _run(helm: str, arguments: tuple[str, ...], values: str) -> tuple[int, str, str]:
    done = subprocess.run([helm, *arguments], input=values, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@dataclass(frozen=True)
class Rendered:
    """The objects of one rendering."""

    objects: tuple[Manifest, ...]

    def all(self, kind: str) -> list[Manifest]:
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str, name: str, namespace: str | None = None) -> Manifest:
        found = [
            each
            for each in self.all(kind)
            if each["metadata"]["name"] == name and namespace in (None, each["metadata"].get("namespace"))
        ]
        assert len(found) == 1, (
            f"{len(found)} of {kind} {name}, among {[each['metadata']['name'] for each in self.all(kind)]}"
        )
        return found[0]

    def pod_specs(self) -> dict[str, Manifest]:
        """The pod spec of everything that makes pods, by kind and name."""
        specs = {}
        for found in self.objects:
            match found["kind"]:
                case "Pod":
                    specs[f"Pod {found['metadata']['name']}"] = found["spec"]
                case "Deployment" | "Job" | "DaemonSet":
                    specs[f"{found['kind']} {found['metadata']['name']}"] = found["spec"]["template"]["spec"]
        return specs


Render = Callable[..., Rendered]
Lint = Callable[[Manifest], str]


@pytest.fixture(scope="session")
def helm() -> str:
    return find_helm(os.environ)


@pytest.fixture(scope="session")
def render(helm: str) -> Render:
    """Render the chart with values over the one that is required; raises Refused."""

    def rendered(
        values: Manifest | None = None, *flags: str, namespace: str = "flyball-system", chart: Path = CHART
    ) -> Rendered:
        text = yaml.safe_dump(PROMETHEUS | (values or {}))
        arguments = (
            "template",
            "flyball",
            str(chart),
            "--namespace",
            namespace,
            "--kube-version",
            "1.36.0",
            "--values",
            "-",
        )
        status, out, err = _run(helm, (*arguments, *flags), text)
        if status:
            raise Refused(err)
        return Rendered(tuple(found for found in yaml.load_all(out, Loader=_LOADER) if found))

    return rendered


@pytest.fixture(scope="session")
def lint(helm: str) -> Lint:
    """What `helm lint` prints, warnings being errors; raises Refused."""

    def linted(values: Manifest) -> str:
        arguments = ("lint", str(CHART), "--strict", "--kube-version", "1.36.0", "--values", "-")
        status, out, err = _run(helm, arguments, yaml.safe_dump(values))
        if status:
            raise Refused(out + err)
        return out

    return linted


@pytest.fixture
def find() -> Callable[[Mapping[str, str]], str]:
    return find_helm


@pytest.fixture
def refused() -> type[Refused]:
    return Refused


@pytest.fixture(scope="session")
def chart() -> Path:
    return CHART


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY
