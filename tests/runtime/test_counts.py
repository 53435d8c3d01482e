"""Counts of objectives: every request of a steady look once, none of what nobody looked at."""

from dataclasses import replace
from typing import Any

import pytest
from core.cases import START, observation, shares, spec

from flyball.core.decide import decide
from flyball.core.memory import Memory
from flyball.core.observation import SignalState
from flyball.runtime.counts import HOUR_MS, Counts
from flyball.runtime.tick import Outcome, TickReport

CHAT = spec()
DECISION = decide(CHAT, observation(), Memory())[0]
HOUR = START - START % 3600


def report(at: float, **fields: Any) -> TickReport:
    """A look at 120 requests in the last minute, 6 of them late."""
    reading = fields.pop("reading", shares((6, 120), (6, 600)))
    return TickReport(at, (Outcome(CHAT, observation(at=at, objectives=reading), replace(DECISION, at=at)),), ())


def counted(*looks: TickReport) -> tuple[float, float, int]:
    counts = Counts()
    for each in looks:
        counts.take(each, [CHAT.key])
    found = list(counts.slots().values())
    good, total = (sum(getattr(each, name) for each in found) for name in ("good", "total"))
    return round(good, 6), round(total, 6), sum(each.measured_ms for each in found)


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param([report(HOUR)], (0.0, 0.0, 0), id="one look spans no time"),
        pytest.param([report(HOUR), report(HOUR + 15)], (28.5, 30.0, 15_000), id="a quarter of a minute"),
        pytest.param([report(HOUR + n * 15) for n in range(5)], (114.0, 120.0, 60_000), id="a minute in four looks"),
        pytest.param([report(HOUR), report(HOUR + 61)], (0.0, 0.0, 0), id="a gap"),
        pytest.param([report(HOUR), report(HOUR)], (0.0, 0.0, 0), id="the same moment twice"),
        pytest.param(
            [report(HOUR), report(HOUR + 15, reading=shares((6, 120), state=SignalState.STALE))],
            (0.0, 0.0, 0), id="stale",
        ),
        pytest.param([report(HOUR), report(HOUR + 15, reading=shares())], (0.0, 0.0, 0), id="no window"),
    ],
)  # fmt: skip
def test_what_looks_count(looks: list[TickReport], expected: tuple[float, float, int]) -> None:
    assert counted(*looks) == expected


def test_hours_are_handed_over_once_when_they_are_over_and_can_be_put_back() -> None:
    counts, end = Counts(), round(HOUR * 1000) + HOUR_MS
    for n in range(0, 3660, 60):
        counts.take(report(HOUR + n))
    assert counts.hours_before(end - 1) == {}
    done = counts.hours_before(end)
    ((key, count),) = done.items()
    assert (key, round(count.total)) == ((CHAT.key, "ttft", round(HOUR * 1000)), 59 * 120)
    assert counts.hours_before(end) == {}
    counts.put_back(done)
    assert counts.hours_before(end)[key].measured_ms == 59 * 60_000


def test_slots_are_kept_of_those_in_experiments_only() -> None:
    counts = Counts()
    for n in range(4):
        counts.take(report(HOUR + n * 15))
    assert counts.slots() == {}


def test_slots_are_handed_over_once_and_can_be_put_back() -> None:
    counts = Counts()
    for n in range(3):
        counts.take(report(HOUR + n * 15), [CHAT.key])
    done = counts.slots()
    assert [(each[0], each[2], round(count.total)) for each, count in done.items()] == [(CHAT.key, HOUR * 1000, 60)]
    assert counts.slots() == {}
    counts.take(report(HOUR + 45), [CHAT.key])
    counts.put_slots_back(done)
    assert [round(count.total) for count in counts.slots().values()] == [90]
