"""The tightest of several ceilings binds; one that would raise the bill is waived."""

from decimal import Decimal

import pytest
from core.cases import ENGINE, hourly, running, spec, variant

from flyball.core.fleet.capacity import ReplicaCapacity
from flyball.core.fleet.misses import prior
from flyball.core.fleet.sizing import VariantPlan
from flyball.core.memory import HeldPace
from flyball.core.money.ceilings import within
from flyball.core.money.pacing import Pace
from flyball.core.names import Enforcement, Period
from flyball.core.spec import Ceiling

PLANS = (VariantPlan(variant(engine=ENGINE), running(5), ReplicaCapacity(20.0, 5.0, "the KV cache")),)


def pace(
    period: Period, share: float, enforcement: Enforcement = Enforcement.CLAMP, overflow: str | None = None
) -> Pace:
    held = HeldPace(period, Decimal(100), 0.0, Decimal(0), True, share, 0.0, 1e9)
    price = None if overflow is None else Decimal(overflow)
    return Pace(Ceiling(period, Decimal(100), enforcement), Decimal(50), held, price)


@pytest.mark.parametrize(
    ("hour", "paces", "kept", "period"),
    [
        pytest.param(None, (), 5, None, id="no ceiling"),
        pytest.param("7", (), 3, Period.HOUR, id="$7 an hour pay for three at $2"),
        pytest.param("20", (), 5, None, id="an hour that pays for more binds nothing"),
        pytest.param(None, (pace(Period.MONTH, 0.5),), 3, Period.MONTH, id="half of the four beyond the minimum"),
        pytest.param("5", (pace(Period.MONTH, 0.5),), 2, Period.HOUR, id="the hour is the tighter one"),
        pytest.param(
            "9", (pace(Period.MONTH, 0.5), pace(Period.DAY, 0.3)), 2, Period.DAY, id="the day is the tightest"
        ),
        pytest.param(None, (pace(Period.MONTH, 0.0),), 1, Period.MONTH, id="the minimum stays"),
        pytest.param(None, (pace(Period.MONTH, 0.0, Enforcement.ALERT),), 5, None, id="an alert holds nothing back"),
    ],
)
def test_the_tightest_ceiling_binds(
    hour: str | None, paces: tuple[Pace, ...], kept: int, period: Period | None
) -> None:
    workload = spec(ceilings=hourly(hour) if hour else ())
    cut = within(workload, paces, PLANS, {"gpu": 5}, 20.0, prior())
    assert (cut.counts, cut.period, cut.waived) == ({"gpu": kept}, period, "")


@pytest.mark.parametrize(
    ("price", "demand", "kept"),
    [
        pytest.param("0.001", 20.0, 5, id="7.2 requests/s that three do not carry cost $26/h, two replicas $4"),
        pytest.param("0.0001", 20.0, 3, id="a tenth of it is cheaper than they are"),
        pytest.param("0.001", 13.0, 3, id="hardly anything overflows: what is spared is idle"),
        pytest.param(None, 20.0, 3, id="a price that is not known"),
        pytest.param("0.001", None, 3, id="a demand that is not known"),
    ],
)
def test_a_ceiling_that_overflows_is_waived_where_that_costs_more_than_it_spares(
    price: str | None, demand: float | None, kept: int
) -> None:
    cut = within(spec(), (pace(Period.MONTH, 0.5, Enforcement.FALLBACK, price),), PLANS, {"gpu": 5}, demand, prior())
    assert cut.counts == {"gpu": kept}
    assert cut.waived.startswith("the monthly ceiling holds nothing back: overflow would cost $") == (kept == 5)
