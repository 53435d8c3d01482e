"""When and how traffic may move to a fallback route, and what that costs."""

from itertools import pairwise
from typing import Annotated

from pydantic import Field

from flyball.api.model import ApiModel, ListMap, ListSet, rule
from flyball.api.scalars import (
    Duration,
    ItemName,
    Money,
    ObjectName,
    WholePercent,
    cel_is_positive,
    is_positive,
)
from flyball.api.v1alpha1.words import FallbackTrigger


class FallbackRouteSpec(ApiModel):
    """One rule of an HTTPRoute and the two backends between which its weights may move."""

    http_route: ObjectName
    """Name of an HTTPRoute in the WorkloadSLO's namespace. Only the weights of the two backends are ever changed."""
    rule_name: ObjectName | None = None
    """Name of the rule. May be left out where exactly one rule holds both backends."""
    primary: ItemName
    """Name of the backend that serves normally."""
    fallback: ItemName
    """Name of the backend that takes the overflow. Both must stand in the rule's backendRefs."""

    @rule(
        cel="self.primary != self.fallback",
        field=".fallback",
        problem="primary and fallback name the same backend",
        fix="name another backend of the same rule as the fallback",
    )
    def _backends_differ(self) -> bool:
        return self.primary != self.fallback


class FallbackSpec(ApiModel):
    """When traffic may move to the fallback backends, how much of it, and for how long at least."""

    routes: Annotated[tuple[FallbackRouteSpec, ...], Field(min_length=1, max_length=8), ListMap("httpRoute")]
    """Routes whose weights move together."""
    triggers: Annotated[tuple[FallbackTrigger, ...], Field(min_length=1, max_length=3), ListSet()] | None = None
    """What may move traffic. ObjectivesBurning: error budgets burn and scaling cannot help soon enough. CapacityShort:
    what serves cannot carry the load, and more is not to be had: pods find no GPU, a GPUPool grants fewer replicas than
    are asked for, or maxReplicas is reached. CeilingReached: a ceiling with enforcement Fallback holds replicas back.
    Defaults to all of them."""
    trigger_for: Duration | None = None
    """How long a trigger must hold before traffic moves. Defaults to 30s."""
    steps: Annotated[tuple[WholePercent, ...], Field(min_length=1, max_length=8)] | None = None
    """Shares of the traffic to move, one step at a time, ascending."""
    min_hold: Duration | None = None
    """How long the fallback stays at least. Defaults to 2m."""
    return_hold: Duration | None = None
    """How long the triggers must be gone before traffic returns. Defaults to 1m."""
    max_overflow: WholePercent | None = None
    """Largest share of the traffic that may leave the primary. Defaults to 50%."""
    price_per_request: Money | None = None
    """Dollars that one request costs on the fallback."""
    hosted_model: ObjectName | None = None
    """The hosted model of the PriceBook that serves the fallback, in place of pricePerRequest: a request then costs
    what its tokens cost there."""
    labor_cost_per_request: Money | None = None
    """Dollars of labour that one request on the fallback causes, such as escalations to people."""

    @rule(
        cel=f"!has(self.maxOverflow) || {cel_is_positive('self.maxOverflow')}",
        field=".maxOverflow",
        problem="maxOverflow is 0%, so that the fallback could never serve",
        fix="write a share such as 50%, or remove fallback",
    )
    def _something_may_overflow(self) -> bool:
        return self.max_overflow is None or is_positive(self.max_overflow)

    @rule(
        cel="!(has(self.pricePerRequest) && has(self.hostedModel))",
        field=".hostedModel",
        problem="both pricePerRequest and hostedModel are set",
        fix="keep one of them",
        reason="FieldValueForbidden",
    )
    def _one_price(self) -> bool:
        return self.price_per_request is None or self.hosted_model is None

    @rule(
        cel=(
            "!has(self.steps) || self.steps.all(a, self.steps.exists_one(b, b == a)) "
            "&& self.steps.map(s, int(s.substring(0, s.size() - 1))).isSorted()"
        ),
        field=".steps",
        problem="steps do not ascend",
        fix="write growing shares such as 10%, 25%, 50%",
    )
    def _steps_ascend(self) -> bool:
        shares = [int(step[:-1]) for step in self.steps or ()]
        return all(lower < higher for lower, higher in pairwise(shares))
