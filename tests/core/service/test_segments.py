"""Which segment is named as the worst, and how segments read."""

import pytest
from core.cases import objective, observation, spec

from flyball.core.decide import decide
from flyball.core.memory import Memory
from flyball.core.service.latency import SegmentReading, SegmentsReading
from flyball.core.service.segments import told

WORKLOAD = spec(objectives=(objective("answer", target=0.9),))


def segment(tenant: str, requests: float, missed: float | None, p95: float = 1.0) -> SegmentReading:
    return SegmentReading((("tenant", tenant),), requests, p95, missed)


@pytest.mark.parametrize(
    ("segments", "rest", "worst"),
    [
        pytest.param([("a", 500.0, 20.0), ("b", 300.0, 120.0)], None, "tenant=b", id="the one that surely misses most"),
        pytest.param([("a", 500.0, 20.0), ("b", 5.0, 2.0)], None, "", id="five requests say nothing"),
        pytest.param([("a", 500.0, 60.0)], None, "", id="what chance explains names nobody"),
        pytest.param([("a", 500.0, 20.0)], (900.0, 400.0), "other", id="nobody hides behind the cap"),
        pytest.param([("a", 500.0, None)], None, "", id="what cannot be counted names nobody"),
    ],
)
def test_the_worst_segment(
    segments: list[tuple[str, float, float | None]], rest: tuple[float, float] | None, worst: str
) -> None:
    reading = SegmentsReading(
        "EndToEnd",
        tuple(segment(*each) for each in segments),
        SegmentReading((), rest[0], missed=rest[1]) if rest else None,
        12,
        "answer",
    )
    (report,) = told(WORKLOAD, observation(segments=(reading,)).signals, Memory())
    assert report.worst == worst
    assert [each.name for each in report.segments] == [f"tenant={s[0]}" for s in segments] + ["other"] * bool(rest)


def test_without_a_promise_to_all_none_is_the_worst() -> None:
    reading = SegmentsReading("QueueTime", (segment("a", 500.0, None, 7.0),), count=1)
    (report,) = told(WORKLOAD, observation(segments=(reading,)).signals, Memory())
    assert (report.worst, report.segments[0].p95, report.segments[0].attained) == ("", 7.0, None)


def test_a_value_is_printable_and_short_for_people() -> None:
    reading = SegmentsReading("EndToEnd", (segment('a\n"b\x1b[2J' + "x" * 999, 5.0, 0.0),), count=1)
    (report,) = told(WORKLOAD, observation(segments=(reading,)).signals, Memory())
    assert report.segments[0].name.startswith('tenant=a?"b?[2Jxxx')
    assert len(report.segments[0].name) < 64


def test_of_segments_that_fare_alike_the_one_named_before_stays() -> None:
    names, memory = [], Memory()
    for missed in ((150.0, 152.0), (153.0, 151.0), (151.0, 152.0), (90.0, 152.0), (150.0, 152.0)):
        pairs = zip("ab", missed, strict=True)
        reading = SegmentsReading(
            "EndToEnd", tuple(segment(t, 300.0, m) for t, m in pairs), count=2, objective="answer"
        )
        decision, memory = decide(WORKLOAD, observation(segments=(reading,)), memory)
        names.append(decision.segments[0].worst)
    assert names == ["tenant=b", "tenant=b", "tenant=b", "tenant=b", "tenant=b"]
    reading = SegmentsReading("EndToEnd", (segment("a", 300.0, 200.0), segment("b", 300.0, 90.0)), None, 2, "answer")
    assert decide(WORKLOAD, observation(segments=(reading,)), memory)[0].segments[0].worst == "tenant=a"
