"""Fitting the law through the simulator."""

import pytest
from lab.validation.worlds import LOADS, TRUE, obeying

from flyball.lab.validation.calibration import Coefficients, ample_kv_tokens, fit
from flyball.lab.validation.closed_loop import out_of_step
from flyball.lab.validation.judgement import median_error
from flyball.lab.validation.rows import Load


@pytest.mark.parametrize(
    "law",
    [
        pytest.param(TRUE, id="70B on four H100"),
        pytest.param(Coefficients(6.4, 0.0, 5e-5, 0.02), id="8B on an H100"),
        pytest.param(Coefficients(77.0, 0.3, 6.4e-4, 0.265), id="8B on an L4"),
    ],
)
def test_rows_that_obey_the_law_are_described(law: Coefficients) -> None:
    """Not to the last digit: loops have whole iterations, of which the regression knows the mean only."""
    rows = obeying(law)
    found = fit(rows)
    errors = [out_of_step(found.engine(ample_kv_tokens(row)), row.load).tpot_ms / row.tpot_ms - 1 for row in rows]
    assert (median_error(errors) or 1) < 0.015
    assert max(map(abs, errors)) < 0.06
    assert found.base_ms == pytest.approx(law.base_ms, rel=0.02)
    assert found.per_prefill_token_ms == pytest.approx(law.per_prefill_token_ms, rel=0.2)


def test_a_lone_client_decodes_without_prefill() -> None:
    """So that its rows tell the base and the context apart, exactly."""
    loads = tuple(Load(1, prompt, 32) for prompt in (100, 1000, 5000, 9000))
    law = Coefficients(10.0, 0.0, 1e-3, 0.05)
    found = fit(obeying(law, loads=loads))
    assert found.base_ms + found.per_sequence_ms == pytest.approx(10.0, rel=1e-3)
    assert found.per_context_token_ms == pytest.approx(1e-3, rel=1e-3)


def test_an_iteration_always_takes_time() -> None:
    """Rows whose time grows faster than in proportion to the clients ask for a negative base."""
    rows = [type(row)(row.engine, row.load, row.ttft_ms, 0.1 * row.load.concurrency**1.5) for row in obeying()]
    found = fit(rows)
    assert found.base_ms >= 0.01
    assert min(found.per_sequence_ms, found.per_context_token_ms, found.per_prefill_token_ms) >= 0


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="3 rows cannot tell 4 coefficients apart"):
        fit(obeying(loads=LOADS[:3]))
