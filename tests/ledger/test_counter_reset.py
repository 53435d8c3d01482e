"""A counter that begins anew in the middle of a month, from a real Prometheus to the month's bill in the ledger."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from core.cases import observation, running
from ledger.conftest import url_of
from support.prometheus import make_spec, make_variant
from support.real_prometheus import History, serve

from flyball.core.money.bill import Charge, Entry, PathUse
from flyball.core.money.meter import begin, close, milliseconds, read
from flyball.core.observation import PodSpan, WorkloadSignals
from flyball.core.spec import Component, Prices, Unit, WorkloadSpec
from flyball.ledger.queries import total
from flyball.ledger.schema import Grain
from flyball.ledger.store import Ledger
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.settings import PrometheusSettings

RESET = 1_700_000_000.0
"""2023-11-14T22:13:20Z: the engine ends, and is there again within a scrape."""
START, END, STEP = RESET - 900, RESET + 900, 150
PER_SECOND = 2.0
COUNTED_BEFORE = 5_000_000.0
"""What the counter had reached: to take it for negative requests, or for new ones, could not be missed."""
LABELS = {"namespace": "team-a", "pod": "llm-6d4f5c9b7d-bcdfg", "model_name": "m", "engine": "0"}
POD = PodSpan("p", START, START)
BOOK = Prices("contract", (Component("logs", "Observability", Unit.REQUEST, Decimal("0.001")),))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    history, times = History(), [START - 1800 + 15 * step for step in range(241)]

    def counted(per_second: float, at: float) -> float:
        return per_second * (at - RESET) if at >= RESET else COUNTED_BEFORE + per_second * (at - START)

    for name, each in (("request_success", 1), ("prompt_tokens", 100), ("generation_tokens", 20)):
        labels = LABELS | ({"finished_reason": "stop"} if each == 1 else {})
        history.add(f"vllm:{name}_total", labels, times, lambda at, each=each: counted(each * PER_SECOND, at))
    for name, value in (("num_requests_running", 8.0), ("num_requests_waiting", 0.0)):
        history.add(f"vllm:{name}", LABELS, times, lambda _, value=value: value)
    with serve(history, tmp_path_factory.mktemp("prometheus")) as address:
        yield address


def workload() -> WorkloadSpec:
    variant = replace(make_variant(), gpus_per_replica=4, price_per_gpu_hour=Decimal(3))
    return make_spec(variants=(variant,), prices=BOOK)


async def looked(url: str, spec: WorkloadSpec) -> list[tuple[float, WorkloadSignals]]:
    metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60))
    found = []
    for step in range(1, int((END - START) / STEP) + 1):
        at = START + step * STEP
        found.append((at, (await metrics.read([spec], at))[spec.key]))
    await metrics.aclose()
    return found


async def test_a_counter_that_begins_anew_leaves_the_month_s_bill_right(
    url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    spec = workload()
    meter, entries = begin(milliseconds(START)), list[Entry]()
    for at, signals in await looked(url, spec):
        seen = replace(observation(at=at, state=running(1, "main", pods=(POD,))), signals=signals)
        meter, ended = read(meter, spec, seen, ())
        entries += ended
    entries += close(meter, spec)[1]
    ledger = Ledger(url_of("sqlite", request, tmp_path))
    ledger.append(entries)
    now = milliseconds(END)
    month = ledger.calendar.floor(now, Grain.MONTH)
    lines = [line.what for line in total(ledger, month, ledger.calendar.ceil(now, Grain.MONTH), now)]
    ledger.close()
    [use] = [each for each in lines if isinstance(each, PathUse)]
    [logs] = [each for each in lines if isinstance(each, Charge)]
    seconds = END - START
    assert use.gpu_ms == 4 * 1000 * seconds
    assert use.dollars == Decimal(6), "half an hour of four GPUs, whatever the counters say"
    assert use.measured_ms == 1000 * seconds
    assert float(use.requests) == pytest.approx(PER_SECOND * seconds, rel=0.05)
    assert float(use.output_tokens) == pytest.approx(20 * PER_SECOND * seconds, rel=0.05)
    assert (logs.quantity, logs.dollars) == (use.requests, use.requests * Decimal("0.001"))
