"""What a label with a million values costs: a gateway's histogram by tenant, read by the operator's own code.

Every tenant has a series for an edge and one for all requests; a thousandth of them have most of the traffic.
A tick's read is made twice: the first begins what is asked for beside the ticks (segments), the second has it. Times
are of the clock, so that what else the machine does is in them; processor time is Prometheus'.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.prometheus import make_objective, make_spec, make_variant
from tests.support.real_prometheus import History, serve

from flyball.core.names import Indicator
from flyball.core.service.latency import LatencySource
from flyball.core.spec import TelemetrySource
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.settings import PrometheusSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_700_000_000.0
SCRAPES = (NOW - 200, NOW - 140, NOW - 80, NOW - 20)
"""A scrape a minute: what is asked for is over five minutes."""
EDGES = {"1.0": 0.9, "+Inf": 1.0}
RATE_WINDOW_SECONDS = 240.0
BUSY_EVERY, BUSY = 1000, 5000.0
PATIENCE_SECONDS = 900.0

SOURCE = LatencySource((("gateway_seconds", 1.0),), namespaced=True)
SPEC = make_spec(
    variants=(make_variant(kind="StatefulSet"),),
    objectives=(make_objective(Indicator.END_TO_END, 1.0),),
    telemetry=TelemetrySource(
        engine="VLLM", latencies=((Indicator.END_TO_END, SOURCE),), segment_by=("tenant",), selector=()
    ),
)


class _Tenants(History):
    """Lines that are made while they are written: a million tenants' are a gigabyte."""

    def __init__(self, tenants: int) -> None:
        super().__init__()
        pod = {"namespace": SPEC.key.namespace, "pod": "llm-0"}
        for name in ("num_requests_running", "num_requests_waiting"):
            self.add(f"vllm:{name}", pod, SCRAPES, lambda _: 1.0)
        self.add("vllm:request_success_total", pod | {"finished_reason": "stop"}, SCRAPES, lambda at: at - SCRAPES[0])
        self.lines = _Lines(self.lines, tenants)  # type: ignore[assignment]


class _Lines:
    def __init__(self, first: list[str], tenants: int) -> None:
        self._first, self._tenants = first, tenants

    def __iter__(self) -> Iterator[str]:
        yield from self._first
        for tenant in range(self._tenants):
            requests = (BUSY if tenant % BUSY_EVERY == 0 else 1.0) + tenant / self._tenants
            for edge, share in EDGES.items():
                labels = f'namespace="{SPEC.key.namespace}",pod="gateway-0",tenant="tenant-{tenant:07}",le="{edge}"'
                for number, at in enumerate(SCRAPES):
                    yield f"gateway_seconds_bucket{{{labels}}} {share * requests * number} {at:.3f}"


def measure(rows: float = 1_000_000, **_: float) -> dict[str, str]:
    """How long a tick and the segments beside it take, what they say, and what they cost Prometheus."""
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as folder:
        began = time.monotonic()
        with serve(_Tenants(int(rows)), Path(folder)) as url:
            stored = time.monotonic() - began
            found = asyncio.run(_measure(url))
    return {
        "tenants": f"{int(rows)}, {int(rows) * len(EDGES)} series, stored and loaded in {stored:.0f} s",
        **found,
    }


async def _measure(url: str) -> dict[str, str]:
    found = {}
    for name, seconds in (("with the operator's limits of 10 s and 20 s", {}), ("with time enough", _PATIENT)):
        metrics = PrometheusMetrics(PrometheusSettings(url, rate_window_seconds=RATE_WINDOW_SECONDS, **seconds))
        processor, began = _processor_seconds(url), time.monotonic()
        await metrics.read([SPEC], NOW)
        took = time.monotonic() - began
        if beside := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(beside)
        whole = time.monotonic() - began
        signals = (await metrics.read([SPEC], NOW + 1))[SPEC.key]
        await metrics.aclose()
        sources = {source.signal: source for source in signals.sources}
        segments = next((each for each in signals.segments if each.segments), None)
        told = (
            f"{len(segments.segments)} of {segments.count} told apart, the largest {segments.segments[0].labels[0][1]}"
            if segments
            else f"none: {sources['Segments'].text if 'Segments' in sources else 'no answer yet'}"
        )
        requests = signals.objectives[0].shares[0].total if signals.objectives[0].shares else None
        found |= {
            f"{name}: a tick's read, and with what it begins beside it": f"{took:.1f} s, {whole:.1f} s",
            f"{name}: Prometheus' processor time": f"{_processor_seconds(url) - processor:.1f} s",
            f"{name}: segments": told,
            f"{name}: requests counted for the objective": f"{requests:.0f}" if requests is not None else "none",
            f"{name}: the engine": f"{signals.variants[0].running.state if signals.variants else signals.problem}",
        }
    return found


_PATIENT = {"timeout_seconds": PATIENCE_SECONDS, "slow_timeout_seconds": PATIENCE_SECONDS}


def _processor_seconds(url: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=PATIENCE_SECONDS) as answer:
        text = answer.read().decode()
    return float(re.search(r"^process_cpu_seconds_total (\S+)$", text, re.MULTILINE)[1])
