"""How much of which traffic overflows where, and what it costs."""

from dataclasses import replace
from decimal import Decimal

import pytest
from core.cases import fallback, route

from flyball.core.fleet.capacity import RequestShape
from flyball.core.names import FallbackKind
from flyball.core.routing.overflow import Bounds, first_flows, flows, mean_cost, needed, parts, reached, traffic
from flyball.core.spec import BackendPrice, Fallback, FallbackBackend, FallbackRoute, HostedModel, Prices

FREE = FallbackRoute("chat", "chat", "small", "free", order=0, traffic_share=0.6)
PAID = FallbackRoute("chat", "chat", "hosted", "paid", order=1)
TIERS = Fallback((FREE, PAID))
UP = (route(), route())


@pytest.mark.parametrize(
    ("demand", "waiting", "carried", "share"),
    [
        pytest.param(10.0, 0.0, 12.0, 0.0, id="all of it is carried"),
        pytest.param(10.0, 0.0, 8.0, 0.2, id="8 of 10 are carried"),
        pytest.param(10.0, 60.0, 8.0, 0.4, id="and 60 wait, to be gone in 30 s: 2 more per second"),
        pytest.param(10.0, 6000.0, 8.0, 1.0, id="more than all cannot move"),
        pytest.param(0.0, 0.0, None, 0.0, id="nothing arrives, whatever could be carried"),
        pytest.param(None, 0.0, 8.0, None, id="arrivals that nobody knows"),
        pytest.param(10.0, 0.0, None, 0.0, id="a capacity that nobody knows"),
    ],
)
def test_what_has_to_move(demand: float | None, waiting: float, carried: float | None, share: float | None) -> None:
    found = needed(demand, waiting, 30.0, carried)
    assert found == (None if share is None else pytest.approx(share))


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        pytest.param((None,), (1.0,), id="one route has all of it"),
        pytest.param((None, None), (0.5, 0.5), id="two have half each"),
        pytest.param((0.6, None, None), (0.6, 0.2, 0.2), id="the rest in equal parts"),
        pytest.param((0.9, 0.9), (0.5, 0.5), id="shares that add up to more count by their ratio"),
        pytest.param((0.0, 0.0), (0.5, 0.5), id="shares of nothing"),
    ],
)
def test_the_traffic_of_routes_adds_up_to_one(declared: tuple[float | None, ...], expected: tuple[float, ...]) -> None:
    routes = tuple(replace(FREE, traffic_share=share) for share in declared)
    assert traffic(Fallback(routes)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        pytest.param(0.3, (0.5, 0.0), id="half of the free users first"),
        pytest.param(0.6, (1.0, 0.0), id="all of them"),
        pytest.param(0.8, (1.0, 0.5), id="then half of those that pay"),
        pytest.param(0.95, (1.0, 0.875), id="some traffic stays"),
    ],
)
def test_a_lower_order_overflows_first(level: float, expected: tuple[float, float]) -> None:
    assert parts(TIERS, UP, level, Bounds(), ()) == pytest.approx(expected)


@pytest.mark.parametrize("level", [0.1, 0.3, 0.6, 0.8, 0.95])
def test_where_nothing_bounds_them_parts_tell_their_level(level: float) -> None:
    found = parts(TIERS, UP, level, Bounds(), ())
    told = [reach for reach, part in zip(reached(TIERS, found), found, strict=True) if 0 < part < 1]
    assert told in ([], [pytest.approx(level)])
    assert min(reached(TIERS, found)) <= level + 1e-9
    assert max(reach for reach, part in zip(reached(TIERS, found), found, strict=True) if part) == pytest.approx(level)


def test_a_part_is_never_below_what_the_users_own_weights_send() -> None:
    own = route(primary_weight=80, fallback_weight=20)
    assert parts(fallback(), (own,), 0.1, Bounds(), ()) == pytest.approx((0.2,))
    moved = route(primary_weight=50, fallback_weight=50, original_weights=(80, 20), applied_weights=(50, 50))
    assert parts(fallback(), (moved,), 0.1, Bounds(), ()) == pytest.approx((0.2,))


QUEUE = FallbackBackend("small", FallbackKind.HUMAN_QUEUE, Decimal("0.50"), max_requests_per_second=1.0)


@pytest.mark.parametrize(
    ("declared", "bounds", "before", "expected"),
    [
        pytest.param(
            replace(TIERS, backends=(QUEUE,)),
            Bounds(10.0),
            (),
            (0.15, 0.525),
            id="a queue that takes 1 of 6 requests/s",
        ),
        pytest.param(
            replace(TIERS, backends=(QUEUE,)),
            Bounds(10.4),
            (0.15, 0.0),
            (0.15, 0.525),
            id="arrivals that waver change nothing",
        ),
        pytest.param(
            replace(TIERS, max_cost_per_hour=Decimal(1800)),
            Bounds(10.0, {"small": Decimal("0.50")}),
            (),
            (0.15, 0.525),
            id="$1800 an hour at $0.50 are 1 request/s",
        ),
        pytest.param(
            replace(TIERS, max_cost_per_hour=Decimal(0)),
            Bounds(10.0, {"small": Decimal("0.50"), "hosted": Decimal(1)}),
            (),
            (0.0, 0.0),
            id="nothing may be spent",
        ),
        pytest.param(replace(TIERS, backends=(QUEUE,)), Bounds(None), (), (0.5, 0.0), id="arrivals that nobody knows"),
    ],
)
def test_what_a_fallback_takes_and_may_cost_bounds_it(
    declared: Fallback, bounds: Bounds, before: tuple[float, ...], expected: tuple[float, float]
) -> None:
    assert parts(declared, UP, 0.3, bounds, before) == pytest.approx(expected)


def test_where_nothing_else_could_answer_no_bound_holds() -> None:
    down = (route(primary_ready_endpoints=0), route(primary_ready_endpoints=0))
    declared = replace(TIERS, backends=(QUEUE,), max_cost_per_hour=Decimal(0))
    assert parts(declared, down, 1.0, Bounds(10.0, {"small": Decimal(1)}), ()) == (1.0, 1.0)


def test_flows_say_who_serves_what_share_of_all_traffic() -> None:
    assert dict(flows(TIERS, (0.5, 0.25))) == pytest.approx({"small": 0.3, "hosted": 0.1})
    assert flows(TIERS, ()) == ()
    assert dict(first_flows(TIERS)) == pytest.approx({"small": 0.6})


def test_the_mean_cost_counts_each_backends_price_and_labour() -> None:
    """0.3 at $0.002, and 0.1 of 1000 and 100 tokens at $1 and $4 a million with 6 cents of work: 0.00674 / 0.4."""
    declared = replace(
        TIERS,
        backends=(
            FallbackBackend("small", FallbackKind.SMALLER_MODEL, price_per_request=Decimal("0.002")),
            FallbackBackend("hosted", FallbackKind.HOSTED_MODEL),
        ),
    )
    book = Prices(backends=(BackendPrice("hosted", HostedModel("large", Decimal(1), Decimal(4)), Decimal("0.06")),))
    shape = RequestShape(1000.0, 1000.0, 100.0)
    found = mean_cost(declared, book, shape, flows(declared, (0.5, 0.25)))
    assert float(found or 0) == pytest.approx(0.01685)
    assert mean_cost(declared, Prices(), shape, flows(declared, (0.5, 0.25))) is None
    assert mean_cost(declared, book, shape, ()) is None
