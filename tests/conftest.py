"""What all tests share: fixtures of a real API server (see support/api_server.py)."""

import asyncio
import sys
from pathlib import Path

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS.parent / "e2e" / "cluster")]

pytest_plugins = ["support.api_server"]

# Else pytest-asyncio asks for the current loop, Python 3.11 makes one, and nobody closes it: a ResourceWarning in some
# later test, which a traceback printed during garbage collection can turn into a crash of the parser.
asyncio.set_event_loop(None)
