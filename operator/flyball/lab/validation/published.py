"""Published measurements of engines, and what coefficients from elsewhere predict for them.

published.csv (in the format of rows.py) holds facts from two pages:

- NVIDIA, "NIM LLMs benchmarking: performance", docs.nvidia.com/nim/benchmarking/llm/1.0.0/performance: NIM 1.8.0
  (TensorRT-LLM) with Llama-3.3-70B-Instruct FP8 on two H100 and Llama-3.1-8B-Instruct FP8 on one; AIPerf's closed loop,
  which runs into the limit of the KV cache at the upper end.
- The workload variant autoscaler's docs/tutorials/parameter-estimation.md (github.com/llm-d): vLLM with Llama-3.1-8B on
  one H100, GuideLLM, 128 tokens in and out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flyball.lab.presets import preset
from flyball.lab.validation.calibration import Coefficients
from flyball.lab.validation.judgement import JudgedRow, predict
from flyball.lab.validation.rows import EngineRow, EngineSet

PUBLISHED = Path(__file__).with_name("published.csv")


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Coefficients that owe nothing to the rows they predict."""

    source: str
    coefficients: Coefficients


def elsewhere(engine: EngineSet) -> Elsewhere | None:
    """What is known about such an engine from another source."""
    if engine.system != "h100_sxm":
        return None
    if "70B" in engine.model and engine.precision == "fp8" and engine.gpus == 2:
        # Least squares on 13 rows of aiconfigurator's silicon_sample.csv, mean error there 0.9%.
        rows = Coefficients(16.5, 0.0394, 5.86e-5, 0.0700)
        return Elsewhere("fitted to aiconfigurator's rows of vLLM, same model and GPUs", rows)
    if "8B" in engine.model and not engine.precision and engine.gpus == 1:
        known = preset("h100_8b").parameters
        return Elsewhere(
            "the preset h100_8b, fitted to aiconfigurator's rows of TensorRT-LLM",
            Coefficients(known.base_ms, known.per_sequence_ms, known.per_context_token_ms, known.per_prefill_token_ms),
        )
    return None


def predict_from_elsewhere(rows: Sequence[EngineRow], known: Elsewhere) -> tuple[JudgedRow, ...]:
    """Every row, by those coefficients."""
    return tuple(predict(row, known.coefficients) for row in rows)
