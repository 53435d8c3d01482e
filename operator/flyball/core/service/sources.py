"""Where each signal of a workload comes from, for people: nothing is decided by it."""

from enum import StrEnum

from flyball.core.values import dataclass


class SignalQuality(StrEnum):
    """How far a signal is the one meant."""

    EXACT = "Exact"
    ESTIMATED = "Estimated"
    STALE = "Stale"
    MISSING = "Missing"


@dataclass(frozen=True, slots=True)
class SignalSource:
    """One signal: the series or query that it is read from, and how good and how old (seconds) that is.

    `text` of a missing signal says why. `age_seconds` is None where the age cannot be known, as of most queries of
    users.
    """

    signal: str
    text: str
    quality: SignalQuality
    age_seconds: float | None = None
