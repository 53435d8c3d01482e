from decimal import Decimal

import pytest
from core.cases import GOOD, decided, desired, fallback, objective, observation, route, settled_memory, signals, spec

from flyball.core.decision import Decision
from flyball.core.names import Indicator
from flyball.core.observation import ObjectiveReading, Observation, SignalState, WindowShare
from flyball.core.service.own_counts import (
    Cache,
    CacheKind,
    CacheReading,
    Guard,
    OwnCounts,
    OwnReadings,
    TemplateCounts,
)
from flyball.core.service.own_counts import TokenCount as T
from flyball.core.service.reliability import EventCounts, RequestEvent
from flyball.core.service.reuse import ENGINE_PREFIX, SavingState
from flyball.core.spec import Component, Prices, TelemetrySource, Unit, WorkloadSpec

E = RequestEvent
CACHE = Cache("embeddings", CacheKind.EMBEDDING, "h", "l", guard=Guard("g", at_least=0.9))
OWN = OwnReadings(
    events=(EventCounts(3600.0, ((E.REQUESTS, 1000.0), (E.TIMEOUT, 10.0), (E.CLIENT_MISTAKE, 500.0))),),
    templates=(TemplateCounts("faq", ((T.REQUESTS, 100.0), (T.RETRIEVAL_CONTEXT, 5000.0))),),
    caches=(CacheReading("embeddings", 3600.0, 900.0, 3600.0, 1.0),),
    problems=("telemetry.requestEvents[Retry].query: parse error", "telemetry.tokens[Output].query: late"),
)


def counted(indicator: Indicator, target: float = 0.99) -> WorkloadSpec:
    ends = objective("ends", target, indicator=indicator, threshold_seconds=None)
    return spec(objectives=(objective(), ends), fallback=fallback(trigger_for_seconds=0.0))


def seen(bad: float) -> Observation:
    windows = (60.0, 300.0, 3600.0)
    ends = ObjectiveReading("ends", SignalState.OK, tuple(WindowShare(w, 1000 * (1 - bad), 1000.0) for w in windows))
    return observation(objectives=(GOOD, ends), routes=(route(),))


@pytest.mark.parametrize(
    ("indicator", "moves"),
    [
        pytest.param(Indicator.AVAILABILITY, True, id="a fallback answers what the primary does not"),
        pytest.param(Indicator.TIMEOUTS, True, id="or not in time"),
        pytest.param(Indicator.TRUNCATION, False, id="a fallback is cut off at the same limit"),
        pytest.param(Indicator.RETRIEVAL, False, id="and gets the same context"),
        pytest.param(Indicator.RETRIES, False, id="and is asked as often"),
        pytest.param(Indicator.FALLBACKS, False, id="and what a gateway moved is moved"),
    ],
)
def test_how_requests_end_moves_traffic_where_that_helps_and_never_the_size(indicator: Indicator, moves: bool) -> None:
    workload = counted(indicator)
    fine = decided(workload, seen(0.0))
    broken = decided(workload, seen(0.5))
    assert [report.state for report in fine.objectives] == ["Met", "Met"]
    assert [report.state for report in broken.objectives] == ["Met", "Breached"]
    assert desired(broken) == desired(fine)
    assert any(r.weights not in (None, (1, 0)) for r in broken.routes) is moves


def test_a_tight_budget_of_failures_makes_no_slow_request_dearer() -> None:
    memory = settled_memory(counted(Indicator.AVAILABILITY), seen(0.0))
    loose, tight = (
        decided(counted(Indicator.AVAILABILITY, target), seen(0.0), memory).variants for target in (0.9, 0.99999)
    )
    assert loose == tight


def efficient(**fields: object) -> Decision:
    prices = Prices(components=(Component("vectors", "Embedding", Unit.REQUEST, Decimal("0.001")),))
    workload = spec(telemetry=TelemetrySource(own=OwnCounts(caches=(CACHE,))), prices=prices)
    return decided(workload, observation(own=OWN, **fields))


def test_the_reports_of_a_decision() -> None:
    found = efficient(signal=signals(rate=3.0, cached_prompt_share=0.4)).efficiency
    assert found.reliability is not None
    assert found.reliability.requests == 500.0
    assert found.reliability.problems == OWN.problems[:1]
    assert found.tokens is not None
    assert (found.tokens.mean.input, found.tokens.mean.retrieval_context) == (pytest.approx(100.0), 50.0)
    assert found.tokens.mean.cached == pytest.approx(40.0)
    assert found.tokens.problems == OWN.problems[1:]
    prefix, embeddings = found.caches
    assert (prefix.name, prefix.state, prefix.hit_rate) == (ENGINE_PREFIX, SavingState.COUNTED, pytest.approx(0.4))
    assert (embeddings.hit_rate, embeddings.saving) == (0.25, Decimal("0.9"))


def test_nothing_is_reported_of_what_is_not_known() -> None:
    nothing = decided(spec(), observation(problem="Prometheus is down")).efficiency
    assert (nothing.reliability, nothing.caches) == (None, ())
