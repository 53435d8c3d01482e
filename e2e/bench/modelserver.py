"""What a simulated vLLM costs its machine under hundreds of streams: many of them must fit beside a cluster."""

from __future__ import annotations

import asyncio

from flyball.lab.modelserver import bench

STREAMS, TOKENS, SECONDS = (100, 300, 600), (64, 256), 10.0
"""Short prompts, so that the engine decodes for as many as its batch takes: most tokens a second."""


def measure(**_: float) -> dict[str, str]:
    """The share of one core at several numbers of streams, which grows with tokens and not with streams."""
    found = {streams: asyncio.run(bench.measure("a100_8b", streams, TOKENS, SECONDS)) for streams in STREAMS}
    return {f"{streams} streams of an 8B model on an A100": str(cost) for streams, cost in found.items()}
