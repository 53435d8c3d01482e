"""The version before, for tests of both."""

from pathlib import Path

import pytest
from e2e.story import versions


@pytest.fixture(scope="session")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its sources."""
    folder = tmp_path_factory.mktemp("previous")
    if not versions.previous(folder):
        pytest.skip("the version before is not at hand: this is no clone, or a shallow one")
    return folder
