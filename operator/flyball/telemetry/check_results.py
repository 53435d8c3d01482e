"""What a check of telemetry found, and what each lack costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from flyball.telemetry.profiles.model import Evidence

REQUIRED = frozenset({"Running", "Waiting", "Completions", "Requests"})
"""Signals without which the profile is of no use."""

COSTS: Mapping[str, str] = {
    "Running": "nothing is decided: neither demand nor batches are known",
    "Waiting": "nothing is decided: a queue would not be seen",
    "Completions": "nothing is decided: arrivals are not known",
    "PromptTokens": "costs per million tokens are not known",
    "OutputTokens": "costs per million tokens are not known",
    "KVCacheUsage": "pressure on GPU memory is not seen, and the verdict on GPUs rests on the queue and utilization",
    "PromptTokensPerRequest": "what a replica carries does not follow the length of prompts",
    "OutputTokensPerRequest": "what a replica carries does not follow the length of answers",
    "SecondsPerOutputToken": "what a replica carries is not measured: sizes rest on the prior for its GPU",
    "CachedPromptShare": "prompts are sized as if nothing of them were cached",
    "TimeToFirstToken": "objectives on it are not judged",
    "InterTokenLatency": "objectives on it are not judged",
    "EndToEnd": "objectives on it are not judged",
    "QueueTime": "objectives on it are not judged",
    "Requests": "nothing of the gateway can be counted",
    "GPUUtilization": "the verdict on GPUs rests on the queue, the batch and tokens alone",
}
"""What is worse without a signal."""
AT_THE_ENGINE = "objectives on it are counted at the engine alone, so none of a segment"
COSTS_AT_GATEWAYS: Mapping[str, str] = {
    **COSTS,
    "TimeToFirstToken": AT_THE_ENGINE,
    "InterTokenLatency": "nothing: objectives on it are counted at the engine",
    "QueueTime": AT_THE_ENGINE,
}
"""What is worse where a gateway does not tell it."""


class State(StrEnum):
    """What was found of a signal."""

    FOUND = "Found"
    ESTIMATED = "Estimated"
    STALE = "Stale"
    MISSING = "Missing"
    REFUSED = "Refused"


UNUSABLE = frozenset({State.STALE, State.MISSING, State.REFUSED})


@dataclass(frozen=True, slots=True)
class SignalCheck:
    """One signal. `source` is the name that it was found under, and of one that is not there what is known of that.

    `series` are how many there are, `age_seconds` is that of the newest. `costs` is what its lack costs. A name that is
    `documented` was not held to the software, though others of its profile were.
    """

    signal: str
    state: State
    source: str = ""
    series: int = 0
    age_seconds: float | None = None
    looked_for: tuple[str, ...] = ()
    costs: str = ""
    documented: bool = False


@dataclass(frozen=True, slots=True)
class ProfileCheck:
    """One profile. `evidence` is what held its names to the software, `held_against` says it in a sentence. `versions`
    are those that it is made for, `seen_version` is what an exporter says of itself, and `notes` are sentences on what
    is odd.
    """

    profile: str
    kind: str
    evidence: Evidence
    held_against: str
    versions: str
    seen_version: str
    signals: tuple[SignalCheck, ...]
    notes: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether everything that is required is there."""
        return not {check.signal for check in self.signals if check.state in UNUSABLE} & REQUIRED
