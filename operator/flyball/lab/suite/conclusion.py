"""What a scenario taught: its runs, pooled over seeds, and what kind of a question it was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flyball.lab.policies.model import Objective
from flyball.lab.suite.results import Pooled, Role, Run, by_setting, pooled
from flyball.lab.suite.traffic_kind import TrafficKind

FLYBALL, FLOOR, ORACLE, STATIC_PEAK = "flyball", "floor", "oracle", "static-peak"
BOUNDS = (FLOOR, ORACLE, STATIC_PEAK)
"""Policies that see the trace, or were chosen with it: yardsticks, and no rivals."""

Series = Mapping[str, Sequence[float | None]]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """A scenario that was run, or the sentence that says why it was not.

    `series` holds, by policy, what pictures are drawn from (figures.run_series, of the first seed). `not_counted` says
    why the scenario is reported and not counted, and is empty where it counts. `faults` are of single runs.
    """

    name: str
    about: str
    objectives: tuple[Objective, ...]
    seeds: int
    runs: tuple[Run, ...] = ()
    kind: TrafficKind | None = None
    span_seconds: float = 0.0
    warmup_seconds: float = 0.0
    by_cost: bool = False
    """Costs are compared in dollars: there are several variants."""
    series: Mapping[str, Series] = field(default_factory=dict)
    skipped: str = ""
    not_counted: str = ""
    faults: tuple[str, ...] = ()

    @property
    def counted_seconds(self) -> float:
        """From the end of warm-up to the last arrival."""
        return self.span_seconds - self.warmup_seconds

    @property
    def settings(self) -> list[Pooled]:
        """Every setting of every policy, pooled over its seeds."""
        return [pooled(runs, self.objectives) for runs in by_setting(self.runs).values()]

    @property
    def standings(self) -> list[Pooled]:
        """One line for each policy as it was played in full: those that meet the objectives by cost, then the rest by
        attainment, with the yardsticks on top.
        """
        lines = [line for line in self.settings if line.role is not Role.SWEEP]
        order = {name: place for place, name in enumerate(BOUNDS)}
        return sorted(
            lines,
            key=lambda line: (
                order.get(line.policy, len(order)),
                not line.meets,
                line.cost if line.meets else -line.margin,
            ),
        )

    def line(self, policy: str) -> Pooled | None:
        """The standing of one policy; None where it was not played."""
        return next((line for line in self.standings if line.policy == policy), None)
