"""Stages and segments of a status in lines, for `flyball explain`."""

from collections.abc import Iterator
from typing import Any


def stage_lines(status: dict[str, Any]) -> Iterator[str]:
    """Each stage with its p95, and each latency by segment with the worst."""
    for stage in status.get("stages", ()):
        share = f", {stage['shareOfP95']} of the whole request's" if stage.get("shareOfP95") else ""
        yield f"stage {stage['name']}: p95 {stage.get('p95', 'unknown')}{share}"
    for found in status.get("segments", ()):
        worst = f", worst {found['worst']}" if found.get("worst") else ""
        yield f"{found['measured']} by segment ({found['count']} in all{worst}):"
        for segment in found.get("largest", ()):
            attained = f", {segment['attained']} as promised" if segment.get("attained") else ""
            p95 = f", p95 {segment['p95']}" if segment.get("p95") else ""
            counted = next(f"{segment[what]} {what}" for what in ("requests", "sessions") if what in segment)
            yield f"  {segment['name']}: {counted}{p95}{attained}"
