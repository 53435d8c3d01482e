"""One cluster, one image and one installed Flyball for all end-to-end tests; each brings its own namespace.

Little is waited for: what a test leaves behind goes while the next ones run, and what the next one needs starts before.
"""

from __future__ import annotations

import itertools
import os
import signal
from typing import TYPE_CHECKING

import pytest
from e2e.faults.stage import NAMESPACE, Stage
from e2e.story import kit as tools
from e2e.story import machine, workloads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2e.story.kit import Kit

    Leave = Callable[[str], None]

NUMBERS = itertools.count()

# Who starts the tests in a shell's background has them ignore Ctrl-C, and every command that they start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Kit]:
    """The real cluster with the image on its node. FLYBALL_KEEP_CLUSTER=1 leaves it running afterwards.

    It leaves nothing of its own on the machine, and all that is somebody else's.
    """
    before, keep = machine.traces(), bool(os.environ.get("FLYBALL_KEEP_CLUSTER"))
    try:
        yield tools.with_image(tools.cluster_up())
    finally:  # also where Ctrl-C comes before it is there
        if not keep:
            tools.cluster_down()
    if not keep:
        after = machine.traces()
        assert machine.ours(after - before) == set()
        assert [trace for trace in before - after if trace not in machine.ours(before)] == []


@pytest.fixture(scope="module")
def flyball(cluster: Kit) -> Kit:
    """Flyball installed with its chart, ticking every five seconds, whatever a module before made of it."""
    cluster.install()
    return cluster


@pytest.fixture(scope="session")
def leave(cluster: Kit) -> Iterator[Leave]:
    """Be done with a namespace: it goes while the next tests run, and none must hang on any finalizer."""
    left: list[str] = []

    def done_with(namespace: str) -> None:
        cluster.kubectl("delete", "namespace", namespace, "--ignore-not-found", "--wait=false")
        left.append(namespace)

    yield done_with
    if left:
        cluster.kubectl("delete", "namespace", *left, "--ignore-not-found", "--timeout=180s")


@pytest.fixture(scope="module")
def stage(cluster: Kit, leave: Leave) -> Iterator[Stage]:
    """Where faults are tried, for the module's own fixture to set up."""
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=180s")
    yield Stage(cluster)
    leave(NAMESPACE)


@pytest.fixture
def namespace(cluster: Kit, request: pytest.FixtureRequest, leave: Leave) -> Iterator[str]:
    """A namespace of the test's own, deleted afterwards."""
    name = f"{request.node.originalname.replace('_', '-')[:46].strip('-')}-{next(NUMBERS)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    leave(name)


@pytest.fixture(scope="session")
def begun(cluster: Kit, leave: Leave) -> Iterator[list[str]]:
    """Namespaces in which the small workload starts for tests to come."""
    names: list[str] = []
    yield names
    for name in names:
        leave(name)


@pytest.fixture
def small(cluster: Kit, begun: list[str], leave: Leave) -> Iterator[str]:
    """A namespace of the test's own in which the small workload serves; the next test's starts meanwhile."""
    while len(begun) < 2:
        begun.append(f"small-{next(NUMBERS)}")
        cluster.kubectl("create", "namespace", begun[-1])
        workloads.deploy(cluster, begun[-1])
    name = begun.pop(0)
    workloads.wait_until_ready(cluster, name)
    yield name
    leave(name)
