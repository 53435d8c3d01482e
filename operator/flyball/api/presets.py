"""Published engine priors by model and GPU, from which fitting on live metrics starts.

Sources: least-squares fits of measured points of ai-dynamo/aiconfigurator (Apache-2.0), with their error; rows marked
derived follow from memory bandwidth and arithmetic throughput (0.8 of the bandwidth, half of the peak FLOPs).
"""

from enum import StrEnum
from types import MappingProxyType

from flyball.core.spec import EnginePrior


class EnginePreset(StrEnum):
    """A model on its GPUs."""

    LLAMA_8B_ON_H100 = "Llama8BOnH100"
    LLAMA_70B_FP8_ON_4X_H100 = "Llama70BFP8On4xH100"
    LLAMA_70B_FP8_ON_H200 = "Llama70BFP8OnH200"
    QWEN_32B_ON_2X_H100 = "Qwen32BOn2xH100"
    LLAMA_8B_ON_A100 = "Llama8BOnA100"
    LLAMA_8B_ON_L4 = "Llama8BOnL4"


def _prior(
    base_ms: float, sequence_ms: float, context_ms: float, prefill_ms: float, kv: int, batch: int
) -> EnginePrior:
    return EnginePrior(base_ms / 1000, sequence_ms / 1000, context_ms / 1000, prefill_ms / 1000, kv, batch)


ENGINE_PRIORS = MappingProxyType(
    {
        EnginePreset.LLAMA_8B_ON_H100: _prior(6.4, 0.0, 5.0e-5, 0.020, 451_000, 256),  # TensorRT-LLM, 1.8 %
        EnginePreset.LLAMA_70B_FP8_ON_4X_H100: _prior(11.0, 0.055, 2.8e-5, 0.045, 650_000, 256),  # vLLM, 2.2 %
        EnginePreset.LLAMA_70B_FP8_ON_H200: _prior(20.4, 0.061, 7.1e-5, 0.125, 150_000, 256),  # vLLM, 3.0 %
        EnginePreset.QWEN_32B_ON_2X_H100: _prior(13.8, 0.048, 6.3e-5, 0.049, 300_000, 256),  # vLLM 0.12, 2.6 %
        EnginePreset.LLAMA_8B_ON_A100: _prior(11.8, 0.05, 1.14e-4, 0.103, 451_000, 256),  # derived
        EnginePreset.LLAMA_8B_ON_L4: _prior(77.0, 0.3, 6.4e-4, 0.265, 38_000, 64),  # derived
    }
)
