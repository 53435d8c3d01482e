"""ROI experiments: what was registered before the start, which block is whose, and what the blocks say.

The unit of analysis is a pair of blocks. In a switchback two neighbouring blocks are a pair, and a coin says which of
them is treated: GPUs, queues and caches are shared, so that arms which run side by side would disturb each other. The
coins follow from the object's uid, which nobody chooses, and can be thrown again by anybody. Side by side, a pair is
both arms in the same block; before and after, it is the same hours of two stretches of time. Those two are
observational: something else may have made the difference.

Effects are logarithms of treatment over baseline, so that the same percentage counts the same in quiet and busy hours;
of shares of cases that are claimed in percentage points they are plain differences. Times are whole milliseconds since
the epoch.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import field
from decimal import Decimal
from enum import StrEnum

from flyball.core.names import WorkloadKey
from flyball.core.spec import FallbackRoute
from flyball.core.value.outcomes import Counted
from flyball.core.values import dataclass

FEWEST_REQUESTS = 1
LEAST_MEASURED = 0.8
"""The least share of a block for which its requests must have been measured."""


class Metric(StrEnum):
    """What a hypothesis speaks of."""

    COST_PER_REQUEST = "CostPerRequest"
    COST_PER_MILLION_TOKENS = "CostPerMillionTokens"
    MISSED_REQUESTS = "MissedRequests"
    KPI = "Kpi"


class Direction(StrEnum):
    """Where the treatment is said to move the metric."""

    DECREASE = "Decrease"
    INCREASE = "Increase"


class Design(StrEnum):
    """How baseline and treatment are told apart."""

    SWITCHBACK = "Switchback"
    SIDE_BY_SIDE = "SideBySide"
    BEFORE_AFTER = "BeforeAfter"


class Evidence(StrEnum):
    """Whether the treatment can be said to have caused the difference."""

    RANDOMIZED = "Randomized"
    OBSERVATIONAL = "Observational"


class Arm(StrEnum):
    """Which of the two a block belongs to."""

    BASELINE = "Baseline"
    TREATMENT = "Treatment"


class GuardState(StrEnum):
    """How a guard stands: HELD and MISSED by what was counted, BREACHED beyond doubt."""

    HELD = "Held"
    MISSED = "Missed"
    BREACHED = "Breached"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Source:
    """Whose cost and requests an arm is made of: WorkloadSLOs by name or labels, all of their targets or only some.

    `kpi` is the arm's own name of the hypothesis' KPI, where the arms are told apart by KPIs of their own.
    """

    workloads: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    targets: tuple[str, ...] = ()
    kpi: str = ""

    def concerns(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a workload of the experiment's namespace belongs to the arm."""
        if self.workloads:
            return name in self.workloads
        return bool(self.labels) and all(labels.get(label) == value for label, value in self.labels)


@dataclass(frozen=True, slots=True)
class Guard:
    """An objective of the treatment's workloads that must hold meanwhile, with the share of good requests it wants."""

    objective: str
    target: float


@dataclass(frozen=True, slots=True)
class KpiGuard:
    """A KPI that must not get worse meanwhile by more than a share of what it is in the baseline (0.05: 5%)."""

    kpi: str
    worse_by: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """An experiment as it was registered. Ratios are fractions: `by` 0.18 of a decrease means treatment ≤ 0.82 × base,
    or with `points` treatment ≤ base - 0.18.

    `settle_ms` is how long after a block's end its outcomes are waited for. `alpha` is the share of experiments whose
    interval may ever miss the true effect. `before` and `after` are the stretches that BEFORE_AFTER compares. Without a
    `route` somebody else switches by the schedule.
    """

    key: WorkloadKey
    uid: str
    metric: Metric
    direction: Direction
    by: float
    baseline: Source
    treatment: Source
    design: Design = Design.SWITCHBACK
    objective: str = ""
    kpi: str = ""
    points: bool = False
    guards: tuple[str, ...] = ()
    kpi_guards: tuple[KpiGuard, ...] = ()
    settle_ms: int = 0
    route: FallbackRoute | None = None
    block_ms: int = 3_600_000
    washout_ms: int = 600_000
    min_pairs: int = 12
    min_ms: int = 7 * 86_400_000
    max_ms: int = 28 * 86_400_000
    alpha: float = 0.05
    start: int | None = None
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)

    @property
    def by_outcomes(self) -> bool:
        """Whether it takes KPIs to judge it."""
        return self.metric is Metric.KPI or bool(self.kpi_guards)

    @property
    def evidence(self) -> Evidence:
        """What a difference is evidence of."""
        return Evidence.RANDOMIZED if self.design is Design.SWITCHBACK else Evidence.OBSERVATIONAL

    def source(self, arm: Arm) -> Source:
        """What an arm is made of."""
        return self.treatment if arm is Arm.TREATMENT else self.baseline


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of time of one arm. Pairs are numbered from 0, and `place` is 0 for the first block of a pair."""

    pair: int
    place: int
    arm: Arm
    start: int
    end: int

    def counted_from(self, plan: Plan) -> int:
        """When what it costs begins to count: after the washout where traffic was switched, or may have been."""
        return self.start + plan.washout_ms if plan.design is Design.SWITCHBACK else self.start


@dataclass(frozen=True, slots=True)
class Measured:
    """What a block showed. `objectives` are good and all requests by objective, `kpis` outcomes by KPI (that of the
    hypothesis under its name there); `unusable` says why it cannot count.
    """

    block: Block
    dollars: Decimal = Decimal(0)
    requests: Decimal = Decimal(0)
    tokens: Decimal = Decimal(0)
    objectives: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    kpis: Mapping[str, Counted] = field(default_factory=dict)
    unusable: str = ""


def begin_of(plan: Plan, now: int) -> int:
    """When the first block begins of an experiment that starts now: with a whole block since the epoch."""
    if plan.design is Design.BEFORE_AFTER:
        return plan.before[0]
    earliest = max(now, plan.start or 0)
    return -(-earliest // plan.block_ms) * plan.block_ms


def end_of(plan: Plan, begin: int) -> int:
    """When the last block that fits in has ended."""
    if plan.design is Design.BEFORE_AFTER:
        return plan.after[1]
    pair = plan.block_ms * (2 if plan.design is Design.SWITCHBACK else 1)
    return begin + max(1, plan.max_ms // pair) * pair


def treated_first(plan: Plan, pair: int) -> bool:
    """The coin of a pair, by the object's uid: the last bit of SHA-256 of `uid:pair`."""
    return bool(hashlib.sha256(f"{plan.uid}:{pair}".encode()).digest()[-1] & 1)


def blocks_of(plan: Plan, begin: int, pair: int) -> tuple[Block, Block]:
    """Both blocks of a pair."""
    if plan.design is Design.SWITCHBACK:
        start = begin + 2 * pair * plan.block_ms
        arms = (Arm.TREATMENT, Arm.BASELINE) if treated_first(plan, pair) else (Arm.BASELINE, Arm.TREATMENT)
        return (
            Block(pair, 0, arms[0], start, start + plan.block_ms),
            Block(pair, 1, arms[1], start + plan.block_ms, start + 2 * plan.block_ms),
        )
    first, second = (
        (plan.before[0], plan.after[0]) if plan.design is Design.BEFORE_AFTER else (begin, begin)
    )  # the same time for both where they run side by side
    shift = pair * plan.block_ms
    return (
        Block(pair, 0, Arm.BASELINE, first + shift, first + shift + plan.block_ms),
        Block(pair, 1, Arm.TREATMENT, second + shift, second + shift + plan.block_ms),
    )


def pairs_of(plan: Plan, begin: int, until: int) -> int:
    """How many pairs have ended by then, of all that there are."""
    end = end_of(plan, begin)
    if plan.design is Design.BEFORE_AFTER:
        whole = min(plan.before[1] - plan.before[0], plan.after[1] - plan.after[0])
        return max(0, min(whole, min(until, end) - plan.after[0]) // plan.block_ms)
    length = plan.block_ms * (2 if plan.design is Design.SWITCHBACK else 1)
    return max(0, (min(until, end) - begin) // length)


def block_at(plan: Plan, begin: int, at: int) -> Block | None:
    """The block of a switchback that holds a time; None before the first and after the last."""
    if plan.design is not Design.SWITCHBACK or not begin <= at < end_of(plan, begin):
        return None
    pair, rest = divmod(at - begin, 2 * plan.block_ms)
    return blocks_of(plan, begin, pair)[rest // plan.block_ms]
