"""What OpenCost says that models cost, where its inference cost collection is on (from OpenCost 1.121 on).

    llm_total_hourly_cost         dollars per hour of a model's pods, their idle time and shared pods included
    llm_cost_per_million_tokens   the same by the tokens, in and out, that vLLM counted

By pkg/inferencecost/exporter.go and llm-d's documentation: labels model_name, model_version, namespace, cost_basis,
workload_type, and of the second phase (empty for both ways together). Only the basis `allocation` adds up to a bill;
`usage` leaves idle GPUs out. A model that OpenCost could not join with its pods has 0, which is no cost of anything.
"""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal

from flyball.core.observation import believable
from flyball.telemetry.answers import Row
from flyball.telemetry.promql import SERIES_LABEL, either, tagged
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.transport import PrometheusClient

HOURLY, PER_MILLION = "llm_total_hourly_cost", "llm_cost_per_million_tokens"
_BY = "model_name, model_version, namespace, exported_namespace"


@dataclass(frozen=True, slots=True)
class ModelCost:
    """Dollars per hour and per million tokens of one model; None where OpenCost does not know."""

    namespace: str
    model: str
    version: str
    per_hour: Decimal | None
    per_million_tokens: Decimal | None


def query() -> str:
    """All that is asked, in one query."""
    allocation = 'cost_basis="allocation"'
    selected = {HOURLY: f"{HOURLY}{{{allocation}}}", PER_MILLION: f'{PER_MILLION}{{{allocation},phase=""}}'}
    return either(tagged(f"max by ({_BY}) ({series})", name) for name, series in selected.items())


def read(rows: Iterable[Row]) -> tuple[ModelCost, ...]:
    """The models that these rows tell of."""
    found: dict[tuple[str, str, str], dict[str, Decimal]] = {}
    for row in rows:
        labels = row.labels
        namespace = labels.get("exported_namespace") or labels.get("namespace", "")
        costs = found.setdefault((namespace, labels.get("model_name", ""), labels.get("model_version", "")), {})
        if believable(row.value) and row.value > 0:
            costs[labels.get(SERIES_LABEL, "")] = Decimal(repr(row.value))
    return tuple(ModelCost(*model, costs.get(HOURLY), costs.get(PER_MILLION)) for model, costs in sorted(found.items()))


def ask(settings: PrometheusSettings, at: float) -> tuple[tuple[ModelCost, ...], str]:
    """What Prometheus has of them at that time (epoch seconds), and a sentence where it did not answer."""
    with closing(PrometheusClient(settings)) as client:
        answer = client.ask(query(), at, settings.timeout_seconds)
    return read(answer.rows), answer.failure
