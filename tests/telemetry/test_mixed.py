"""What was read of each engine's targets, put together."""

import pytest
from support.prometheus import make_objective, make_spec, make_variant

from flyball.core.observation import (
    ABSENT,
    BucketEdges,
    ObjectiveReading,
    Percentiles,
    SignalState,
    VariantSignals,
    WindowShare,
    WorkloadSignals,
    ok,
)
from flyball.core.service.own_counts import OwnReadings
from flyball.core.service.reliability import EventCounts, RequestEvent
from flyball.telemetry.mixed import together

SPEC = make_spec(variants=(make_variant("a"), make_variant("b")), objectives=(make_objective(),))
NAME = SPEC.objectives[0].name
EXACT, BETWEEN = BucketEdges(True, 1.0, 1.0), BucketEdges(False, 0.5, 2.0)


def part(variant: str, good: float, total: float, p95: float = 1.0, **more: object) -> WorkloadSignals:
    reading = ObjectiveReading(
        NAME,
        more.pop("state", SignalState.OK),
        (WindowShare(60.0, good, total), WindowShare(300.0, 5 * good, 5 * total)),
        Percentiles(0.1, p95, 2.0),
        more.pop("edges", EXACT),
        age_seconds=total,
    )
    events = EventCounts(60.0, ((RequestEvent.REQUESTS, total), (RequestEvent.TIMEOUT, 1.0)))
    return WorkloadSignals(
        (reading,),
        (VariantSignals(variant, running=ok(total)),),
        completions=((300.0, total),),
        own=OwnReadings(events=(events,)),
        **more,
    )


def test_one_engine_is_left_as_it_is() -> None:
    alone = part("a", 9.0, 10.0)
    assert together(SPEC, [alone]) is alone


def test_events_add_up_and_the_slower_engine_s_percentiles_are_told() -> None:
    whole = together(SPEC, [part("b", 9.0, 10.0, p95=3.0), part("a", 1.0, 10.0)])
    (reading,) = whole.objectives
    assert [variant.name for variant in whole.variants] == ["a", "b"]
    assert [(share.window_seconds, share.good, share.total) for share in reading.shares] == [
        (60, 10, 20),
        (300, 50, 100),
    ]
    assert reading.percentiles is not None
    assert reading.percentiles.p95 == 3.0
    assert dict(whole.completions) == {300.0: 20.0}
    assert dict(whole.own.events[0].counts) == {RequestEvent.REQUESTS: 20.0, RequestEvent.TIMEOUT: 2.0}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (SignalState.OK, SignalState.OK),
        (SignalState.INSUFFICIENT, SignalState.OK),
        (SignalState.STALE, SignalState.STALE),
        (SignalState.INVALID, SignalState.INVALID),
    ],
)
def test_the_worse_state_counts_but_a_quiet_engine_takes_nothing_from_a_busy_one(
    state: SignalState, expected: SignalState
) -> None:
    whole = together(SPEC, [part("a", 9.0, 10.0), part("b", 1.0, 1.0, state=state, edges=BETWEEN)])
    assert whole.objectives[0].state is expected
    assert whole.objectives[0].edges == BETWEEN


def test_an_engine_that_exports_nothing_of_an_objective_leaves_it_to_the_other() -> None:
    silent = WorkloadSignals((ObjectiveReading(NAME, SignalState.ABSENT),), (VariantSignals("b"),))
    whole = together(SPEC, [part("a", 9.0, 10.0), silent])
    assert whole.objectives[0].shares[0].total == 10.0
    assert whole.completions == ()


def test_a_window_that_one_engine_does_not_cover_is_left_out() -> None:
    short = part("b", 1.0, 10.0)
    reading = ObjectiveReading(NAME, SignalState.OK, short.objectives[0].shares[:1])
    whole = together(SPEC, [part("a", 9.0, 10.0), WorkloadSignals((reading,), short.variants)])
    assert [share.window_seconds for share in whole.objectives[0].shares] == [60.0]


def test_a_failure_is_the_whole_workload_s_and_either_engine_hears_who_asks() -> None:
    failed = together(SPEC, [part("a", 9.0, 10.0), WorkloadSignals(problem="Prometheus is down")])
    assert failed.problem == "Prometheus is down"
    heard = together(SPEC, [part("a", 9.0, 10.0, wanted=ABSENT), part("b", 9.0, 10.0, wanted=ok(2.0))])
    assert heard.wanted.value == 2.0
