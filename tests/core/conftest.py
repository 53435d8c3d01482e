"""Hypothesis for the whole room: deterministic, without deadlines, since the machine may be busy with other things."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("core", max_examples=60, deadline=None, derandomize=True)


@pytest.fixture(autouse=True, scope="package")
def _profile() -> Iterator[None]:
    settings.load_profile("core")
    yield
    settings.load_profile("default")
