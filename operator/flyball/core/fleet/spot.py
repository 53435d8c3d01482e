"""Spot capacity is taken back: which share of a spot variant's replicas is expected to be missing at any time.

A reclaimed replica is missing until another one serves. Where replicas are lost at a rate h each and come back within s
seconds, the share h·s / (1 + h·s) of them is missing in the long run. The larger of that and of what the user declared
is reckoned with: a user may know of reclaims that have not come yet.

A reclaim is a ready replica that goes without having been asked to. What else takes one (a crash, a rollout that
replaces it) counts as well: the capacity is missing all the same.
"""

from flyball.core.memory import VariantMemory
from flyball.core.observation import VariantState
from flyball.core.spec import Variant
from flyball.core.values import replace

# Before anything was seen, one replica is taken to have lived for an hour: a first reclaim is no law yet.
PRIOR_SECONDS = 3600.0
# What was seen fades with this half-life: spot markets change from day to day.
HALF_LIFE_SECONDS = 86_400.0
# After a gap longer than this nothing is known of what ran meanwhile.
LONGEST_LOOK_SECONDS = 600.0
# With more than this missing, a variant could not be told from one that carries nothing.
MOST_RISK = 0.9


def watch(state: VariantState, known: VariantMemory, at: float) -> VariantMemory:
    """The memory after a look at a spot variant; `known` holds the ready replicas of the last one."""
    if known.watched_at is None or known.ready < 0 or not 0 < at - known.watched_at <= LONGEST_LOOK_SECONDS:
        return replace(known, watched_at=at)
    elapsed = at - known.watched_at
    keep = 0.5 ** (elapsed / HALF_LIFE_SECONDS)
    lost = max(0, min(known.ready, state.replicas) - state.ready) if state.exists else 0
    return replace(
        known,
        watched_at=at,
        reclaims=known.reclaims + lost,
        lost=keep * known.lost + lost,
        watched_seconds=keep * known.watched_seconds + known.ready * elapsed,
    )


def risk(variant: Variant, startup_seconds: float, known: VariantMemory) -> float:
    """The share of the variant's replicas that is expected to be missing; 0 where it is not on spot capacity."""
    if not variant.spot:
        return 0.0
    missing = known.lost / (known.watched_seconds + PRIOR_SECONDS) * startup_seconds
    return min(MOST_RISK, max(variant.spot_risk, missing / (1.0 + missing)))
