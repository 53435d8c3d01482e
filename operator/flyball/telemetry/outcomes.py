"""Business outcomes by users' own PromQL: one range query for each KPI and stretch of hours, one for each guard and
window.

Asked for once an hour and beside the ticks, with a client of its own. An outcome is counted for the five minutes whose
rate was read: minutes without a sample count nothing, and an hour without any is not counted at all.
"""

import asyncio
import math
from statistics import fmean

from flyball.core.ports import Unavailable
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.transport import PrometheusClient

STEP_SECONDS, HOUR_SECONDS = 300.0, 3600.0
TIMEOUT_SECONDS = 30.0
LOOKS = 168
"""So many times in a window a guard is looked at, every five minutes at the most: a week by the hour."""
LEAST_SEEN = 0.5
"""The share of these looks that must have found a figure."""


class OutcomeMetrics:
    """Reads KPIs and guards; implements `flyball.core.ports.OutcomeSource`."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self._client = PrometheusClient(settings)

    async def count(self, query: str, begin: float, end: float) -> dict[float, float]:
        """What a query of outcomes per second comes to in each hour that begins from `begin` to `end`, both multiples
        of an hour. Hours that nothing was measured in are left out. Raises Unavailable.
        """
        answer = await asyncio.to_thread(
            self._client.ask_range, query, begin + STEP_SECONDS, end, STEP_SECONDS, TIMEOUT_SECONDS
        )
        if answer.failure:
            raise Unavailable(answer.failure)
        found: dict[float, float] = {}
        for at, rows in answer.rows.items():
            values = [row.value for row in rows if math.isfinite(row.value) and row.value >= 0]
            if values:
                hour = (at - STEP_SECONDS) // HOUR_SECONDS * HOUR_SECONDS
                found[hour] = found.get(hour, 0.0) + sum(values) * STEP_SECONDS
        return found

    async def share(self, query: str, begin: float, end: float) -> float | None:
        """The mean share that a query gave from `begin` to `end`; None where it gave none, or several at a time, in
        half of the looks. Raises Unavailable.
        """
        step = max(STEP_SECONDS, math.ceil((end - begin) / LOOKS))
        answer = await asyncio.to_thread(
            self._client.ask_range, query, begin + step, max(end, begin + step), step, TIMEOUT_SECONDS
        )
        if answer.failure:
            raise Unavailable(answer.failure)
        values = [rows[0].value for rows in answer.rows.values() if len(rows) == 1 and 0 <= rows[0].value <= 1]
        looks = max(1, int((end - begin) // step))
        return fmean(values) if values and len(values) >= LEAST_SEEN * looks else None

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()
