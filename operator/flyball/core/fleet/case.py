"""All that sizing looks at in one tick, and what several of its steps read off it."""

from collections.abc import Sequence

from flyball.core.decision import ObjectiveReport
from flyball.core.fleet.sizing import VariantPlan, startup_seconds
from flyball.core.memory import Memory
from flyball.core.money.pacing import Pace
from flyball.core.observation import Observation, VariantState
from flyball.core.service import slo
from flyball.core.spec import Variant, WorkloadSpec
from flyball.core.traffic.demand import Situation
from flyball.core.values import dataclass

# A waiting queue is drained within this time at the latest, however long a replica takes to start, and within the
# shortest at the earliest: what a shorter one would ask for is idle as soon as it is there.
SHORTEST_DRAIN_SECONDS, LONGEST_DRAIN_SECONDS = 30.0, 300.0


@dataclass(frozen=True, slots=True)
class Case:
    """All that sizing looks at in one tick."""

    spec: WorkloadSpec
    observation: Observation
    situation: Situation
    objectives: tuple[ObjectiveReport, ...]
    plans: tuple[VariantPlan, ...]
    paces: tuple[Pace, ...] = ()

    @property
    def burning(self) -> list[str]:
        """The objectives that spend their budget too fast, as announced, and that replicas can do something for."""
        return [o.name for o in self.objectives if o.state in (slo.BREACHED, slo.BURNING) and not o.elsewhere]

    @property
    def breached(self) -> bool:
        """Whether one of them is missed over more than the shortest window."""
        return any(o.state == slo.BREACHED and not o.elsewhere for o in self.objectives)

    @property
    def burns_now(self) -> bool:
        """Whether one of them does so beyond doubt in the shortest window."""
        return any(o.burns_now and not o.elsewhere for o in self.objectives)

    def settled(self, memory: Memory) -> bool:
        """Whether the last change of ready replicas had the time to show its effect.

        That is a telemetry window while requests wait; without a queue two, since what burns then may be the queue that
        the change has drained and the window still remembers.
        """
        windows = 1.0 if self.situation.waiting > 0 else 2.0
        changed = max((memory.variant(plan.variant.name).ready_changed_at for plan in self.plans), default=0.0)
        return self.observation.at - changed >= windows * self.observation.signals.window_seconds


def case_of(
    spec: WorkloadSpec,
    observation: Observation,
    situation: Situation,
    objectives: tuple[ObjectiveReport, ...],
    states: tuple[VariantState, ...],
) -> Case:
    """What sizing looks at."""
    wakes = spec.scaling.to_zero is not None
    risks = situation.risks or (0.0,) * len(states)
    plans = tuple(
        VariantPlan(variant, state, capacity, wakes, risk, _spare(variant, spec, states))
        for variant, state, capacity, risk in zip(spec.variants, states, situation.capacities, risks, strict=True)
    )
    return Case(spec, observation, situation, objectives, plans)


def _spare(variant: Variant, spec: WorkloadSpec, states: tuple[VariantState, ...]) -> bool:
    """Whether a variant that Flyball scales, other than this one, always keeps a replica."""
    others = zip(spec.variants, states, strict=True)
    return any(v.min_replicas > 0 and s.manageable for v, s in others if v.name != variant.name)


def drain_seconds(case: Case) -> float:
    """Within what time a waiting queue is to be drained."""
    startup = max(startup_seconds(p.variant, p.state) for p in case.plans)
    return min(LONGEST_DRAIN_SECONDS, max(startup, SHORTEST_DRAIN_SECONDS))


def floored(plans: Sequence[VariantPlan], needs: dict[str, int]) -> dict[str, int]:
    """Those needs, and of no variant fewer than run."""
    return {p.variant.name: max(needs[p.variant.name], p.state.replicas) for p in plans}
