"""Who asks for a workload, seen without any of its pods: what is read as somebody, as nobody, and as not known."""

import math
from collections.abc import Callable, Sequence

import pytest
from support.prometheus import Respond, Stub, make_spec, vector

from flyball.core.observation import SignalState
from flyball.core.spec import Scaling, TargetRef, ToZero
from flyball.telemetry import queries
from flyball.telemetry.answers import Answer, Row, Table
from flyball.telemetry.pods import GROUP_LABEL
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.promql import SERIES_LABEL
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.signals import Answers
from flyball.telemetry.wakeup import QUERY, read_wanted

NOW = 1000.0
SMALL = TargetRef("apps/v1", "Deployment", "small")


def row(part: str, value: float, *, pod: str = "", group: str = "small/*") -> Row:
    labels = {SERIES_LABEL: part, "namespace": "team-a", GROUP_LABEL: group, "model_name": "another"}
    return Row(labels | ({"pod": pod} if pod else {}), value)


def at_fallback(running: float = 0.0, waiting: float = 0.0, rate: float = 0.0, age: float = 5.0) -> list[Row]:
    return [
        row(queries.SAMPLED_AT, NOW - age, pod="a"),
        row(queries.RUNNING, running, pod="a"),
        row(queries.WAITING, waiting, pod="a"),
        row(queries.COMPLETIONS, rate),
    ]


@pytest.mark.parametrize(
    ("values", "rows", "state", "value"),
    [
        pytest.param([0.0], None, SignalState.OK, 0.0, id="nobody asks by the query"),
        pytest.param([0.0, 0.2], None, SignalState.OK, 0.2, id="its series are added up"),
        pytest.param([], None, SignalState.ABSENT, math.nan, id="no answer is no zero"),
        pytest.param([math.nan], None, SignalState.INVALID, math.nan, id="nor is what is no number"),
        pytest.param([-1.0], None, SignalState.INVALID, -1.0, id="nor what cannot be"),
        pytest.param(None, at_fallback(), SignalState.OK, 0.0, id="nobody asks at the fallback"),
        pytest.param(None, at_fallback(running=2, waiting=1), SignalState.OK, 3.0, id="requests are there"),
        pytest.param(None, at_fallback(rate=0.5), SignalState.OK, 0.5, id="requests have just finished there"),
        pytest.param(None, at_fallback(age=90), SignalState.STALE, math.nan, id="its pods report no more"),
        pytest.param(None, at_fallback()[:2], SignalState.ABSENT, math.nan, id="half of what is needed"),
        pytest.param(None, [], SignalState.ABSENT, math.nan, id="it was never seen"),
        pytest.param(
            None,
            [row(queries.RUNNING, 9.0, pod="b", group="other/*")],
            SignalState.ABSENT,
            math.nan,
            id="somebody else's pods",
        ),
        pytest.param([0.0], at_fallback(rate=0.5), SignalState.OK, 0.5, id="either is enough"),
        pytest.param([], at_fallback(rate=0.5), SignalState.OK, 0.5, id="even where the other is lost"),
        pytest.param([], at_fallback(), SignalState.ABSENT, math.nan, id="but for silence both must be heard"),
        pytest.param(None, None, SignalState.ABSENT, math.nan, id="nothing is declared"),
    ],
)
def test_who_asks(values: Sequence[float] | None, rows: list[Row] | None, state: SignalState, value: float) -> None:
    declared = ToZero(1800.0, query="" if values is None else "x", fallback_target=None if rows is None else SMALL)
    table = Table(Answer(tuple(rows or ())))
    own = {QUERY: Answer(tuple(Row({"n": str(n)}, v) for n, v in enumerate(values or ())))}
    answers = Answers(NOW, {queries.GAUGES: table, queries.RATES: table}, {})
    found = read_wanted(make_spec(scaling=Scaling(to_zero=declared)), answers, own)
    assert (found.state, found.value) == (state, pytest.approx(value, nan_ok=True))


@pytest.mark.parametrize(
    ("status", "state", "value"),
    [
        pytest.param(200, SignalState.OK, 2.0, id="answered"),
        pytest.param(500, SignalState.ABSENT, math.nan, id="refused, which is not the rest's failure"),
    ],
)
async def test_the_users_query_is_asked_beside_the_others(
    start: Callable[[Respond], Stub], status: int, state: SignalState, value: float
) -> None:
    def respond(form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        return (status, {}, vector(({}, 2.0))) if form["query"] == "my_gateway_rate" else (200, {}, vector())

    metrics = PrometheusMetrics(PrometheusSettings(start(respond).url, timeout_seconds=60.0))
    spec = make_spec(scaling=Scaling(to_zero=ToZero(1800.0, query="my_gateway_rate")))
    found = (await metrics.read([spec], NOW))[spec.key]
    await metrics.aclose()
    assert found.problem == ""
    assert (found.wanted.state, found.wanted.value) == (state, pytest.approx(value, nan_ok=True))
