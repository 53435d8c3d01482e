"""What all tests share: a real API server (see support/api_server.py), a port that refuses, and how laws are tried.

Laws are tried on the same cases in every run, however slow the machine: a run that fails tells of a change, not of luck
or load. `pytest --hypothesis-profile=search` looks for new cases instead.
"""

import asyncio
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS.parent / "e2e" / "cluster")]

pytest_plugins = ["support.api_server", "support.postgres"]

# Else pytest-asyncio asks for the current loop, Python 3.11 makes one, and nobody closes it: a ResourceWarning in some
# later test, which a traceback printed during garbage collection can turn into a crash of the parser.
asyncio.set_event_loop(None)

settings.register_profile("search", settings.get_profile("ci"), derandomize=False, max_examples=1000)
settings.load_profile("ci")  # hypothesis' own: no deadline, no complaint about slow cases, the same cases every time


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes run the tests (`pytest -n 2 --dist loadgroup`), make what is dear to set up once."""
    for item in items:
        if item.get_closest_marker("api_server"):
            item.add_marker(pytest.mark.xdist_group("api-server"))
        elif _shares(item):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def _shares(item: pytest.Item) -> bool:
    """Whether a test uses a fixture of ours that others of its module use as well."""
    found: Mapping[str, Sequence[pytest.FixtureDef[object]]] = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]
    last = [definitions[-1] for definitions in found.values()]
    return any(one.scope != "function" and TESTS in Path(one.func.__code__.co_filename).parents for one in last)


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port on loopback that refuses connections, and that nobody else is given meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])
