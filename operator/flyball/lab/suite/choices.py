"""Which knobs a policy has: those of the rivals are the registry's, flyball's own is the cap on its quantile."""

from flyball.core.traffic.forecast import LEVELS
from flyball.lab.policies.registry import KNOBS, RIVALS, Knobs, names
from flyball.lab.suite.conclusion import BOUNDS, FLYBALL
from flyball.lab.suite.results import Knob

Setting = dict[str, Knob]

FLYBALL_KNOBS = Knobs("maxInsurance", LEVELS, {})
"""Swept and never searched: its default, the highest level, is one for everything."""

DEFAULT_POLICIES = (
    FLYBALL, "static-peak", "hpa-gpu", "hpa-queue", "keda-concurrency", "llmd-keda", "kpa", "aibrix-apa", "wva",
    "dynamo", "ray", "oracle", "floor",
)  # fmt: skip
"""What a scenario that names no policies is played under; the registry knows more."""


def known_policies() -> tuple[str, ...]:
    """Every policy that a scenario may name."""
    return names()


def knobs_of(policy: str) -> Knobs | None:
    """What may be turned; None for the bounds."""
    if policy in BOUNDS:
        return None
    return FLYBALL_KNOBS if policy == FLYBALL else KNOBS[policy]


def main_value(policy: str, knobs: Setting) -> Knob:
    """The value of the main knob, its default where it was not turned; None where there is none."""
    choice = knobs_of(policy)
    if choice is None:
        return None
    if choice.main in knobs:
        return knobs[choice.main]
    return LEVELS[-1] if policy == FLYBALL else RIVALS[policy].defaults()[choice.main]
