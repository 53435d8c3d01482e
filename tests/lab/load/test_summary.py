from datetime import UTC, datetime

import numpy as np
import pytest

from flyball.lab.load.objectives import parse_objective
from flyball.lab.load.results import ErrorKind, RequestRecord
from flyball.lab.load.runner import LoadPlan, LoadResult
from flyball.lab.load.summary import percentiles, summarize, summary_lines
from flyball.lab.trace import Trace


def done(index: int, ttft: float, backend: str = "a", lag: float = 0.001) -> RequestRecord:
    return RequestRecord(
        index, "", float(index), lag, 10, 5, 10, 5, ttft, 0.1, 0.2, ttft + 0.4, 200, backend=backend
    )  # fmt: skip


RECORDS = (
    done(0, 0.1),
    done(1, 0.2, "b"),
    done(2, 0.3),
    RequestRecord(3, "", 3.0, 0.001, 10, 5, received_tokens=2, status=200, error=ErrorKind.TRUNCATED, detail="cut"),
    RequestRecord(4, "", 4.0, 0.001, 10, 5, status=503, error=ErrorKind.SERVER_ERROR, detail="overloaded"),
    RequestRecord(5, "", 5.0, None, 10, 5, error=ErrorKind.REFUSED),
    RequestRecord(6, "", 6.0, 0.001, 10, 5, error=ErrorKind.CANCELLED),
)


def result(records: tuple[RequestRecord, ...] = RECORDS, planned: int = 8) -> LoadResult:
    trace = Trace("t", np.arange(float(planned)), np.full(planned, 10), np.full(planned, 5), float(planned))
    plan = LoadPlan(trace, "http://127.0.0.1:1")
    return LoadResult(plan, records, datetime(2026, 1, 2, tzinfo=UTC), 10.0, 0.5, 3, interrupted=True)


def test_every_request_is_counted_exactly_once() -> None:
    summary = summarize(result())
    assert {name: summary[name] for name in ("planned", "sent", "completed", "failed", "cancelled", "refused")} == {
        "planned": 8, "sent": 6, "completed": 3, "failed": 2, "cancelled": 1, "refused": 1,
    }  # fmt: skip
    assert summary["errors"] == {"5xx": 1, "cancelled": 1, "refused": 1, "truncated": 1}
    assert summary["statuses"] == {"200": 4, "503": 1}
    assert summary["backends"] == {"a": 2, "b": 1}
    assert (summary["requestsPerSecond"], summary["outputTokensPerSecond"]) == (0.6, 1.7)
    assert (summary["outputTokensAsked"], summary["outputTokensReceived"]) == (15, 15)
    assert summary["generator"]["cpuShare"] == 0.05


def test_percentiles_are_over_completed_requests() -> None:
    ttft = summarize(result())["ttftSeconds"]
    assert ttft == pytest.approx({"mean": 0.2, "p50": 0.2, "p95": 0.29, "p99": 0.298, "max": 0.3})
    assert percentiles([None]) is None


def test_the_text_names_every_kind_of_failure_and_each_objective() -> None:
    text = "\n".join(summary_lines(summarize(result(), [parse_objective("TimeToFirstToken<250ms@50%")])))
    assert "stopped early: 6 of 8 requests sent in 10s; 3 completed, 2 failed, 1 cancelled, 1 refused" in text
    assert "TimeToFirstToken<250ms@50% (latency): 33.33% of 6 MISSED" in text
    assert "error 5xx: 1 × overloaded" in text
    assert "error truncated: 1 × cut" in text
    assert "error cancelled" not in text
    assert "served by: a 2, b 1" in text
    assert "generator itself" not in text


def test_a_late_generator_distrusts_itself() -> None:
    text = "\n".join(summary_lines(summarize(result((done(0, 0.1, lag=0.5),)))))
    assert "The generator itself was late (send lag p99 500 ms, 5% of a core)" in text


def test_nothing_done_gives_no_figures() -> None:
    summary = summarize(result(()), [parse_objective("Availability@50%")])
    assert (summary["ttftSeconds"], summary["objectives"][0]["attained"], summary["objectives"][0]["met"]) == (
        None,
        None,
        False,
    )
    assert "Availability@50% (success): no requests" in "\n".join(summary_lines(summary))
