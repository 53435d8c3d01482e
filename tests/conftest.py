"""What all tests share: fixtures of a real API server (see support/api_server.py)."""

import sys
from pathlib import Path

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS.parent / "e2e" / "cluster")]

pytest_plugins = ["support.api_server"]
