"""When and how traffic may move to a fallback route, and what that costs."""

from itertools import pairwise
from typing import Annotated

from pydantic import Field

from flyball.api.model import ApiModel, ListMap, ListSet, rule
from flyball.api.scalars import (
    Duration,
    Int32,
    ItemName,
    Money,
    Number,
    ObjectName,
    WholePercent,
    cel_is_positive,
    is_positive,
)
from flyball.api.v1alpha1.money import LaborSpec
from flyball.api.v1alpha1.words import FallbackTrigger
from flyball.core.names import FallbackKind


class FallbackRouteSpec(ApiModel):
    """One rule of a route and the two backends between which its weights may move."""

    http_route: ObjectName | None = None
    """Name of an HTTPRoute in the WorkloadSLO's namespace. Only the weights of the two backends are ever changed."""
    grpc_route: ObjectName | None = None
    """Name of a GRPCRoute in the WorkloadSLO's namespace, in place of httpRoute."""
    ai_gateway_route: ObjectName | None = None
    """Name of an AIGatewayRoute (Envoy AI Gateway) in the WorkloadSLO's namespace, in place of httpRoute. A fallback
    with a later priority than the primary gets the primary's while its weight is moved."""
    rule_name: ObjectName | None = None
    """Name of the rule. May be left out where exactly one rule holds both backends, and must be for an AIGatewayRoute,
    whose rules have no names."""
    primary: ItemName
    """Name of the backend that serves normally: of a Service, of an InferencePool in an HTTPRoute, or of an
    AIServiceBackend in an AIGatewayRoute."""
    fallback: ItemName
    """Name of the backend that takes the overflow. Both must stand in the rule's backendRefs."""
    order: Annotated[Int32, Field(ge=0, le=7)] | None = None
    """Whose traffic overflows first: that of a lower order, such as the rule that matches free users, before that of a
    higher one. Defaults to 0; routes of the same order move together."""
    traffic_share: WholePercent | None = None
    """Share of the workload's traffic that comes through this rule, so that an overflow is spread over tiers as it
    should. Routes without one share the rest in equal parts; shares that add up to more count by their ratio."""

    @rule(
        cel="[has(self.httpRoute), has(self.grpcRoute), has(self.aiGatewayRoute)].filter(named, named).size() == 1",
        field=".httpRoute",
        problem="not exactly one of httpRoute, grpcRoute and aiGatewayRoute is set",
        fix="name one route; list a second one as an item of its own",
    )
    def _one_route(self) -> bool:
        return sum(name is not None for name in self.names) == 1

    @rule(
        cel="!(has(self.aiGatewayRoute) && has(self.ruleName))",
        field=".ruleName",
        problem="ruleName is set for an AIGatewayRoute, whose rules have no names",
        fix="remove it; the rule that holds both backends is meant",
        reason="FieldValueForbidden",
    )
    def _rules_have_names(self) -> bool:
        return self.ai_gateway_route is None or self.rule_name is None

    @property
    def names(self) -> tuple[str | None, str | None, str | None]:
        """The names of the route, of which one is set: as an HTTPRoute, a GRPCRoute, an AIGatewayRoute."""
        return self.http_route, self.grpc_route, self.ai_gateway_route

    @rule(
        cel="self.primary != self.fallback",
        field=".fallback",
        problem="primary and fallback name the same backend",
        fix="name another backend of the same rule as the fallback",
    )
    def _backends_differ(self) -> bool:
        return self.primary != self.fallback


class FallbackBackendSpec(ApiModel):
    """What stands behind a fallback backend, and what a request costs there."""

    name: ItemName
    """Name of the backend, as in routes[].fallback."""
    kind: FallbackKind
    """SmallerModel, HostedModel, Rules (answers without a model) or HumanQueue (people answer)."""
    price_per_request: Money | None = None
    """Dollars that one request costs there, labour aside."""
    hosted_model: ObjectName | None = None
    """The hosted model of the PriceBook that it is, in place of pricePerRequest."""
    labor_cost_per_request: Money | None = None
    """Dollars of labour that one request causes there, such as escalations to people."""
    labor: LaborSpec | None = None
    """The same as a role of the PriceBook and its minutes, in place of laborCostPerRequest."""
    max_requests_per_second: Number | None = None
    """Requests per second that it can take, such as a queue of people. No more overflow to it while the primary serves
    at all."""

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
        cel="!(has(self.laborCostPerRequest) && has(self.labor))",
        field=".labor",
        problem="both laborCostPerRequest and labor are set",
        fix="keep one of them",
        reason="FieldValueForbidden",
    )
    def _one_labor(self) -> bool:
        return self.labor_cost_per_request is None or self.labor is None


class FallbackSpec(ApiModel):
    """When traffic may move to the fallback backends, how much of it, and for how long at least."""

    routes: Annotated[tuple[FallbackRouteSpec, ...], Field(min_length=1, max_length=8)]
    """Routes whose weights move: those of one order together."""
    backends: Annotated[tuple[FallbackBackendSpec, ...], Field(max_length=8), ListMap("name")] = ()
    """What the fallback backends are and cost. For those that are not listed pricePerRequest or hostedModel and
    laborCostPerRequest hold."""
    triggers: Annotated[tuple[FallbackTrigger, ...], Field(min_length=1, max_length=3), ListSet()] | None = None
    """What may move traffic. ObjectivesBurning: error budgets burn and scaling cannot help soon enough. CapacityShort:
    what serves cannot carry the load, and more is not to be had: pods find no GPU, a GPUPool grants fewer replicas than
    are asked for, or maxReplicas is reached. CeilingReached: a ceiling with enforcement Fallback holds replicas back.
    Defaults to all of them."""
    trigger_for: Duration | None = None
    """How long a trigger must hold before traffic moves. Defaults to 30s."""
    steps: Annotated[tuple[WholePercent, ...], Field(min_length=1, max_length=8)] | None = None
    """Shares of the traffic to move, one step at a time, ascending; each is held for triggerFor. Without them as much
    moves at once as what serves cannot carry. Traffic returns by the same steps, or by 50% and 25%."""
    min_hold: Duration | None = None
    """How long the fallback stays at least. Defaults to 2m."""
    return_hold: Duration | None = None
    """How long the triggers must be gone before traffic returns, and each step of the return is held. Doubled after a
    return that did not last, up to eight times. Defaults to 1m."""
    max_overflow: WholePercent | None = None
    """Largest share of the traffic that may leave a primary that serves. Defaults to 50%. All of it leaves one that has
    no ready endpoint."""
    max_cost_per_hour: Money | None = None
    """Dollars per hour that overflow may cost, labour included, while the primary serves at all."""
    price_per_request: Money | None = None
    """Dollars that one request costs on the fallback."""
    hosted_model: ObjectName | None = None
    """The hosted model of the PriceBook that serves the fallback, in place of pricePerRequest: a request then costs
    what its tokens cost there."""
    labor_cost_per_request: Money | None = None
    """Dollars of labour that one request on the fallback causes, such as escalations to people."""

    @rule(
        cel=(
            "self.routes.all(a, self.routes.exists_one(b, "
            "has(a.httpRoute) == has(b.httpRoute) && (!has(a.httpRoute) || a.httpRoute == b.httpRoute) "
            "&& has(a.grpcRoute) == has(b.grpcRoute) && (!has(a.grpcRoute) || a.grpcRoute == b.grpcRoute) "
            "&& has(a.aiGatewayRoute) == has(b.aiGatewayRoute) "
            "&& (!has(a.aiGatewayRoute) || a.aiGatewayRoute == b.aiGatewayRoute) "
            "&& has(a.ruleName) == has(b.ruleName) && (has(a.ruleName) ? a.ruleName == b.ruleName "
            ": a.primary == b.primary && a.fallback == b.fallback)))"
        ),
        field=".routes",
        problem="two routes are the same rule",
        fix="keep one of them, or name another ruleName",
    )
    def _routes_differ(self) -> bool:
        found = [(r.names, r.rule_name or (r.primary, r.fallback)) for r in self.routes]
        return len(set(found)) == len(found)

    @rule(
        cel="!has(self.backends) || self.backends.all(b, self.routes.exists(r, r.fallback == b.name))",
        field=".backends",
        problem="a backend is listed that no route falls back to",
        fix="name a routes[].fallback, or remove it",
    )
    def _backends_are_used(self) -> bool:
        return {backend.name for backend in self.backends} <= {route.fallback for route in self.routes}

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
