"""The figures of a run: counts, percentiles over requests, attained objectives; as JSON and as text.

The JSON (`"schema": 1`): `planned` requests of the trace; `sent`; of those `completed`, `failed` (by kind in `errors`,
by status in `statuses`) and `cancelled`; `refused` ones were never sent. Percentiles are over completed requests;
`itlSeconds` is each request's mean per output token, `itlMaxSeconds` its longest gap. `generator` tells whether the
measuring itself kept up: `sendLagSeconds` of all requests sent, and `cpuShare` of one core.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from flyball.core.units import format_duration, format_ratio
from flyball.lab.load.objectives import Attainment, LoadObjective, attain
from flyball.lab.load.results import ErrorKind, RequestRecord
from flyball.lab.load.runner import LoadResult

LATE_SECONDS = 0.1
"""A generator whose 99th percentile of send lag is above this does not play the trace any more."""


def summarize(result: LoadResult, objectives: Sequence[LoadObjective] = ()) -> dict[str, Any]:
    """The summary as JSON-ready values."""
    records, elapsed = result.records, max(result.elapsed_seconds, 1e-9)
    completed = [record for record in records if record.succeeded]
    errors = Counter(str(record.error) for record in records if not record.succeeded)
    refused, cancelled = errors[ErrorKind.REFUSED], errors[ErrorKind.CANCELLED]
    return {
        "schema": 1,
        "trace": result.plan.trace.name,
        "url": result.plan.url,
        "model": result.plan.model,
        "startedAt": result.started_at.isoformat(timespec="milliseconds"),
        "elapsedSeconds": round(result.elapsed_seconds, 3),
        "interrupted": result.interrupted,
        "planned": len(result.plan.trace),
        "sent": len(records) - refused,
        "completed": len(completed),
        "failed": len(records) - len(completed) - refused - cancelled,
        "cancelled": cancelled,
        "refused": refused,
        "errors": dict(sorted(errors.items())),
        "errorExamples": _examples(records),
        "statuses": _counts(str(record.status) for record in records if record.status is not None),
        "backends": _counts(record.backend for record in records if record.backend),
        "requestsPerSecond": round((len(records) - refused) / elapsed, 3),
        "outputTokensPerSecond": round(sum(record.received_tokens for record in records) / elapsed, 3),
        "inputTokens": sum(record.input_tokens for record in completed),
        "outputTokensAsked": sum(record.output_tokens for record in completed),
        "outputTokensReceived": sum(record.received_tokens for record in completed),
        "ttftSeconds": percentiles(record.ttft_seconds for record in completed),
        "itlSeconds": percentiles(record.itl_mean_seconds for record in completed),
        "itlMaxSeconds": percentiles(record.itl_max_seconds for record in completed),
        "e2eSeconds": percentiles(record.e2e_seconds for record in completed),
        "objectives": [_attainment(attainment) for attainment in attain(objectives, records)],
        "generator": {
            "sendLagSeconds": percentiles(record.send_lag_seconds for record in records),
            "cpuShare": round(result.cpu_seconds / elapsed, 3),
            "mostInFlight": result.most_in_flight,
        },
    }


def percentiles(values: Iterable[float | None]) -> dict[str, float] | None:
    """Mean, 50th, 95th and 99th percentile and maximum; None for no values."""
    known = np.array([value for value in values if value is not None])
    if not len(known):
        return None
    p50, p95, p99 = np.percentile(known, [50, 95, 99])
    figures = {"mean": known.mean(), "p50": p50, "p95": p95, "p99": p99, "max": known.max()}
    return {name: round(float(value), 6) for name, value in figures.items()}


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """The summary for people."""
    head = "stopped early" if summary["interrupted"] else "done"
    elapsed = format_duration(summary["elapsedSeconds"])
    shown = [name for name in ("completed", "failed", "cancelled", "refused") if summary[name] or name == "completed"]
    counts = ", ".join(f"{summary[name]} {name}" for name in shown)
    rates = f"{summary['requestsPerSecond']:.2f} requests/s, {summary['outputTokensPerSecond']:.0f} output tokens/s"
    tokens = f"{summary['outputTokensReceived']} of {summary['outputTokensAsked']} tokens asked came"
    lines = [
        f"{head}: {summary['sent']} of {summary['planned']} requests sent in {elapsed}; {counts}",
        f"rate: {rates}; {tokens}",
        "",
        f"{'':24}{'p50':>10}{'p95':>10}{'p99':>10}{'max':>10}",
    ]
    rows = {
        "time to first token": summary["ttftSeconds"],
        "inter-token latency": summary["itlSeconds"],
        "longest token gap": summary["itlMaxSeconds"],
        "end to end": summary["e2eSeconds"],
        "send lag (generator)": summary["generator"]["sendLagSeconds"],
    }
    lines += [
        f"{name:24}" + "".join(f"{_milliseconds(row, column):>10}" for column in ("p50", "p95", "p99", "max"))
        for name, row in rows.items()
    ]
    lines += _detail_lines(summary)
    return lines


def _detail_lines(summary: dict[str, Any]) -> list[str]:
    lines = [""] if summary["objectives"] or summary["errors"] or summary["backends"] else []
    for objective in summary["objectives"]:
        share = objective["attained"]
        verdict = (
            "no requests"
            if share is None
            else f"{format_ratio(share, 2)} of {objective['total']} " + ("met" if objective["met"] else "MISSED")
        )
        lines.append(f"{objective['objective']} ({objective['form']}): {verdict}")
    lines += [
        f"error {kind}: {count} × {summary['errorExamples'][kind]}".rstrip(" ×")
        for kind, count in summary["errors"].items()
        if kind != ErrorKind.CANCELLED
    ]
    if summary["backends"]:
        lines.append("served by: " + ", ".join(f"{backend} {count}" for backend, count in summary["backends"].items()))
    lag = summary["generator"]["sendLagSeconds"]
    if lag and lag["p99"] > LATE_SECONDS:
        lines.append(
            f"The generator itself was late (send lag p99 {_milliseconds(lag, 'p99')}, "
            f"{summary['generator']['cpuShare']:.0%} of a core): do not trust these latencies; "
            "lower --rate-scale or give it a freer machine"
        )
    return lines


def _attainment(attainment: Attainment) -> dict[str, Any]:
    objective = attainment.objective
    return {
        "objective": str(objective),
        "indicator": str(objective.indicator),
        "thresholdSeconds": objective.threshold_seconds,
        "target": objective.target,
        "form": attainment.form,
        "good": attainment.good,
        "total": attainment.total,
        "attained": attainment.share,
        "met": attainment.met,
    }


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _examples(records: Iterable[RequestRecord]) -> dict[str, str]:
    """The first detail of each kind of error."""
    examples: dict[str, str] = {}
    for record in records:
        if not record.succeeded:
            examples.setdefault(str(record.error), record.detail)
    return examples


def _milliseconds(row: dict[str, float] | None, column: str) -> str:
    if row is None:
        return "-"
    return f"{row[column]:.2f} s" if row[column] >= 10 else f"{row[column] * 1000:.0f} ms"
