"""What all tests share: a real API server (see support/api_server.py), a port that refuses, and how laws are tried.

Laws are tried on the same cases in every run, however slow the machine: a run that fails tells of a change, not of luck
or load. `pytest --hypothesis-profile=search` looks for new cases instead.
"""

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import settings

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS.parent / "e2e" / "cluster")]

pytest_plugins = ["support.api_server", "support.postgres"]

# Else pytest-asyncio asks for the current loop, Python 3.11 makes one, and nobody closes it: a ResourceWarning in some
# later test, which a traceback printed during garbage collection can turn into a crash of the parser.
asyncio.set_event_loop(None)

# Who starts the tests in a shell's background has them ignore Ctrl-C, and every command that they start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Until it is configured, structlog draws tracebacks with every variable in them: seconds each, for nobody.
plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[structlog.processors.add_log_level, plain])

settings.register_profile("search", settings.get_profile("ci"), derandomize=False, max_examples=1000)
settings.load_profile("ci")  # hypothesis' own: no deadline, no complaint about slow cases, the same cases every time


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where several processes run the tests (`pytest -n 2`), keep together what is dear to set up.

    That is modules with what they share, and all that need the API server. pytest-xdist's own `--dist loadgroup` groups
    nothing under pytest 9.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByModule(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _scope(config.rootpath / nodeid.partition("::")[0])

    return ByModule(config, log)


@cache
def _scope(module: Path) -> str:
    return "api server" if "mark.api_server" in module.read_text(encoding="utf-8") else str(module)


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port on loopback that refuses connections, and that nobody else is given meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])
