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
    yield tools.with_image(tools.cluster_up())
    if not os.environ.get("FLYBALL_KEEP_CLUSTER"):
        tools.cluster_down()


@pytest.fixture(scope="session")
def flyball(cluster: Kit) -> Kit:
    """Flyball installed with its chart, ticking every five seconds."""
    cluster.install()
    return cluster


@pytest.fixture
def namespace(cluster: Kit, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, deleted afterwards, which must not hang on any finalizer."""
    name = request.node.originalname.replace("_", "-")[:50].strip("-")
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--timeout=180s")
