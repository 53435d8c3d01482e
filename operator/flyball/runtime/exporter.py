"""Flyball's own metrics, computed at scrape time from the last tick's report: no stale label sets are left behind.

docs/reference/metrics.md is generated from `FAMILIES`.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flyball.core.names import GpuVerdict, WorkloadKey
from flyball.runtime import efficiency_status
from flyball.runtime.advice import Sample
from flyball.runtime.tick import Outcome, TickReport

WORKLOAD_LABELS = ("namespace", "workload")


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family: its name, what it says, and its labels beside namespace and workload where it has those."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    per_workload: bool = True
    counter: bool = False


FAMILIES = (
    Family("flyball_replicas_desired", "Replicas that a target should have.", ("target",)),
    Family("flyball_replicas_current", "Replicas that a target asks for.", ("target",)),
    Family("flyball_replicas_ready", "Replicas of a target that serve.", ("target",)),
    Family("flyball_arrivals_per_second", "Requests per second that arrive, overflow included."),
    Family("flyball_capacity_per_replica", "Requests per second that one replica carries within the objectives."),
    Family("flyball_objective_attained_ratio", "Share of good requests over the objective's window.", ("objective",)),
    Family("flyball_objective_burn_rate", "Error budget burn rate by window.", ("objective", "window")),
    Family("flyball_objective_latency_seconds", "Latency percentile over the short window.", ("objective", "quantile")),
    Family("flyball_objective_state", "1 for the state that the objective is in.", ("objective", "state")),
    Family("flyball_condition", "1 when a condition is True, 0 when False, -1 when Unknown.", ("type",)),
    Family("flyball_gpu_verdict", "1 for the GPU verdict that holds.", ("verdict",)),
    Family("flyball_gpu_tokens_per_second", "Output tokens per second and GPU."),
    Family("flyball_gpu_knee_tokens_per_second", "Output tokens per second and GPU at the fitted knee."),
    Family("flyball_requests_available_ratio", "Share of requests without a timeout, rate limit or service error."),
    Family("flyball_request_events_ratio", "Share of requests to which something happened.", ("event",)),
    Family("flyball_client_mistakes_ratio", "Share of all requests that were mistakes of clients."),
    Family("flyball_retry_amplification", "Requests that one request becomes by retries."),
    Family("flyball_tokens_per_request", "Mean tokens per request; all templates: none.", ("template", "kind")),
    Family("flyball_cache_hit_ratio", "Share of a cache's lookups that hit.", ("cache",)),
    Family("flyball_cache_point_worth_per_hour_dollars", "Dollars per hour of one point of hit rate.", ("cache",)),
    Family("flyball_cache_saving_per_hour_dollars", "Dollars per hour that hits save.", ("cache",)),
    Family("flyball_cost_per_hour_dollars", "Dollars per hour of all replicas."),
    Family("flyball_cost_month_to_date_dollars", "Dollars since the month began (UTC)."),
    Family("flyball_cost_per_request_dollars", "Dollars per served request over the last hour."),
    Family("flyball_roi_value", "The figure of an ROI target.", ("target",)),
    Family("flyball_roi_state", "1 for the state that the ROI target is in.", ("target", "state")),
    Family("flyball_fallback_share_ratio", "Share of traffic that overflows to the fallback."),
    Family(
        "flyball_shadow_replicas_desired", "Replicas that a rival policy asks for; nobody acts.", ("rival", "target")
    ),
    Family("flyball_shadow_cost_per_hour_dollars", "Dollars per hour of what a rival policy asks for.", ("rival",)),
    Family("flyball_shadow_state", "1 for the state that a rival policy is in.", ("rival", "state")),
    Family("flyball_write_failures", "Writes of the last tick that failed."),
    Family("flyball_workloads", "WorkloadSLOs by validity.", ("valid",), per_workload=False),
    Family("flyball_last_tick_timestamp_seconds", "When the last tick finished.", per_workload=False),
    Family("flyball_tick_duration_seconds", "How long the last tick took.", per_workload=False),
    Family("flyball_leader", "1 where this replica acts, 0 where it follows the one that does.", per_workload=False),
    Family("flyball_tasks", "Tasks of the process; it stays about the same.", per_workload=False),
    Family("flyball_ticks_total", "Ticks finished.", per_workload=False, counter=True),
    Family("flyball_ticks_failed_total", "Ticks that ended in a defect.", per_workload=False, counter=True),
    Family("flyball_defects_total", "Evaluations of one workload that ended in a defect.", (), False, True),
    Family("flyball_api_writes_total", "Writes sent to the API server.", ("resource", "verb"), False, True),
    Family("flyball_shadow_looks_missed_total", "Ticks at which no rival policy was asked.", (), False, True),
    Family("flyball_events_dropped_total", "Events held back to avoid a flood.", per_workload=False, counter=True),
    Family("flyball_decisions_recorded_total", "Decisions recorded for `flyball replay`.", (), False, True),
    Family("flyball_decisions_lost_total", "Decisions that could not be recorded.", (), False, True),
    Family("flyball_ledger_entries_total", "Entries of workloads written to the ledger.", (), False, True),
    Family("flyball_ledger_entries_lost_total", "Entries that no ledger can hold.", (), False, True),
    Family("flyball_ledger_failing", "1 while the ledger cannot be written.", per_workload=False),
)


@dataclass(slots=True)
class Tally:
    """Counts that the loop keeps across ticks. `alive_at` is when it last got on, or tried to begin."""

    report: TickReport | None = None
    finished_at: float = 0.0
    alive_at: float = 0.0
    duration_seconds: float = 0.0
    ticks: int = 0
    failed_ticks: int = 0
    defects: int = 0
    leads: Callable[[], int] = lambda: 1
    tasks: Callable[[], int | None] = lambda: None
    events_dropped: Callable[[], int] = lambda: 0
    looks_missed: Callable[[], int] = lambda: 0
    decisions_recorded: Callable[[], int] = lambda: 0
    decisions_lost: Callable[[], int] = lambda: 0
    ledger_written: Callable[[], int] | None = None
    ledger_lost: Callable[[], int] = lambda: 0
    ledger_failing: Callable[[], int] = lambda: 0
    writes: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count_write(self, resource: str, verb: str) -> None:
        """Count one write to the API server."""
        self.writes[resource, verb] += 1

    def finish(self, report: TickReport, at: float, duration_seconds: float) -> None:
        """Count a finished tick."""
        self.report, self.finished_at, self.alive_at, self.duration_seconds = report, at, at, duration_seconds
        self.ticks += 1
        self.defects += len(report.defects)


class SnapshotCollector(Collector):
    """Yields every family from the loop's tally."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterator[Metric]:
        """One pass over the last report; samples without a value are left out, since absence is not zero."""
        built: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}
        for family in FAMILIES:
            labels = [*(WORKLOAD_LABELS if family.per_workload else ()), *family.labels]
            kind = CounterMetricFamily if family.counter else GaugeMetricFamily
            built[family.name] = kind(family.name, family.help, labels=labels)
        for name, values, value in self._samples():
            if value is not None and math.isfinite(value):
                built[name].add_metric(values, value)
        yield from built.values()

    def _samples(self) -> Iterator[Sample]:
        tally = self._tally
        yield "flyball_leader", (), tally.leads()
        yield "flyball_tasks", (), tally.tasks()
        yield "flyball_ticks_total", (), tally.ticks
        yield "flyball_ticks_failed_total", (), tally.failed_ticks
        yield "flyball_defects_total", (), tally.defects
        yield "flyball_events_dropped_total", (), tally.events_dropped()
        yield "flyball_shadow_looks_missed_total", (), tally.looks_missed()
        yield "flyball_decisions_recorded_total", (), tally.decisions_recorded()
        yield "flyball_decisions_lost_total", (), tally.decisions_lost()
        if tally.ledger_written is not None:
            yield "flyball_ledger_entries_total", (), tally.ledger_written()
            yield "flyball_ledger_entries_lost_total", (), tally.ledger_lost()
            yield "flyball_ledger_failing", (), tally.ledger_failing()
        for (resource, verb), count in tally.writes.items():
            yield "flyball_api_writes_total", (resource, verb), count
        if tally.report is None:
            return
        yield "flyball_last_tick_timestamp_seconds", (), tally.finished_at
        yield "flyball_tick_duration_seconds", (), tally.duration_seconds
        yield "flyball_workloads", ("true",), len(tally.report.outcomes)
        yield "flyball_workloads", ("false",), len(tally.report.invalid)
        for outcome in tally.report.outcomes:
            for name, labels, value in _of_workload(outcome):
                yield name, (*_labels(outcome.spec.key), *labels), value


def _labels(key: WorkloadKey) -> tuple[str, str]:
    return (key.namespace, key.name)


def _of_workload(outcome: Outcome) -> Iterator[Sample]:
    decision = outcome.decision
    for variant in decision.variants:
        yield "flyball_replicas_desired", (variant.name,), variant.desired
        yield "flyball_replicas_current", (variant.name,), variant.current
        yield "flyball_replicas_ready", (variant.name,), variant.ready
    yield "flyball_arrivals_per_second", (), decision.arrivals_per_second
    yield "flyball_capacity_per_replica", (), decision.capacity_per_replica
    for report in decision.objectives:
        yield "flyball_objective_attained_ratio", (report.name,), report.attained
        yield "flyball_objective_burn_rate", (report.name, "short"), report.burn_short
        yield "flyball_objective_burn_rate", (report.name, "long"), report.burn_long
        for quantile, value in (("0.5", report.p50), ("0.95", report.p95), ("0.99", report.p99)):
            yield "flyball_objective_latency_seconds", (report.name, quantile), value
        yield "flyball_objective_state", (report.name, report.state), 1
    for condition in decision.conditions:
        yield "flyball_condition", (str(condition.type),), {True: 1, False: 0, None: -1}[condition.status]
    for verdict in GpuVerdict:
        yield "flyball_gpu_verdict", (str(verdict),), int(decision.gpu.verdict is verdict)
    yield "flyball_gpu_tokens_per_second", (), decision.gpu.tokens
    yield "flyball_gpu_knee_tokens_per_second", (), decision.gpu.knee_tokens
    yield from efficiency_status.samples(decision.efficiency)
    cost = decision.cost
    yield "flyball_cost_per_hour_dollars", (), None if cost.per_hour is None else float(cost.per_hour)
    yield "flyball_cost_month_to_date_dollars", (), float(cost.month_to_date)
    yield "flyball_cost_per_request_dollars", (), None if cost.per_request is None else float(cost.per_request)
    for roi in decision.roi:
        yield "flyball_roi_value", (roi.name,), roi.value
        yield "flyball_roi_state", (roi.name, roi.state), 1
    if decision.fallback is not None:
        yield "flyball_fallback_share_ratio", (), decision.fallback.share
    yield "flyball_write_failures", (), len(outcome.failures)
    yield from outcome.advised


def reference_page() -> str:
    """docs/reference/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "<!-- Generated by `flyball crd render`. Edit operator/flyball/runtime/exporter.py instead. -->",
        "",
        "What the operator says of itself and of every WorkloadSLO on `/metrics`. Series about a workload carry the",
        "labels `namespace` and `workload`, those of the WorkloadSLO. What is not known is absent: it is never 0. The",
        "values are those of the last tick, so that a workload that is gone leaves no series.",
        "",
        "| metric | type | labels | what it says |",
        "|---|---|---|---|",
    ]
    for family in FAMILIES:
        labels = [*(WORKLOAD_LABELS if family.per_workload else ()), *family.labels]
        kind = "counter" if family.counter else "gauge"
        lines.append(f"| `{family.name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {family.help} |")
    return "\n".join([*lines, "", "Beside these come the `process_*` metrics of the Python client.", ""])
