#!/usr/bin/env python3
"""Bring a real Kubernetes cluster up and down for tests and the demo; needs nothing but Python 3.11 to start."""

import sys

from flyball_cluster.cli import main

if __name__ == "__main__":
    sys.exit(main())
