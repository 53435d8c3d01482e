"""Lets the driver's tests import it from where it lives: it is no part of the package and needs no environment."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "e2e" / "cluster"))
