"""The Go modules of the cluster's programs name the same versions, so that what they share is compiled once."""

import re
from collections import defaultdict

import pytest
from flyball_cluster.builds import COMPONENTS, PAUSE, Component

REQUIRED = re.compile(r"^\s*(?:require )?(\S+) (v\S+)(?: // indirect)?$", re.MULTILINE)
REPLACED = re.compile(r"^\s*(?:replace )?(\S+) => (?:\S+) (v\S+)$", re.MULTILINE)
SHARED = ("k8s.io/", "golang.org/x/", "google.golang.org/grpc", "google.golang.org/protobuf", "sigs.k8s.io/structured")
# containerd speaks a newer CRI than Kubernetes 1.36 asks of it; of Go's tools, no program has a part.
OWN = {("containerd", "k8s.io/cri-api")}
NOT_COMPILED = ("golang.org/x/tools", "golang.org/x/mod", "golang.org/x/telemetry")


def versions(component: Component) -> dict[str, str]:
    text = (component.module / "go.mod").read_text()
    return {**dict(REQUIRED.findall(text)), **dict(REPLACED.findall(text))}


def test_shared_modules_have_one_version() -> None:
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for component in COMPONENTS:
        for module, version in versions(component).items():
            if module.startswith(SHARED) and not module.startswith(NOT_COMPILED):
                found[module][version].append(component.name)
    several = {
        module: dict(by_version)
        for module, by_version in found.items()
        if len({v for v, names in by_version.items() if any((n, module) not in OWN for n in names)}) > 1
    }
    assert not several


@pytest.mark.parametrize("component", [c for c in COMPONENTS if c is not PAUSE], ids=lambda c: c.name)
def test_every_module_file_is_read(component: Component) -> None:
    assert versions(component)["golang.org/x/sys"].startswith("v0.")
