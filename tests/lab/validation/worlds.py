"""Rows of engines that obey the law, or nearly."""

from functools import cache

from flyball.lab.validation.calibration import Coefficients, ample_kv_tokens
from flyball.lab.validation.closed_loop import out_of_step
from flyball.lab.validation.rows import EngineRow, EngineSet, Load

TRUE = Coefficients(11.0, 0.055, 2.8e-5, 0.045)
ENGINE = EngineSet("meta-llama/Llama-3.1-70B", "h100_sxm", "vllm", "0.12", "fp8", 4)
LOADS = tuple(Load(clients, prompt, output) for prompt in (512, 2048) for output in (32, 128) for clients in (1, 4, 16))


@cache
def obeying(
    coefficients: Coefficients = TRUE, engine: EngineSet = ENGINE, loads: tuple[Load, ...] = LOADS
) -> tuple[EngineRow, ...]:
    """What a benchmark with clients out of step would measure, were the law exact."""
    rows = []
    for load in loads:
        blank = EngineRow(engine, load, 1.0, 1.0)
        means = out_of_step(coefficients.engine(ample_kv_tokens(blank)), load)
        rows.append(EngineRow(engine, load, means.ttft_ms, means.tpot_ms))
    return tuple(rows)
