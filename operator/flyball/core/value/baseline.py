"""A baseline: what a workload cost and was worth before a change, recorded first, so that a saving can be claimed.

It can be recorded over two whole weeks at least, with requests enough to divide by and with all of the cost known. It
is stale when prices or the KPIs' definitions are others than then, or after half a year: what is compared would differ
by more than the change.
"""

import hashlib
from decimal import Decimal

from flyball.core.spec import WorkloadSpec
from flyball.core.values import dataclass

DAY_MS = 86_400_000
FEWEST_DAYS, FEWEST_REQUESTS = 14, 100
STALE_DAYS = 180


@dataclass(frozen=True, slots=True)
class Baseline:
    """Figures over `begin` to `end` (milliseconds): dollars per request without and with labour, worth per dollar.

    `fingerprint` is of the prices and KPI definitions that it was made under. A figure that could not be told is None.
    `paths` are the requests and dollars of each path; with `fixed`, what no request caused, `labor` and `value` they
    are what the figures were made of. One that was recorded before these were kept has none.
    """

    begin: int
    end: int
    made_at: int
    fingerprint: str
    requests: Decimal
    cost_per_request: Decimal
    cost_to_serve: Decimal
    value_cost_ratio: float | None = None
    kpis: tuple[tuple[str, float], ...] = ()
    note: str = ""
    paths: tuple[tuple[str, Decimal, Decimal], ...] = ()
    fixed: Decimal = Decimal(0)
    labor: Decimal = Decimal(0)
    value: Decimal = Decimal(0)

    def kpi(self, name: str) -> float | None:
        """That KPI's figure; None where it was not told."""
        return dict(self.kpis).get(name)


def unusable(days: float, requests: Decimal, unpriced: tuple[str, ...], whole: bool, unknown: tuple[str, ...]) -> str:
    """Why no baseline can be recorded over such a window, in a sentence; empty where one can."""
    if days < FEWEST_DAYS:
        return f"{days:.1f} days are too few: weeks differ, so take {FEWEST_DAYS} or more"
    if not whole:
        return "the ledger does not reach back to the beginning of it; take a later --from"
    if requests < FEWEST_REQUESTS:
        return f"{requests:.0f} requests are too few to divide by: {FEWEST_REQUESTS} are needed"
    if unpriced:
        return f"nobody knows what {', '.join(unpriced)} cost: add the prices, and record it over days that have them"
    if unknown:
        return "; ".join(unknown)
    return ""


def stale(baseline: Baseline, fingerprint: str, now: int) -> str:
    """Why a baseline is no longer to be compared with, in a sentence; empty where it is."""
    if baseline.fingerprint != fingerprint:
        return "prices or KPI definitions are others than when it was recorded"
    if now - baseline.end > STALE_DAYS * DAY_MS:
        return f"it ended more than {STALE_DAYS} days ago"
    return ""


def fingerprint(spec: WorkloadSpec) -> str:
    """A name for all that figures depend on beside what happens: prices, what outcomes are worth, and their guards.

    What serves the workload is left out: that is what a baseline is compared across.
    """
    gpus = sorted({(v.accelerator or "", str(v.price_per_gpu_hour), v.spot) for v in spec.variants})
    parts = (gpus, spec.prices.components, spec.prices.hosted, spec.value_per_request, spec.value)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
