"""The DemandEvent: load that is known beforehand, such as a launch, a campaign or a month end."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from flyball.api.model import ApiModel, ListMap, ListSet, rule
from flyball.api.resource import PrinterColumn, Resource, ResourceNames
from flyball.api.scalars import DateTime, Duration, LabelValue, Multiple, ObjectName, Prose
from flyball.api.v1alpha1.status import StatusCondition


class WorkloadSelector(ApiModel):
    """Which WorkloadSLOs of the namespace, by their labels."""

    match_labels: Annotated[dict[str, LabelValue], Field(min_length=1, max_length=16)]
    """Labels that a WorkloadSLO must carry, all of them."""


class DemandEventSpec(ApiModel):
    """When more than the usual load comes, for which workloads, and how much more."""

    description: Prose | None = None
    """What happens, for people: a launch, a campaign, a month end."""
    start: DateTime
    """When the load begins to rise."""
    end: DateTime
    """When the load is back to the usual."""
    ramp: Duration | None = None
    """How long the load climbs after start, and falls before end. Defaults to 0s: all of it comes at once."""
    multiple: Multiple
    """How many times the usual load comes, at least 1. Of events that overlap the highest counts, not their product."""
    workloads: Annotated[tuple[ObjectName, ...], Field(min_length=1, max_length=64), ListSet()] | None = None
    """Names of the WorkloadSLOs in this namespace."""
    selector: WorkloadSelector | None = None
    """The WorkloadSLOs in this namespace by their labels, in place of workloads."""

    @rule(
        cel="self.start < self.end",
        field=".end",
        problem="the event ends before it begins",
        fix="write an end that is later than start",
    )
    def _start_before_end(self) -> bool:
        return datetime.fromisoformat(self.start) < datetime.fromisoformat(self.end)

    @rule(
        cel="has(self.workloads) != has(self.selector)",
        problem="an event needs either workloads or a selector",
        fix="write the WorkloadSLOs' names under workloads, or their labels under selector.matchLabels",
    )
    def _one_way_to_name_workloads(self) -> bool:
        return (self.workloads is None) != (self.selector is None)


class DemandEventStatus(ApiModel):
    """Where the event stands, and whom it concerns."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    phase: str | None = None
    """Upcoming, Active or Past."""
    summary: str | None = None
    """How many workloads are concerned, and which."""
    workloads: tuple[str, ...] = ()
    """The WorkloadSLOs that are concerned, sixty-four at most."""
    conditions: Annotated[tuple[StatusCondition, ...], ListMap("type")] = ()
    """Ready: whether the event concerns anybody."""


class DemandEvent(Resource):
    """A launch, a campaign or a month end: when, which workloads, and what multiple of the usual load."""

    names: ClassVar[ResourceNames] = ResourceNames(
        kind="DemandEvent",
        plural="demandevents",
        singular="demandevent",
        short_names=("demandevent",),
        scope="Namespaced",
    )
    columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Phase", ".status.phase", "Upcoming, Active or Past"),
        PrinterColumn("Multiple", ".spec.multiple", "How many times the usual load comes"),
        PrinterColumn("Start", ".spec.start", "When the load begins to rise"),
        PrinterColumn("End", ".spec.end", "When the load is back to the usual"),
        PrinterColumn("Workloads", ".status.summary", "How many workloads are concerned, and which"),
        PrinterColumn("Age", ".metadata.creationTimestamp", "Time since creation", kind="date"),
        PrinterColumn(
            "Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether it concerns anybody", priority=1
        ),
        PrinterColumn("Description", ".spec.description", "What happens", priority=1),
    )

    api_version: Literal["flyball.dev/v1alpha1"] = "flyball.dev/v1alpha1"
    kind: Literal["DemandEvent"] = "DemandEvent"
    spec: DemandEventSpec
    """When more than the usual load comes, for which workloads, and how much more."""
    status: DemandEventStatus | None = None
    """Where the event stands, and whom it concerns. Written by Flyball."""
