from decimal import Decimal

import pytest
from core.cases import LAW, START, observation, running, spec, variant
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.decide import decide
from flyball.core.decision import CostReport
from flyball.core.memory import Memory
from flyball.core.names import Enforcement, Period
from flyball.core.spec import Ceiling
from flyball.core.told.findings import spent_against


def cost_after_an_hour(requests: float | None, tokens: float | None, price: str | None = "2") -> CostReport:
    """Two replicas for an hour."""
    counts = {
        "completions": () if requests is None else ((3600.0, requests),),
        "tokens": () if tokens is None else ((3600.0, tokens),),
    }
    workload = spec(variant(price=price))
    _, memory = decide(workload, observation(), Memory())
    return decide(workload, observation(at=START + 3600.0, **counts), memory)[0].cost


@pytest.mark.parametrize(
    ("requests", "tokens", "per_request", "per_million"),
    [
        pytest.param(1000.0, 200_000.0, "0.004", "20", id="$4 over 1000 requests, and over 0.2 million tokens"),
        pytest.param(0.0, 0.0, None, None, id="nothing to divide by"),
        pytest.param(None, None, None, None, id="nothing known"),
        pytest.param(float("nan"), -5.0, None, None, id="nothing that could be"),
    ],
)
def test_unit_costs(
    requests: float | None, tokens: float | None, per_request: str | None, per_million: str | None
) -> None:
    found = cost_after_an_hour(requests, tokens)
    expected = tuple(None if text is None else Decimal(text) for text in (per_request, per_million))
    assert (found.per_request, found.per_million_tokens) == expected
    assert (found.per_hour, found.month_to_date) == (4, 4)


def test_without_a_price_no_cost_is_claimed() -> None:
    found = cost_after_an_hour(1000.0, 1000.0, price=None)
    assert (found.per_hour, found.month_forecast, found.per_request, found.per_million_tokens) == (None,) * 4


def test_at_the_first_look_there_is_no_time_to_count_unit_costs_from() -> None:
    decision, _ = decide(spec(), observation(completions=((3600.0, 10.0),)), Memory())
    assert decision.cost.per_request is None


@pytest.mark.parametrize(
    ("seconds", "per_request"),
    [
        pytest.param(299.0, None, id="nothing yet"),
        pytest.param(300.0, Decimal(1) / 300, id="five minutes' money for five minutes' requests"),
        pytest.param(3600.0, Decimal("0.001"), id="an hour's for an hour's"),
    ],
)
def test_unit_costs_are_over_a_time_for_which_costs_are_on_record(seconds: float, per_request: Decimal | None) -> None:
    """Six replicas' $12/h: 300 requests in the last five minutes, 12,000 in the last hour."""
    seen = {"state": running(6), "completions": ((300.0, 300.0), (3600.0, 12_000.0))}
    _, memory = decide(spec(), observation(**seen), Memory())
    found = decide(spec(), observation(at=START + seconds, **seen), memory)[0].cost.per_request
    assert found == (None if per_request is None else pytest.approx(per_request))


COSTS = CostReport(Decimal(3), Decimal(100), Decimal(500), Decimal("0.01"), Decimal(7), day_to_date=Decimal(9))


@pytest.mark.parametrize(
    ("period", "dollars"),
    [
        pytest.param(Period.HOUR, 3, id="an hour at the present rate"),
        pytest.param(Period.DAY, 9, id="the day to date"),
        pytest.param(Period.MONTH, 100, id="the month to date"),
        pytest.param(Period.REQUEST, Decimal("0.01"), id="a request"),
        pytest.param(Period.MILLION_TOKENS, 7, id="a million tokens"),
    ],
)
def test_what_counts_against_a_ceiling(period: Period, dollars: Decimal) -> None:
    ceiling = Ceiling(period, Decimal(1), Enforcement.ALERT)
    assert spent_against(ceiling, COSTS) == dollars
    assert spent_against(ceiling, CostReport(None, Decimal(0), None, None, None)) is None


@LAW
@given(st.integers(0, 5), st.integers(0, 5))
def test_every_replica_that_holds_gpus_is_in_the_rate(ready: int, starting: int) -> None:
    state = running(ready + starting, ready=ready, starting=starting)
    decision, _ = decide(spec(), observation(state=state), Memory())
    assert decision.cost.per_hour == 2 * (ready + starting)
