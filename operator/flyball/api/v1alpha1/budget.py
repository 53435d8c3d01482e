"""The Budget: cost ceilings that the workloads of a namespace share."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from flyball.api.model import ApiModel, ListMap, rule
from flyball.api.resource import PrinterColumn, Resource, ResourceNames
from flyball.api.scalars import Currency, Prose
from flyball.api.v1alpha1.demandevent import WorkloadSelector
from flyball.api.v1alpha1.money import CeilingSpec
from flyball.api.v1alpha1.status import StatusCondition
from flyball.core.money.shared_budget import PERIODS


class BudgetSpec(ApiModel):
    """What the workloads of this namespace may cost together."""

    description: Prose | None = None
    """Whose budget it is, and who agreed to it."""
    currency: Currency | None = None
    """The currency of the amounts: the one that Flyball reckons in, which it defaults to."""
    ceilings: Annotated[tuple[CeilingSpec, ...], Field(min_length=1, max_length=3), ListMap("period")]
    """Dollars per Hour, Day or Month, of all workloads together, with what happens there."""
    selector: WorkloadSelector | None = None
    """Only the WorkloadSLOs with these labels; without it all of the namespace."""

    @rule(
        cel="self.ceilings.all(c, c.period in ['Hour', 'Day', 'Month'])",
        field=".ceilings",
        problem="a budget of several workloads has a ceiling per request or per tokens",
        fix="use the periods Hour, Day and Month; unit costs belong to each WorkloadSLO",
        reason="FieldValueForbidden",
    )
    def _periods_can_be_shared(self) -> bool:
        return all(ceiling.period in PERIODS for ceiling in self.ceilings)


class BudgetStatus(ApiModel):
    """Where the budget stands."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    summary: str | None = None
    """How much of each ceiling is spent, and what the period is expected to come to."""
    state: str | None = None
    """The worst of its ceilings: Within, Half, Approaching, Reached or Unknown."""
    workloads: tuple[str, ...] = ()
    """The WorkloadSLOs that share it, sixty-four at most."""
    conditions: Annotated[tuple[StatusCondition, ...], ListMap("type")] = ()
    """Ready: whether somebody shares it. WithinBudget: whether its ceilings hold."""


class Budget(Resource):
    """Cost ceilings that the WorkloadSLOs of a namespace share: all of them give up the same share of what they want
    beyond their minimum."""

    names: ClassVar[ResourceNames] = ResourceNames(
        kind="Budget", plural="budgets", singular="budget", short_names=("budget",), scope="Namespaced"
    )
    columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("State", ".status.state", "The worst of its ceilings"),
        PrinterColumn("Spent", ".status.summary", "How much of each ceiling is spent and expected"),
        PrinterColumn("Age", ".metadata.creationTimestamp", "Time since creation", kind="date"),
        PrinterColumn(
            "Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether somebody shares it", priority=1
        ),
        PrinterColumn("Description", ".spec.description", "Whose budget it is", priority=1),
    )

    api_version: Literal["flyball.dev/v1alpha1"] = "flyball.dev/v1alpha1"
    kind: Literal["Budget"] = "Budget"
    spec: BudgetSpec
    """What the workloads of this namespace may cost together."""
    status: BudgetStatus | None = None
    """Where the budget stands. Written by Flyball."""
