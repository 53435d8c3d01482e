"""Figures of judged rows, counted by hand."""

import json
import math

import pytest
from lab.validation.worlds import ENGINE, TRUE

from flyball.lab.validation.closed_loop import Means
from flyball.lab.validation.judgement import JudgedRow, Judgement
from flyball.lab.validation.results import summarize
from flyball.lab.validation.rows import EngineRow, Load


def row(tpot_error: float, ttft_ms: float = 150.0, *, fits: bool = True) -> JudgedRow:
    """Measured: 20 ms per output token. Predicted to the first one: 100 ms out of step, 200 ms in step."""
    measured = EngineRow(ENGINE, Load(4, 512, 64), ttft_ms, 20.0)
    return JudgedRow(measured, Means(100.0, 20.0 * (1 + tpot_error)), 200.0, fits)


def judgement(*rows: JudgedRow, unseen: tuple[float, ...] = ()) -> Judgement:
    return Judgement(ENGINE, TRUE, (0.01,), rows, unseen, ())


def test_rows_of_all_engines_count_alike() -> None:
    good = judgement(row(0.01), row(-0.02), row(0.03), unseen=(0.2,))
    bad = judgement(row(-0.06, ttft_ms=90.0), row(0.12))
    found = summarize([good, bad])
    assert found["judgedRows"] == 5
    assert found["tpotMedianError"] == pytest.approx(0.03)
    assert found["tpotUnder5Percent"] == pytest.approx(3 / 5)
    assert found["tpotUnder10Percent"] == pytest.approx(4 / 5)
    assert found["enginesUnder5Percent"] == 1
    assert found["ttftBetween"] == pytest.approx(4 / 5)
    assert found["ttftMedianErrorOutOfStep"] == pytest.approx(-1 / 3)
    assert found["ttftMedianErrorInStep"] == pytest.approx(1 / 3)
    assert found["unseenPromptMedianError"] == pytest.approx(0.2)
    assert found["unseenConcurrencyMedianError"] is None
    assert found["engines"][1]["judgedTpotLargestError"] == pytest.approx(0.12)


def test_rows_short_of_cache_are_counted_apart() -> None:
    (engine,) = summarize([judgement(row(0.01), row(0.5, fits=False))])["engines"]
    assert engine["judgedTpotMedianError"] == pytest.approx(0.01)
    assert (engine["shortOfCacheCount"], engine["shortOfCacheTpotMedianError"]) == (1, pytest.approx(0.5))


def test_what_cannot_be_predicted_is_null() -> None:
    unknown = JudgedRow(row(0.0).row, Means(math.nan, math.nan), math.nan, fits=False)
    found = summarize([judgement(row(0.01), unknown)])
    shown = json.loads(json.dumps(found, allow_nan=False))["engines"][0]
    assert shown["rows"][1]["predictedTpotMs"] is None
    assert shown["shortOfCacheCount"] == 0
