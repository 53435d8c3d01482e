"""What people read beside sizes and money, in one place of a decision."""

from flyball.core.service.reliability import ReliabilityReport
from flyball.core.service.reuse import CacheReport
from flyball.core.service.tokens import TokenReport
from flyball.core.values import dataclass


@dataclass(frozen=True, slots=True)
class Efficiency:
    """One workload's reports; None where nothing of it is known."""

    reliability: ReliabilityReport | None = None
    tokens: TokenReport | None = None
    caches: tuple[CacheReport, ...] = ()
