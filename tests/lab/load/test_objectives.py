import pytest

from flyball.core.names import Indicator
from flyball.lab.load.objectives import Attainment, LoadObjective, attain, parse_objective
from flyball.lab.load.results import ErrorKind, RequestRecord


def record(ttft: float | None = 0.5, itl: float | None = 0.1, tokens: int = 11, **more: object) -> RequestRecord:
    """By default: first token after 0.5 s, ten more 0.1 s apart, done after 1.5 s."""
    e2e = None if ttft is None else ttft + (tokens - 1) * (itl or 0.0)
    fields = {
        "received_tokens": tokens,
        "ttft_seconds": ttft,
        "itl_mean_seconds": itl,
        "e2e_seconds": e2e,
        "status": 200,
    }
    return RequestRecord(0, "", 0.0, 0.0, 10, tokens, **(fields | more))  # type: ignore[arg-type]


FAILED = record(None, None, 0, status=503, error=ErrorKind.SERVER_ERROR, e2e_seconds=0.01)
TRUNCATED = record(error=ErrorKind.TRUNCATED)
REJECTED = record(None, None, 0, status=400, error=ErrorKind.CLIENT_ERROR)
THROTTLED = record(None, None, 0, status=429, error=ErrorKind.CLIENT_ERROR)
CANCELLED = record(status=None, error=ErrorKind.CANCELLED)
REFUSED = record(None, None, 0, status=None, error=ErrorKind.REFUSED)


@pytest.mark.parametrize(
    ("text", "objective"),
    [
        ("TimeToFirstToken<1s@95%", LoadObjective(Indicator.TIME_TO_FIRST_TOKEN, 1.0, 0.95)),
        (" InterTokenLatency <= 150ms @ 99.5% ", LoadObjective(Indicator.INTER_TOKEN_LATENCY, 0.15, 0.995)),
        ("EndToEnd<1m30s@90%", LoadObjective(Indicator.END_TO_END, 90.0, 0.9)),
        ("Availability@99.9%", LoadObjective(Indicator.AVAILABILITY, None, 0.999)),
    ],
)
def test_objectives_are_parsed_and_printed_back(text: str, objective: LoadObjective) -> None:
    assert parse_objective(text) == objective
    again = parse_objective(str(objective))
    assert (again.indicator, again.threshold_seconds) == (objective.indicator, objective.threshold_seconds)
    assert again.target == pytest.approx(objective.target)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(
            "TTFT<1s@95%", "is not an objective; write for example .* with one of TimeToFirstToken", id="unknown name"
        ),
        pytest.param("QueueTime<1s@95%", "with one of TimeToFirstToken", id="what a client cannot see"),
        pytest.param("TimeToFirstToken<1s", "is not an objective", id="no target"),
        pytest.param("TimeToFirstToken@95%", "needs a threshold", id="no threshold"),
        pytest.param("Availability<1s@95%", "has no threshold", id="a threshold too many"),
        pytest.param("TimeToFirstToken<1@95%", "'1' is not a duration", id="no unit"),
        pytest.param("TimeToFirstToken<0s@95%", "a threshold of 0 cannot be met", id="zero"),
        pytest.param("TimeToFirstToken<1s@950%", "not a percentage between", id="more than all"),
    ],
)
def test_a_wrong_objective_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_objective(text)


TTFT, ITL, E2E, UP = "TimeToFirstToken<1s@50%", "InterTokenLatency<100ms@50%", "EndToEnd<2s@50%", "Availability@50%"


@pytest.mark.parametrize(
    ("objectives", "records", "expected"),
    [
        pytest.param([TTFT], [record(1.0), record(1.001)], [("latency", 1, 2)], id="the threshold itself is good"),
        pytest.param([TTFT], [record(), FAILED, TRUNCATED, REFUSED], [("latency", 1, 4)], id="every failure is bad"),
        pytest.param(
            [TTFT], [record(), REJECTED, CANCELLED], [("latency", 1, 1)], id="invalid and cut-off requests are left out"
        ),
        pytest.param([TTFT], [record(), THROTTLED], [("latency", 1, 2)], id="being throttled is bad"),
        pytest.param([E2E], [record(), record(1.1)], [("latency", 1, 2)], id="end to end: 1.5 s is good, 2.1 s is not"),
        pytest.param([UP], [record(99.0), FAILED], [("success", 1, 2)], id="a slow success is available"),
        pytest.param([ITL], [record(), record(itl=0.11)], [("mean", 1, 2)], id="alone, the mean per token is judged"),
        pytest.param([ITL], [record(), record(itl=None, tokens=1)], [("mean", 1, 1)], id="one token has no mean"),
        # The deadline is 1 s + 10 × 100 ms = 2 s: 0.5 + 1.4 is in time, its mean too long, and 1.3 + 0.8 is late.
        pytest.param(
            [TTFT, ITL],
            [record(0.5, 0.14), record(1.3, 0.08), FAILED],
            [("latency", 1, 3), ("deadline", 1, 3), ("mean", 1, 3)],
            id="beside a TTFT objective, the deadline is judged too",
        ),
        pytest.param(
            [ITL, TTFT],
            [record(0.9, None, 1), record(1.1, None, 1)],
            [("deadline", 1, 2), ("mean", 0, 0), ("latency", 1, 2)],
            id="one token is in time by its first token",
        ),
        pytest.param([TTFT], [], [("latency", 0, 0)], id="no requests"),
    ],
)
def test_shares_worked_by_hand(
    objectives: list[str], records: list[RequestRecord], expected: list[tuple[str, int, int]]
) -> None:
    attained = attain([parse_objective(text) for text in objectives], records)
    assert [(one.form, one.good, one.total) for one in attained] == expected


def test_absence_meets_nothing() -> None:
    objective = parse_objective(TTFT)
    assert (Attainment(objective, "latency", 0, 0).share, Attainment(objective, "latency", 0, 0).met) == (None, False)
    assert Attainment(objective, "latency", 1, 2).met
