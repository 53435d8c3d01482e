"""Flyball: scales GPU inference workloads to their SLOs, within their cost ceilings, and proves the return."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("flyball")
except PackageNotFoundError:  # running from a source tree that was never installed
    __version__ = "0.0.0+source"
