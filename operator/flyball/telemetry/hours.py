"""The load of all workloads by the hour, from the same series as the ticks': one range query for each engine profile.

Asked for seldom and beside the ticks, with a client of its own: what is slow here holds nothing up. An hour's peak is
the highest of its twelve rates over five minutes, of all the pods of a target; of several targets the peaks are added,
which is what they would be if they fell together.
"""

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence

from flyball.core.advice.outlook import HourOfLoad
from flyball.core.names import WorkloadKey
from flyball.core.ports import Unavailable
from flyball.core.spec import WorkloadSpec
from flyball.core.traffic.trends import HOUR_SECONDS, PEAK_SECONDS
from flyball.telemetry import queries
from flyball.telemetry.answers import Answer, Row, Table
from flyball.telemetry.discovery import Engines
from flyball.telemetry.freshness import total
from flyball.telemetry.profiles import ENGINES, EngineProfile
from flyball.telemetry.profiles.model import Counter
from flyball.telemetry.promql import Scope, duration, either, folded, series, tagged
from flyball.telemetry.refusal import refusal
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.transport import PrometheusClient

RATE, PEAK = "rate", "peak"
COMPLETIONS_OVERRIDE = "Completions"
TIMEOUT_SECONDS = 60.0
"""A day by the hour is two dozen evaluations over an hour's samples, twelve of them for the peaks: half of what
Prometheus itself allows a query by default (query.timeout)."""


class HourlyMetrics:
    """Reads hours of load; implements `flyball.core.ports.HourlyLoad`."""

    def __init__(self, settings: PrometheusSettings, engines: Engines | None = None) -> None:
        self._client = PrometheusClient(settings)
        self._engines = engines or Engines()

    async def read_hours(
        self, workloads: Sequence[WorkloadSpec], begin: float, end: float
    ) -> Mapping[WorkloadKey, Sequence[HourOfLoad]]:
        """The whole hours from `begin` to `end`, both multiples of an hour. Raises Unavailable."""
        found: dict[WorkloadKey, Sequence[HourOfLoad]] = {}
        for name, profile in ENGINES.items():
            mine = self._engines.running(name, filter(_by_profile, workloads))
            if mine:
                text = hours_query(profile, queries.plan(mine, PEAK_SECONDS).scope)
                answer = await asyncio.to_thread(
                    self._client.ask_range, text, begin + HOUR_SECONDS, end, HOUR_SECONDS, TIMEOUT_SECONDS
                )
                if answer.failure:
                    raise Unavailable(answer.failure)
                for key, hours in hours_of(mine, answer.rows, begin, end).items():
                    found[key] = _together(found.get(key), hours)
        return found

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()


def _together(some: Sequence[HourOfLoad] | None, more: Sequence[HourOfLoad]) -> Sequence[HourOfLoad]:
    """The hours of a workload whose targets run different engines."""
    if some is None:
        return more
    return [one.joined(other) for one, other in zip(some, more, strict=True)]


def _by_profile(spec: WorkloadSpec) -> bool:
    """Whether what a workload finishes is what its engine's profile counts."""
    return not refusal(spec) and all(name != COMPLETIONS_OVERRIDE for name, _ in spec.telemetry.overrides)


def hours_query(profile: EngineProfile, scope: Scope) -> str:
    """Of the hour before each step: mean and highest rate of completions, and what mean prompts are made of."""

    def rate(counter: Counter, window: float) -> str:
        ranges = (f"rate({series(s, scope.matcher())}[{duration(window)}])" for s in counter.selectors)
        return f"sum by ({scope.by()}) ({either(folded(text, scope, profile.repeated) for text in ranges)})"

    steps = f"[{duration(HOUR_SECONDS)}:{duration(PEAK_SECONDS)}]"
    parts = [
        tagged(rate(profile.completions, HOUR_SECONDS), RATE),
        tagged(f"max_over_time({rate(profile.completions, PEAK_SECONDS)}{steps})", PEAK),
    ]
    if lengths := profile.prompt_tokens_per_request:
        parts += (
            tagged(rate(lengths.suffixed(suffix), HOUR_SECONDS), f"{queries.PROMPT_LENGTH}{suffix}")
            for suffix in ("_sum", "_count")
        )
    return either(parts)


def hours_of(
    workloads: Iterable[WorkloadSpec], rows: Mapping[float, Sequence[Row]], begin: float, end: float
) -> dict[WorkloadKey, Sequence[HourOfLoad]]:
    """Every hour of every workload; one that nothing was measured in is NaN."""
    ends = [begin + HOUR_SECONDS * index for index in range(1, round((end - begin) / HOUR_SECONDS) + 1)]
    tables = {at: Table(Answer(tuple(rows.get(at, ())))) for at in ends}
    return {spec.key: [_hour(spec, at, tables[at]) for at in ends] for spec in workloads}


def _hour(spec: WorkloadSpec, at: float, table: Table) -> HourOfLoad:
    def known(part: str) -> float:
        return total(row.value for row in table.of_workload(spec, part)).otherwise(math.nan)

    requests = known(f"{queries.PROMPT_LENGTH}_count")
    prompt = known(f"{queries.PROMPT_LENGTH}_sum") / requests if requests > 0 else math.nan
    return HourOfLoad(at, known(RATE), known(PEAK), prompt)
