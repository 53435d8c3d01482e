"""The WorkloadSLO: one workload's objectives, ceilings and return, and the targets that serve it."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from flyball.api.model import ApiModel, ListMap, ListSet, rule
from flyball.api.resource import PrinterColumn, Resource, ResourceNames
from flyball.api.scalars import Int32
from flyball.api.v1alpha1.fallback import FallbackSpec
from flyball.api.v1alpha1.money import CostSpec, RoiTargetSpec, ValueSpec
from flyball.api.v1alpha1.objectives import ObjectiveSpec
from flyball.api.v1alpha1.scaling import ScalingSpec
from flyball.api.v1alpha1.status import WorkloadSLOStatus
from flyball.api.v1alpha1.targets import Target
from flyball.api.v1alpha1.telemetry import Telemetry
from flyball.api.v1alpha1.words import FallbackTrigger, ShadowPolicy, WorkloadType
from flyball.core.names import Enforcement, Mode, Precedence, RoiMetric

_EFFECTIVE_NAME = "(has({0}.name) ? {0}.name : {0}.targetRef.name)"


class WorkloadSLOSpec(ApiModel):
    """What is promised to the users of one workload, what it may cost, and what may be done to keep both."""

    workload_type: WorkloadType
    """What the workload is for. It sets the objectives where none are declared."""
    mode: Mode = Mode.RECOMMEND
    """Auto acts. Recommend decides and shows, but never acts. Paused gives routes back and decides nothing."""
    precedence: Precedence = Precedence.SLO
    """Which one wins when an objective and a ceiling with enforcement Clamp or Fallback collide."""
    priority: Annotated[Int32, Field(ge=-1000, le=1000)] | None = None
    """Who keeps the GPUs of a GPUPool when they run short: the higher number. Without a pool that holds the targets'
    accelerators it has no effect. Defaults to 0."""
    shadow: Annotated[tuple[ShadowPolicy, ...], Field(max_length=7), ListSet()] = ()
    """Rival policies to ask, on the live metrics, what they would do. Nobody does it; `status.shadow` says what each
    would have asked for, and at what cost."""
    targets: Annotated[tuple[Target, ...], Field(min_length=1, max_length=8)]
    """The variants that can serve the workload's traffic."""
    telemetry: Telemetry | None = None
    """Where the workload's signals come from. Defaults to vLLM's metrics of the targets' pods."""
    objectives: Annotated[tuple[ObjectiveSpec, ...], Field(max_length=16), ListMap("name")] = ()
    """What users are promised. Defaults to the objectives of the workloadType."""
    cost: CostSpec | None = None
    """Prices and ceilings."""
    value: ValueSpec | None = None
    """Where the worth of an answer comes from."""
    roi_targets: Annotated[tuple[RoiTargetSpec, ...], Field(max_length=8), ListMap("name")] = ()
    """Returns to reach."""
    fallback: FallbackSpec | None = None
    """When and how traffic may move to a fallback route."""
    scaling: ScalingSpec | None = None
    """Limits on how replica counts move."""

    @rule(
        cel=(
            "self.targets.all(a, self.targets.exists_one(b, b.targetRef.kind == a.targetRef.kind "
            "&& b.targetRef.name == a.targetRef.name))"
        ),
        field=".targets",
        problem="two targets refer to the same object",
        fix="keep one of them: an object is scaled once",
    )
    def _targets_are_distinct(self) -> bool:
        return _all_different([(target.target_ref.kind, target.target_ref.name) for target in self.targets])

    @rule(
        cel=(
            f"self.targets.all(a, self.targets.exists_one(b, {_EFFECTIVE_NAME.format('b')} "
            f"== {_EFFECTIVE_NAME.format('a')}))"
        ),
        field=".targets",
        problem="two targets have the same name",
        fix="give each a name of its own",
    )
    def _target_names_are_distinct(self) -> bool:
        return _all_different([target.effective_name for target in self.targets])

    @rule(
        cel=(
            "!has(self.objectives) || self.objectives.all(o, !has(o.stage) || (has(self.telemetry) "
            "&& has(self.telemetry.stages) && self.telemetry.stages.exists(s, s.name == o.stage)))"
        ),
        field=".objectives",
        problem="an objective names a stage that telemetry.stages does not hold",
        fix="add the stage with its query to telemetry.stages or correct its name",
    )
    def _stages_exist(self) -> bool:
        measured = {stage.name for stage in self.telemetry.stages} if self.telemetry else set()
        return {objective.stage for objective in self.objectives if objective.stage} <= measured

    @rule(
        cel=(
            "!has(self.objectives) || self.objectives.all(o, !has(o.segment) || (has(self.telemetry) "
            "&& has(self.telemetry.segmentBy) && o.segment.all(k, k in self.telemetry.segmentBy)))"
        ),
        field=".objectives",
        problem="an objective's segment uses a label that telemetry.segmentBy does not hold",
        fix="add the label to telemetry.segmentBy or correct its name",
    )
    def _segments_are_measured(self) -> bool:
        labels = set(self.telemetry.segment_by) if self.telemetry else set()
        return all(set(objective.segment) <= labels for objective in self.objectives)

    @rule(
        cel=(
            "!has(self.cost) || !has(self.cost.ceilings) || !self.cost.ceilings.exists(c, c.enforcement == 'Fallback') "
            "|| (has(self.fallback) && (!has(self.fallback.triggers) || 'CeilingReached' in self.fallback.triggers))"
        ),
        field=".cost",
        problem="a ceiling's enforcement is Fallback, but no fallback is triggered by CeilingReached",
        fix="declare fallback.routes (and CeilingReached under fallback.triggers if that is set), or use Clamp",
    )
    def _ceilings_can_fall_back(self) -> bool:
        wanted = any(c.enforcement is Enforcement.FALLBACK for c in (self.cost.ceilings if self.cost else ()))
        fallback = self.fallback
        return not wanted or (
            fallback is not None and (fallback.triggers is None or FallbackTrigger.CEILING_REACHED in fallback.triggers)
        )

    @rule(
        cel=(
            "!has(self.roiTargets) || !self.roiTargets.exists(r, r.metric == 'ValueCostRatio') "
            "|| (has(self.value) && (has(self.value.perRequest) || has(self.value.kpis)))"
        ),
        field=".value",
        problem="an ROI target has the metric ValueCostRatio, but nothing says what an answer is worth",
        fix="declare value.perRequest or value.kpis, or use CostPerRequest",
        reason="FieldValueRequired",
    )
    def _ratio_has_a_value(self) -> bool:
        wanted = any(target.metric is RoiMetric.VALUE_COST_RATIO for target in self.roi_targets)
        return not wanted or (self.value is not None and (self.value.per_request is not None or bool(self.value.kpis)))

    @rule(
        cel=(
            "!has(self.roiTargets) || self.roiTargets.all(r, !has(r.kpi) "
            "|| (has(self.value) && has(self.value.kpis) && self.value.kpis.exists(k, k.name == r.kpi)))"
        ),
        field=".roiTargets",
        problem="an ROI target names a KPI that value.kpis does not hold",
        fix="add the KPI to value.kpis or correct its name",
    )
    def _kpis_exist(self) -> bool:
        known = {kpi.name for kpi in self.value.kpis} if self.value else set()
        return {target.kpi for target in self.roi_targets if target.kpi} <= known


def _all_different(values: list[tuple[str, str]] | list[str]) -> bool:
    return len(set(values)) == len(values)


class WorkloadSLO(Resource):
    """Declares, for one GPU inference workload, its latency objectives, cost ceilings and ROI targets. Flyball scales
    the workload's targets and moves traffic to a fallback route to keep them."""

    names: ClassVar[ResourceNames] = ResourceNames(
        kind="WorkloadSLO", plural="workloadslos", singular="workloadslo", short_names=("wslo",), scope="Namespaced"
    )
    columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Mode", ".spec.mode", "Auto acts, Recommend only shows, Paused does nothing"),
        PrinterColumn("SLO", ".status.summary.slo", "How many objectives are met"),
        PrinterColumn("Budget", ".status.summary.budget", "What is left of the scarcest error budget"),
        PrinterColumn("Cost", ".status.summary.cost", "Dollars per hour, and the ceiling where there is one"),
        PrinterColumn("Replicas", ".status.summary.replicas", "Current and desired replicas over all targets"),
        PrinterColumn("ROI", ".status.summary.roi", "Worth per dollar, or the first ROI target"),
        PrinterColumn("Fallback", ".status.summary.fallback", "State of the fallback and the share it takes"),
        PrinterColumn("Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether the spec is reconciled"),
        PrinterColumn("Age", ".metadata.creationTimestamp", "Time since creation", kind="date"),
        PrinterColumn("Type", ".spec.workloadType", "What the workload is for", priority=1),
        PrinterColumn("GPU", ".status.gpu.verdict", "GPU utilization read with its queue", priority=1),
        PrinterColumn("Queue", ".status.gpu.queue", "Requests waiting", priority=1),
        PrinterColumn("Month", ".status.cost.monthToDate", "Dollars since the month began", priority=1),
        PrinterColumn("$/Request", ".status.cost.perRequest", "Dollars per request", priority=1),
        PrinterColumn("Why", ".status.summary.reason", "What the last decision was made of", priority=1),
    )

    api_version: Literal["flyball.dev/v1alpha1"] = "flyball.dev/v1alpha1"
    kind: Literal["WorkloadSLO"] = "WorkloadSLO"
    spec: WorkloadSLOSpec
    """What is promised, what it may cost, and what may be done to keep both."""
    status: WorkloadSLOStatus | None = None
    """What is, what was decided, and why. Written by Flyball."""
