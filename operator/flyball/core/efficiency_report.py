"""What people read beside sizes and money, in one place of a decision."""

from dataclasses import dataclass

from flyball.core.reliability import ReliabilityReport
from flyball.core.reuse import CacheReport
from flyball.core.tokens import TokenReport


@dataclass(frozen=True, slots=True)
class Efficiency:
    """One workload's reports; None where nothing of it is known."""

    reliability: ReliabilityReport | None = None
    tokens: TokenReport | None = None
    caches: tuple[CacheReport, ...] = ()
