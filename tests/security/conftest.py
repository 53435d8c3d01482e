"""The chart as tests/chart renders it, and requests to a real API server as somebody other than the administrator."""

from chart.conftest import find, helm, lint, refused, render, repository

__all__ = ["find", "helm", "lint", "refused", "render", "repository"]
