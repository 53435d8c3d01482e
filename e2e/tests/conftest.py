"""One cluster, one image and one installed Flyball for all end-to-end tests; each brings its own namespace."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from e2e.story import kit as tools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.story.kit import Kit


# Who starts the tests in a shell's background has them ignore Ctrl-C, and every command that they start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Kit]:
    """The real cluster with the image on its node. FLYBALL_KEEP_CLUSTER=1 leaves it running afterwards."""
    try:
        yield tools.with_image(tools.cluster_up())
    finally:  # also where Ctrl-C comes before it is there
        if not os.environ.get("FLYBALL_KEEP_CLUSTER"):
            tools.cluster_down()


@pytest.fixture(scope="session")
def flyball(cluster: Kit) -> Kit:
    """Flyball installed with its chart, ticking every five seconds."""
    cluster.install()
    return cluster


@pytest.fixture(scope="session")
def left(cluster: Kit) -> Iterator[list[str]]:
    """Namespaces that tests are done with: each goes while the next tests run, and none must hang on any finalizer."""
    names: list[str] = []
    yield names
    if names:
        cluster.kubectl("delete", "namespace", *names, "--ignore-not-found", "--timeout=180s")


@pytest.fixture
def namespace(cluster: Kit, request: pytest.FixtureRequest, left: list[str]) -> Iterator[str]:
    """A namespace of the test's own, deleted afterwards."""
    name = f"{request.node.originalname.replace('_', '-')[:46].strip('-')}-{len(left)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
    left.append(name)
