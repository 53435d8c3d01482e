"""Business outcomes by users' own PromQL: one range query for each KPI and stretch of hours, one query for each guard.

Asked for once an hour and beside the ticks, with a client of its own. An outcome is counted for the five minutes whose
rate was read: minutes without a sample count nothing, and an hour without any is not counted at all.
"""

import asyncio
import math

from flyball.core.ports import Unavailable
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.transport import PrometheusClient

STEP_SECONDS, HOUR_SECONDS = 300.0, 3600.0
TIMEOUT_SECONDS = 30.0


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

    async def share(self, query: str, at: float) -> float | None:
        """The share that a query gives at that time; None where it gives none, or several. Raises Unavailable."""
        answer = await asyncio.to_thread(self._client.ask, query, at, TIMEOUT_SECONDS)
        if answer.failure:
            raise Unavailable(answer.failure)
        values = [row.value for row in answer.rows]
        return values[0] if len(values) == 1 and 0 <= values[0] <= 1 else None

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()
