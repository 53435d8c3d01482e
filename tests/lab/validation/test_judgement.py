"""Predicting rows that were not fitted."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from lab.validation.worlds import ENGINE, LOADS, TRUE, obeying

from flyball.lab.validation.closed_loop import Means
from flyball.lab.validation.judgement import JudgedRow, Judgement, judge, median_error, predict
from flyball.lab.validation.rows import EngineRow, EngineSet, Load

SMALL = EngineSet("meta-llama/Llama-3.1-70B", "h100_sxm", "vllm", "", "fp8", 2)
"""Its cache holds 241,218 tokens in 16 bits, 482,437 in 8."""


def judged(engine: EngineSet, rows: Sequence[EngineRow]) -> Judgement:
    found = judge(engine, rows)
    assert found is not None
    return found


def test_rows_that_obey_the_law_are_predicted_unseen() -> None:
    rows = obeying()
    found = judged(ENGINE, rows)
    assert tuple(one.row for one in found.rows) == rows
    assert found.judged == found.rows
    assert max(abs(one.tpot_error) for one in found.rows) < 0.1
    assert (median_error([one.tpot_error for one in found.rows]) or 1) < 0.02
    assert len(found.unseen_prompt_errors) == len(found.unseen_concurrency_errors) == len(rows)


def test_a_row_does_not_judge_itself() -> None:
    """A row that is wrong by half is predicted as the others have it."""
    rows = obeying()
    wrong = replace(rows[4], tpot_ms=rows[4].tpot_ms * 2)
    found = judged(ENGINE, [*rows[:4], wrong, *rows[5:]])
    assert found.rows[4].tpot_error == pytest.approx(-0.5, abs=0.05)


def test_the_same_row_twice_is_judged_twice() -> None:
    rows = obeying()
    assert len(judged(ENGINE, [*rows, rows[0]]).rows) == len(rows) + 1


def test_too_few_rows_are_not_judged() -> None:
    assert judge(ENGINE, obeying(loads=LOADS[:7])) is None


def test_one_prompt_length_cannot_be_extrapolated() -> None:
    loads = tuple(Load(clients, 512, output) for output in (32, 128) for clients in (1, 2, 4, 16))
    found = judged(ENGINE, obeying(loads=loads))
    assert not found.unseen_prompt_errors
    assert found.unseen_concurrency_errors


def test_rows_short_of_cache_are_predicted_but_neither_fitted_nor_judged() -> None:
    rows = obeying(engine=SMALL)
    short = EngineRow(SMALL, Load(16, 32_000, 64), 30_000.0, 1e9)
    too_large = EngineRow(SMALL, Load(2, 500_000, 64), 30_000.0, 50.0)
    found = judged(SMALL, [*rows, short, too_large])
    assert found.coefficients == judged(SMALL, rows).coefficients
    assert [one.row for one in found.short_of_cache] == [short]
    assert tuple(one.row for one in found.judged) == rows


def test_waiting_for_the_cache_is_part_of_the_first_token() -> None:
    """Of 16 requests 15 fit 482,437 tokens in 8 bits; the 16th waits for one of them to end."""
    row = EngineRow(SMALL, Load(16, 32_000, 64), 1.0, 1.0)
    waiting, at_once = predict(row, TRUE), predict(replace(row, engine=replace(SMALL, gpus=8)), TRUE)
    assert not waiting.fits
    assert at_once.fits
    assert waiting.predicted.ttft_ms > at_once.predicted.ttft_ms


def test_errors_are_relative_to_what_was_measured() -> None:
    one = JudgedRow(EngineRow(ENGINE, LOADS[0], 200.0, 20.0), Means(150.0, 21.0), 300.0, fits=True)
    assert one.tpot_error == pytest.approx(0.05)
    assert one.ttft_error == pytest.approx(-0.25)
    assert one.in_step_ttft_error == pytest.approx(0.5)


def test_no_rows_have_no_median() -> None:
    assert median_error([]) is None
    assert median_error([-0.2, 0.1, 0.3]) == 0.2
