"""The ROIExperiment: a claim in a form that can be checked, and how it is put to the test."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from flyball.api.model import ApiModel, ListMap, ListSet, Rule, rule
from flyball.api.resource import PrinterColumn, Resource, ResourceNames
from flyball.api.scalars import Change, DateTime, Int32, ItemName, ObjectName, Percent, Prose
from flyball.api.v1alpha1.demandevent import WorkloadSelector
from flyball.api.v1alpha1.status import StatusCondition
from flyball.core.evidence.experiment import Arm, Design, Direction, Evidence, GuardState, Metric
from flyball.core.evidence.experiment_verdict import Reason, Verdict


class Hypothesis(ApiModel):
    """What the treatment is said to do."""

    metric: Metric
    """What it changes. CostPerRequest and CostPerMillionTokens are costs in full; MissedRequests is the share of
    requests that miss an objective; Kpi is the share of cases, or the minutes, of a business outcome.
    """
    direction: Direction
    """Whether the metric goes down or up."""
    by: Change
    """By how much at least, relative to the baseline such as 18%; of a KPI that is a share of cases also in percentage
    points, such as '3 points'. 0% claims a direction only.
    """
    objective: ItemName | None = None
    """Name of the objective, with the metric MissedRequests."""
    kpi: ItemName | None = None
    """Name of the KPI, with the metric Kpi: one of spec.value.kpis of the arms' WorkloadSLOs."""
    statement: Prose | None = None
    """The claim in words, for people."""

    @rule(
        cel="(self.metric == 'MissedRequests') == has(self.objective)",
        field=".objective",
        problem="an objective goes with the metric MissedRequests, and only with it",
        fix="write objective beside MissedRequests, or leave it out",
    )
    def _objective_with_its_metric(self) -> bool:
        return (self.metric is Metric.MISSED_REQUESTS) == (self.objective is not None)

    @rule(
        cel="(self.metric == 'Kpi') == has(self.kpi)",
        field=".kpi",
        problem="a KPI goes with the metric Kpi, and only with it",
        fix="write kpi beside Kpi, or leave it out",
    )
    def _kpi_with_its_metric(self) -> bool:
        return (self.metric is Metric.KPI) == (self.kpi is not None)

    @rule(
        cel="self.metric == 'Kpi' || self.by.endsWith('%')",
        field=".by",
        problem="points go with the metric Kpi only",
        fix="write a percentage, relative to the baseline",
    )
    def _points_of_a_kpi(self) -> bool:
        return self.metric is Metric.KPI or self.by.endswith("%")

    @rule(
        cel="self.direction == 'Increase' || !self.by.startsWith('100')",
        field=".by",
        problem="nothing decreases by all of it",
        fix="write less than 100%",
    )
    def _something_is_left(self) -> bool:
        return self.direction is Direction.INCREASE or not self.by.startswith("100")


class ExperimentArm(ApiModel):
    """Whose cost and requests count for an arm."""

    workloads: Annotated[tuple[ObjectName, ...], Field(min_length=1, max_length=16), ListSet()] | None = None
    """Names of WorkloadSLOs in this namespace."""
    selector: WorkloadSelector | None = None
    """WorkloadSLOs in this namespace by their labels, in place of workloads."""
    targets: Annotated[tuple[ItemName, ...], Field(max_length=16), ListSet()] = ()
    """Names of their targets that count, such as those of one version; all of them when left out."""
    kpi: ItemName | None = None
    """Name of the hypothesis' KPI in this arm, where the arms are told apart by KPIs of their own, such as by a label
    in their queries. Not in a Switchback, where the time tells.
    """
    begin: DateTime | None = None
    """With the design BeforeAfter, when the stretch of time begins."""
    end: DateTime | None = None
    """With the design BeforeAfter, when it ends."""

    @rule(
        cel="has(self.workloads) != has(self.selector)",
        problem="an arm needs either workloads or a selector",
        fix="write the WorkloadSLOs' names under workloads, or their labels under selector.matchLabels",
    )
    def _one_way_to_name_workloads(self) -> bool:
        return (self.workloads is None) != (self.selector is None)

    @rule(
        cel="has(self.begin) == has(self.end) && (!has(self.begin) || self.begin < self.end)",
        field=".end",
        problem="a stretch of time needs a begin and a later end",
        fix="write both, the later one under end",
    )
    def _begin_before_end(self) -> bool:
        if self.begin is None or self.end is None:
            return self.begin is None and self.end is None
        return datetime.fromisoformat(self.begin) < datetime.fromisoformat(self.end)


class ExperimentRoute(ApiModel):
    """A rule of an HTTPRoute whose weights are moved from one backend to the other and back."""

    http_route: ObjectName
    """Name of the HTTPRoute in this namespace."""
    baseline: ObjectName
    """Service that gets all traffic in blocks of the baseline."""
    treatment: ObjectName
    """Service that gets all traffic in blocks of the treatment."""

    @rule(
        cel="self.baseline != self.treatment",
        field=".treatment",
        problem="both arms have the same backend",
        fix="name two Services",
    )
    def _two_backends(self) -> bool:
        return self.baseline != self.treatment

    rule: ObjectName | None = None
    """Name of its rule; not needed where a single rule holds both backends."""


class ExperimentGuard(ApiModel):
    """An objective of the treatment's WorkloadSLOs that must hold meanwhile."""

    objective: ItemName
    """Its name."""


class ExperimentKpiGuard(ApiModel):
    """A KPI that must not get worse meanwhile: not rise where lower is better, not fall otherwise."""

    kpi: ItemName
    """Its name in spec.value.kpis of the arms' WorkloadSLOs."""
    worse_by: Percent = "0%"
    """By how much it may get worse, relative to the baseline."""

    @rule(
        cel="!self.worseBy.startsWith('100')",
        field=".worseBy",
        problem="a KPI that may get worse by all of it is no guard",
        fix="write less than 100%",
    )
    def _something_is_guarded(self) -> bool:
        return not self.worse_by.startswith("100")


class ROIExperimentSpec(ApiModel):
    """What is claimed, of whom, and how it is tested. Not to be changed once the experiment has started."""

    hypothesis: Hypothesis
    """What the treatment is said to do."""
    baseline: ExperimentArm
    """What it is held against."""
    treatment: ExperimentArm
    """What is tried."""
    design: Design = Design.SWITCHBACK
    """How the two are told apart. Switchback: all traffic goes to one of them for a block of time, by a coin for each
    pair of blocks. SideBySide: both at the same time, by whatever splits the traffic; observational. BeforeAfter: two
    stretches of time that are over; observational.
    """
    route: ExperimentRoute | None = None
    """What Flyball switches in a Switchback. Without it, whoever runs the experiment switches, by status.arm."""
    guards: Annotated[tuple[ExperimentGuard, ...], Field(max_length=8), ListMap("objective")] = ()
    """Objectives that must hold for a claim to be supported; one that is surely missed ends the experiment."""
    kpi_guards: Annotated[tuple[ExperimentKpiGuard, ...], Field(max_length=8), ListMap("kpi")] = ()
    """KPIs that must not get worse for a claim to be supported; one that surely does ends the experiment."""
    settle_hours: Annotated[Int32, Field(ge=1, le=120)] = 24
    """With KPIs, how long after the end of a block its outcomes are waited for: until users would have come back and
    checks are done. What is reported later does not count.
    """
    block_minutes: Annotated[Int32, Field(ge=30, le=1440, multiple_of=5)] = 60
    """Length of a block, longer than it takes to start replicas and warm caches several times."""
    washout_minutes: Annotated[Int32, Field(ge=0, le=720, multiple_of=5)] = 10
    """What is left out at the begin of each block of a Switchback, while the change takes effect."""
    min_pairs: Annotated[Int32, Field(ge=6, le=1000)] = 12
    """Pairs of blocks that are needed for a verdict."""
    min_days: Annotated[Int32, Field(ge=0, le=180)] = 7
    """How long the experiment runs at least, so that all days of a week are in it. Not with BeforeAfter."""
    max_days: Annotated[Int32, Field(ge=1, le=180)] = 28
    """How long it runs at most. Not with BeforeAfter."""
    confidence: Literal["90%", "95%", "99%"] = "95%"
    """How often the interval holds the true effect, whoever looks how often."""
    start: DateTime | None = None
    """When to start at the earliest; at once when left out."""

    @rule(
        cel="self.design == 'BeforeAfter' ? has(self.baseline.begin) && has(self.treatment.begin) : "
        "!has(self.baseline.begin) && !has(self.treatment.begin)",
        field=".baseline",
        problem="stretches of time go with the design BeforeAfter, and only with it",
        fix="write begin and end of both arms with BeforeAfter, or leave them out",
    )
    def _times_with_their_design(self) -> bool:
        given = [self.baseline.begin is not None, self.treatment.begin is not None]
        return all(given) if self.design is Design.BEFORE_AFTER else not any(given)

    @rule(
        cel="!has(self.route) || self.design == 'Switchback'",
        field=".route",
        problem="only a Switchback switches a route",
        fix="leave route out, or write design Switchback",
    )
    def _route_with_its_design(self) -> bool:
        return self.route is None or self.design is Design.SWITCHBACK

    @rule(
        cel="self.washoutMinutes * 2 <= self.blockMinutes",
        field=".washoutMinutes",
        problem="the washout leaves less than half of a block",
        fix="write longer blocks or a shorter washout",
    )
    def _blocks_longer_than_their_washout(self) -> bool:
        return self.washout_minutes * 2 <= self.block_minutes

    @rule(
        cel="!(self.hypothesis.metric == 'Kpi' || has(self.kpiGuards) && size(self.kpiGuards) > 0) || "
        "self.blockMinutes >= 120 && self.blockMinutes % 60 == 0",
        field=".blockMinutes",
        problem="outcomes are counted by the hour, after the washout",
        fix="write whole hours, 120 or more, such as 240",
    )
    def _whole_hours_with_kpis(self) -> bool:
        by_outcomes = self.hypothesis.metric is Metric.KPI or bool(self.kpi_guards)
        return not by_outcomes or (self.block_minutes >= 120 and self.block_minutes % 60 == 0)

    @rule(
        cel="self.design != 'Switchback' || !has(self.baseline.kpi) && !has(self.treatment.kpi)",
        field=".treatment.kpi",
        problem="in a Switchback the time tells whose an outcome is",
        fix="leave kpi of both arms out, or write another design",
    )
    def _no_kpis_of_arms_in_a_switchback(self) -> bool:
        return self.design is not Design.SWITCHBACK or (self.baseline.kpi is None and self.treatment.kpi is None)

    @rule(
        cel="self.hypothesis.metric == 'Kpi' || !has(self.baseline.kpi) && !has(self.treatment.kpi)",
        field=".treatment.kpi",
        problem="a kpi of an arm goes with the metric Kpi",
        fix="leave kpi of both arms out, or write the metric Kpi",
    )
    def _kpis_of_arms_with_the_metric(self) -> bool:
        return self.hypothesis.metric is Metric.KPI or (self.baseline.kpi is None and self.treatment.kpi is None)

    @rule(
        cel="self.minDays <= self.maxDays",
        field=".maxDays",
        problem="the longest run is shorter than the shortest",
        fix="write maxDays of at least minDays",
    )
    def _shortest_before_longest(self) -> bool:
        return self.min_days <= self.max_days


class EffectStatus(ApiModel):
    """The change of the metric, treatment against baseline: relative such as -21.4%, or as '+3.2 points'."""

    estimate: str
    """The mean over pairs."""
    low: str | None = None
    """The interval's lower end; absent where nothing was ruled out yet."""
    high: str | None = None
    """The interval's upper end."""


class GuardStatus(ApiModel):
    """How one guard stands."""

    objective: str
    """The objective's name."""
    state: GuardState
    """Held or Missed by what was counted, Breached beyond doubt, Unknown where too little was measured."""
    target: str
    """The share of good requests that the objective wants."""
    treatment: str | None = None
    """That share in treated blocks."""
    baseline: str | None = None
    """The same in blocks of the baseline, to compare."""


class KpiGuardStatus(ApiModel):
    """How a KPI stands by its guard."""

    kpi: str
    """The KPI's name."""
    state: GuardState
    """Held or Missed by what was counted, Breached beyond doubt, Unknown where too little was measured."""
    wanted: str
    """What must hold."""
    treatment: str | None = None
    """Its figure in treated blocks: a share of cases, or minutes."""
    baseline: str | None = None
    """The same in blocks of the baseline."""


class ROIExperimentStatus(ApiModel):
    """Where the experiment stands, and what it showed."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    phase: str | None = None
    """Pending, Running or Decided."""
    started_at: str | None = None
    """When it was registered; from then on the spec cannot be changed."""
    spec_hash: str | None = None
    """SHA-256 of the spec as it was registered."""
    first_block_at: str | None = None
    """When the first block begins or began."""
    arm: Arm | None = None
    """In a Switchback, which arm should get all traffic now."""
    arm_until: str | None = None
    """Until when."""
    pairs: int | None = None
    """Pairs of blocks that were compared."""
    unusable_pairs: int | None = None
    """Pairs that could not be."""
    effect: EffectStatus | None = None
    """What was found so far."""
    guards: Annotated[tuple[GuardStatus, ...], ListMap("objective")] = ()
    """How the guards stand."""
    kpi_guards: Annotated[tuple[KpiGuardStatus, ...], ListMap("kpi")] = ()
    """How the KPIs stand that must not get worse."""
    quality: KpiGuardStatus | None = None
    """How the hypothesis' KPI stands by its own guard in spec.value of its WorkloadSLO, or by its sample."""
    evidence: Evidence | None = None
    """Randomized, or Observational: then something else may have made the difference."""
    verdict: Verdict | None = None
    """Running, Supported, Refuted or Inconclusive. Once decided it never changes."""
    reason: Reason | None = None
    """Why."""
    summary: str | None = None
    """The same in a sentence."""
    decided_at: str | None = None
    """When it was decided."""
    conditions: Annotated[tuple[StatusCondition, ...], ListMap("type")] = ()
    """Ready: whether the experiment can run."""


class ROIExperiment(Resource):
    """A claim about cost or quality, registered before it is tested, and what the test showed."""

    names: ClassVar[ResourceNames] = ResourceNames(
        kind="ROIExperiment",
        plural="roiexperiments",
        singular="roiexperiment",
        short_names=("roix",),
        scope="Namespaced",
    )
    columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Phase", ".status.phase", "Pending, Running or Decided"),
        PrinterColumn("Metric", ".spec.hypothesis.metric", "What the hypothesis speaks of"),
        PrinterColumn("Claim", ".spec.hypothesis.by", "By how much at least"),
        PrinterColumn("Effect", ".status.effect.estimate", "The relative change so far"),
        PrinterColumn("Pairs", ".status.pairs", "Pairs of blocks that were compared", kind="integer"),
        PrinterColumn("Verdict", ".status.verdict", "Running, Supported, Refuted or Inconclusive"),
        PrinterColumn("Evidence", ".status.evidence", "Randomized or Observational"),
        PrinterColumn("Age", ".metadata.creationTimestamp", "Time since creation", kind="date"),
        PrinterColumn("Summary", ".status.summary", "The verdict in a sentence", priority=1),
        PrinterColumn(
            "Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether the experiment can run", priority=1
        ),
    )
    transitions: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(oldSelf.status) || !has(oldSelf.status.startedAt) || self.spec == oldSelf.spec",
            field=".spec",
            problem="the experiment has started, and what was registered stays",
            fix="delete it and create another one; this one's record is kept",
            reason="FieldValueForbidden",
        ),
    )

    api_version: Literal["flyball.dev/v1alpha1"] = "flyball.dev/v1alpha1"
    kind: Literal["ROIExperiment"] = "ROIExperiment"
    spec: ROIExperimentSpec
    """What is claimed, of whom, and how it is tested. Not to be changed once the experiment has started."""
    status: ROIExperimentStatus | None = None
    """Where the experiment stands, and what it showed. Written by Flyball."""
