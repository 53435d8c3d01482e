"""What a model server exports of how requests end, read through a real Prometheus, is what its clients saw."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from support.prometheus import make_objective, make_spec, make_variant
from support.real_prometheus import History, serve

from flyball.core.names import Indicator
from flyball.core.service.reliability import RequestEvent as E
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.settings import PrometheusSettings

NOW = 1_700_000_000.0
STEPS = 240
"""Each 15 s: an hour, over which what was counted is spread evenly."""


async def send(replica: Any) -> Counter[Any]:
    """Answers that stop and answers cut off, clients' mistakes, and errors; by finish reason, else by status."""
    bodies = [
        *({"prompt": "a b c", "max_tokens": 40} for _ in range(40)),
        *({"max_tokens": 1} for _ in range(7)),  # no prompt
    ]
    seen = await asyncio.gather(*(replica.post("/v1/completions", body) for body in bodies))
    await replica.set_faults(errorRate=1.0)
    seen += await asyncio.gather(*(replica.post("/v1/completions", bodies[0]) for _ in range(5)))
    return Counter(answer["choices"][0]["finish_reason"] if status == 200 else status for status, answer in seen)


async def history_of(replica: Any) -> History:
    """A pod whose counters rose from 0 to what they are within the last hour."""
    async with replica.session.get(replica.url + "/metrics") as response:
        families = list(text_string_to_metric_families(await response.text()))
    history, times = History(), [NOW - 15 * (STEPS - step) for step in range(STEPS + 1)]
    for sample in (sample for family in families for sample in family.samples):
        labels = sample.labels | {"namespace": "team-a", "pod": "llm-0"}
        rises = sample.name in ("vllm:request_success_total", "http_requests_total")
        if rises or sample.name.startswith("vllm:num_requests_"):
            value = sample.value

            def at(time: float, value: float = value, rises: bool = rises) -> float:
                return value * (time - times[0]) / (times[-1] - times[0]) if rises else value

            history.add(sample.name, labels, times, at)
    return history


async def test_how_requests_end_is_what_clients_saw(replica: Any, tmp_path: Path) -> None:
    seen = await send(replica)
    stopped, cut_off = seen["stop"], seen["length"]
    assert (seen[400], seen[500], stopped + cut_off) == (7, 5, 40)
    assert stopped, "some answers stop before the limit"
    assert cut_off, "and some do not"
    available, whole = make_objective(Indicator.AVAILABILITY, None), make_objective(Indicator.TRUNCATION, None)
    spec = make_spec(variants=(make_variant(kind="StatefulSet"),), objectives=(available, whole))
    with serve(await history_of(replica), tmp_path) as url:
        metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60))
        signals = (await metrics.read([spec], NOW))[spec.key]
        await metrics.aclose()
    hour = dict(next(each.counts for each in signals.own.events if each.window_seconds == 3600.0))
    assert {event: round(count) for event, count in hour.items() if round(count)} == {
        E.REQUESTS: 52,
        E.CLIENT_MISTAKE: 7,
        E.SERVICE_ERROR: 5,
        E.ANSWER: 40,
        E.TRUNCATED: cut_off,
    }
    shares = [signals.objective(objective.name).shares[-1] for objective in (available, whole)]
    assert [(round(share.good), round(share.total)) for share in shares] == [(40, 45), (stopped, 40)]
