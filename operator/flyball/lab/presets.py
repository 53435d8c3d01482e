"""Named engine replicas: a model on an accelerator, with published or derived timing, and engine parameters from files.

Figures marked measured are least-squares fits to measured points (ai-dynamo/aiconfigurator silicon_sample.csv,
Apache-2.0; TTFT is the least transferable part). Figures marked derived come from a roofline: base = weights read at
0.8 × the memory bandwidth × 1.15 to 1.3 for engine overhead, per context token = 128 KiB of KV at that rate, prefill
at 50% of peak. All use a request overhead of 16 ms (HTTP and tokenization: 15.6 ms in inference-sim's trained-physics
coefficients).
"""

import math
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from flyball.lab.engine import EngineParameters

_REQUEST_OVERHEAD_MS = 16.0

_FIELDS = {
    "baseMs": "base_ms",
    "perSequenceMs": "per_sequence_ms",
    "perContextTokenMs": "per_context_token_ms",
    "perPrefillTokenMs": "per_prefill_token_ms",
    "requestOverheadMs": "request_overhead_ms",
    "kvTokens": "kv_tokens",
    "maxBatch": "max_batch",
    "maxBatchedTokens": "max_batched_tokens",
    "blockTokens": "block_tokens",
}
_OPTIONAL = {"requestOverheadMs": _REQUEST_OVERHEAD_MS, "blockTokens": 16}
_WHOLE_NUMBERS = frozenset({"kvTokens", "maxBatch", "maxBatchedTokens", "blockTokens"})


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A GPU as Kubernetes and DCGM name it."""

    product: str
    """Value of the node label nvidia.com/gpu.product."""
    dcgm_model: str
    """DCGM exporter's label modelName."""
    memory_mib: int
    idle_watts: float
    peak_watts: float


@dataclass(frozen=True, slots=True)
class EnginePreset:
    """One replica: its engine, and the GPUs that it occupies."""

    name: str
    parameters: EngineParameters
    accelerator: Accelerator
    gpus: int
    source: str


# Memory as nvidia-smi reports it (MiB); power: idle and board limit of the data sheets.
ACCELERATORS: Mapping[str, Accelerator] = types.MappingProxyType(
    {
        accelerator.product: accelerator
        for accelerator in (
            Accelerator("NVIDIA-L4", "NVIDIA L4", 23034, 16, 72),
            Accelerator("NVIDIA-A10G", "NVIDIA A10G", 23028, 20, 300),
            Accelerator("NVIDIA-L40S", "NVIDIA L40S", 46068, 35, 350),
            Accelerator("NVIDIA-A100-SXM4-80GB", "NVIDIA A100-SXM4-80GB", 81920, 60, 400),
            Accelerator("NVIDIA-H100-80GB-HBM3", "NVIDIA H100 80GB HBM3", 81559, 70, 700),
            Accelerator("NVIDIA-H200", "NVIDIA H200", 143771, 75, 700),
        )
    }
)


def _preset(
    name: str,
    product: str,
    gpus: int,
    source: str,
    timing: tuple[float, float, float, float],
    limits: tuple[int, int, int],
) -> EnginePreset:
    """`timing`: base, per sequence, context and prefill token (ms); `limits`: KV tokens, sequences, batched tokens."""
    base, per_sequence, per_context_token, per_prefill_token = timing
    kv_tokens, max_batch, max_batched_tokens = limits
    parameters = EngineParameters(
        base_ms=base,
        per_sequence_ms=per_sequence,
        per_context_token_ms=per_context_token,
        per_prefill_token_ms=per_prefill_token,
        request_overhead_ms=_REQUEST_OVERHEAD_MS,
        kv_tokens=kv_tokens,
        max_batch=max_batch,
        max_batched_tokens=max_batched_tokens,
    )
    return EnginePreset(name, parameters, ACCELERATORS[product], gpus, source)


_H100, _H200, _A100 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-H200", "NVIDIA-A100-SXM4-80GB"

PRESETS: Mapping[str, EnginePreset] = types.MappingProxyType(
    {
        preset.name: preset
        for preset in (
            # Llama-3.1-8B, TensorRT-LLM, one GPU: 42 points, 1.8% mean error.
            _preset("h100_8b", _H100, 1, "measured", (6.4, 0.0, 5.0e-5, 0.020), (451_000, 256, 8192)),
            # Llama-3.1-70B FP8, vLLM, tensor parallel over four: 15 points, 2.2%.
            _preset("h100x4_70b_fp8", _H100, 4, "measured", (11.0, 0.055, 2.8e-5, 0.045), (650_000, 256, 8192)),
            # Llama-3.1-70B FP8, vLLM, one GPU: 14 points, 3.0%.
            _preset("h200_70b_fp8", _H200, 1, "measured", (20.4, 0.061, 7.1e-5, 0.125), (150_000, 256, 8192)),
            # Qwen3-32B, vLLM 0.12, tensor parallel over two: 27 points, 2.6%.
            _preset("h100x2_32b", _H100, 2, "measured", (13.8, 0.048, 6.3e-5, 0.049), (300_000, 256, 8192)),
            # 8B in BF16: base 9.8 × 1.2; context tokens at 1.4 × their roofline.
            _preset("a100_8b", _A100, 1, "derived", (11.8, 0.05, 1.14e-4, 0.103), (451_000, 256, 2048)),
            # 8B in BF16: base 67 × 1.15; context tokens at 1.17 × their roofline.
            _preset("l4_8b", "NVIDIA-L4", 1, "derived", (77.0, 0.3, 6.4e-4, 0.265), (38_000, 64, 2048)),
            # 8B in BF16, 600 GB/s: base 33.5 × 1.15.
            _preset("a10g_8b", "NVIDIA-A10G", 1, "derived", (38.5, 0.23, 2.73e-4, 0.46), (38_000, 64, 2048)),
            # 8B in BF16, 864 GB/s: base 23 × 1.15.
            _preset("l40s_8b", "NVIDIA-L40S", 1, "derived", (26.5, 0.045, 1.9e-4, 0.089), (193_000, 256, 2048)),
        )
    }
)


def preset(name: str) -> EnginePreset:
    """The preset of that name. Raises ValueError, naming those there are."""
    if name not in PRESETS:
        raise ValueError(f"there is no engine preset {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def accelerator(product: str) -> Accelerator:
    """The accelerator of that product label. Raises ValueError, naming those there are."""
    if product not in ACCELERATORS:
        raise ValueError(f"there is no accelerator {product!r}; choose one of {', '.join(ACCELERATORS)}")
    return ACCELERATORS[product]


def parse_parameters(document: object) -> EngineParameters:
    """Engine parameters from a mapping in the scenario files' format: baseMs, perSequenceMs, …, maxBatchedTokens.

    requestOverheadMs (16) and blockTokens (16) may be left out. Raises ValueError that names the field.
    """
    if not isinstance(document, Mapping):
        raise ValueError(f"engine parameters must be a mapping with the fields {', '.join(_FIELDS)}")  # noqa: TRY004
    if unknown := [str(key) for key in document if key not in _FIELDS]:
        raise ValueError(f"unknown engine parameter {', '.join(unknown)}; the fields are {', '.join(_FIELDS)}")
    if missing := [key for key in _FIELDS if key not in document and key not in _OPTIONAL]:
        raise ValueError(f"engine parameters lack {', '.join(missing)}")
    numbers = {key: _number(key, document.get(key, _OPTIONAL.get(key))) for key in _FIELDS}
    return EngineParameters(
        base_ms=numbers["baseMs"],
        per_sequence_ms=numbers["perSequenceMs"],
        per_context_token_ms=numbers["perContextTokenMs"],
        per_prefill_token_ms=numbers["perPrefillTokenMs"],
        request_overhead_ms=numbers["requestOverheadMs"],
        kv_tokens=int(numbers["kvTokens"]),
        max_batch=int(numbers["maxBatch"]),
        max_batched_tokens=int(numbers["maxBatchedTokens"]),
        block_tokens=int(numbers["blockTokens"]),
    )


def _number(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"engine parameter {key} is {value!r}; give a number")
    if key in _WHOLE_NUMBERS and value != int(value):
        raise ValueError(f"engine parameter {key} is {value!r}; give a whole number")
    return value


def load_parameters(path: Path) -> EngineParameters:
    """Engine parameters from a YAML or JSON file, as `parse_parameters`. Raises OSError, ValueError naming the file."""
    try:
        return parse_parameters(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is neither YAML nor JSON: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
