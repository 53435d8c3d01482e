"""Measured engines: what clients saw of a real engine under a closed loop of equal requests.

The format is that of ai-dynamo/aiconfigurator's silicon_sample.csv (Apache-2.0): one row for each concurrency and pair
of lengths, with the mean time to first token and the mean time per output token after it, in milliseconds. Rows that
share everything but the load are one `EngineSet`: one model, served one way.

How many tokens an engine's KV cache holds is not in the rows. It is worked out as vLLM does: gpu_memory_utilization 0.9
of the memory that nvidia-smi reports, less the weights and 2 GiB for activations and graphs on each GPU, divided by the
bytes of a token's keys and values in all layers.
"""

import csv
import gzip
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

COLUMNS = (
    "model_path", "system", "backend", "backend_version", "precision", "tp_size",
    "isl", "osl", "concurrency", "silicon_ttft_ms", "silicon_tpot_ms",
)  # fmt: skip

_GIBIBYTE = 2**30
_MEMORY_SHARE = 0.9
_RESERVED_BYTES = 2 * _GIBIBYTE
_MEMORY_MIB = MappingProxyType({"h100_sxm": 81_559, "h200_sxm": 143_771, "b200_sxm": 183_359, "gb200": 189_471})
_WEIGHT_BYTES = MappingProxyType({"": 2.0, "bf16": 2.0, "fp8": 1.0, "fp4": 0.5625})
"""Of a parameter. The rows of 16-bit engines leave the precision empty. NVFP4 has an 8-bit scale for 16 weights."""


@dataclass(frozen=True, slots=True)
class _Model:
    """Parameters, and the shape of its attention, from the model's published configuration."""

    parameters: float
    layers: int
    kv_heads: int
    head_size: int


_MODELS = MappingProxyType(
    {
        "Llama-3.1-8B": _Model(8.03e9, 32, 8, 128),
        "Llama-3.1-70B": _Model(70.6e9, 80, 8, 128),
        "Llama-3.3-70B": _Model(70.6e9, 80, 8, 128),
        "Qwen3-32B": _Model(32.8e9, 64, 8, 128),
    }
)


class InvalidRowsError(ValueError):
    """A file of rows that cannot be used; the message names the line and the column."""


@dataclass(frozen=True, slots=True)
class Load:
    """A closed loop: so many clients that each send a request, all of equal length, as soon as the last is answered."""

    concurrency: int
    prompt_tokens: int
    output_tokens: int

    @property
    def tokens(self) -> int:
        """What the requests in flight hold in the KV cache, each at its end."""
        return self.concurrency * (self.prompt_tokens + self.output_tokens)


@dataclass(frozen=True, slots=True)
class EngineSet:
    """One model on one kind of GPU, under one engine."""

    model: str
    system: str
    backend: str
    version: str
    precision: str
    gpus: int

    def kv_tokens(self, bytes_per_number: int) -> int | None:
        """Tokens in its KV cache with keys and values of one or two bytes; None for an unknown model or GPU."""
        model = next((shape for name, shape in _MODELS.items() if name in self.model), None)
        memory, weight = _MEMORY_MIB.get(self.system), _WEIGHT_BYTES.get(self.precision)
        if model is None or memory is None or weight is None:
            return None
        usable = self.gpus * (memory * 2**20 * _MEMORY_SHARE - _RESERVED_BYTES) - model.parameters * weight
        return max(0, int(usable / (2 * model.layers * model.kv_heads * model.head_size * bytes_per_number)))

    @property
    def assumed_kv_tokens(self) -> int | None:
        """8-bit keys and values where the weights are quantized, as such checkpoints ask for; else 16-bit ones."""
        return self.kv_tokens(1 if _WEIGHT_BYTES.get(self.precision, 2.0) < 2 else 2)

    def __str__(self) -> str:
        engine = " ".join(part for part in (self.backend, self.version) if part)
        return f"{self.model.rpartition('/')[2]} {self.precision or '16-bit'}, {self.gpus} × {self.system}, {engine}"


@dataclass(frozen=True, slots=True)
class EngineRow:
    """One measured point; means over the requests of a run, milliseconds."""

    engine: EngineSet
    load: Load
    ttft_ms: float
    tpot_ms: float

    @property
    def surely_fits(self) -> bool:
        """Whether the KV cache holds all requests in flight even with 16-bit keys and values."""
        capacity = self.engine.kv_tokens(2)
        return capacity is None or self.load.tokens <= capacity


def read_rows(path: Path) -> list[EngineRow]:
    """Read a CSV file, plain or gzipped. Raises InvalidRowsError, and OSError."""
    content = path.read_bytes()
    try:
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InvalidRowsError(f"{path} cannot be decoded ({error}); copy it again") from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
        raise InvalidRowsError(f"{path} lacks the columns {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
    return [_row(path, reader.line_num, fields) for fields in reader]


def by_engine(rows: Iterable[EngineRow]) -> dict[EngineSet, list[EngineRow]]:
    """The rows of each set, in the order of prompt, output and concurrency; a point measured twice stays twice."""
    found: dict[EngineSet, list[EngineRow]] = {}
    for row in rows:
        found.setdefault(row.engine, []).append(row)
    for members in found.values():
        members.sort(key=lambda row: (row.load.prompt_tokens, row.load.output_tokens, row.load.concurrency))
    return dict(sorted(found.items(), key=lambda item: str(item[0])))


def _row(path: Path, line: int, fields: Mapping[str, str | None]) -> EngineRow:
    def number(name: str, least: float, *, whole: bool = True) -> float:
        try:
            value = float(fields[name] or "")
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= least and (not whole or value == int(value))):
            kind = "whole number" if whole else "number of milliseconds"
            raise InvalidRowsError(
                f"{path}, line {line}, column {name}: {fields[name]!r}; give a {kind}, {least:g} or more"
            )
        return value

    texts = {name: fields[name] or "" for name in COLUMNS[:5]}
    return EngineRow(
        engine=EngineSet(
            model=texts["model_path"],
            system=texts["system"],
            backend=texts["backend"],
            version=texts["backend_version"],
            precision=texts["precision"],
            gpus=int(number("tp_size", 1)),
        ),
        load=Load(int(number("concurrency", 1)), int(number("isl", 1)), int(number("osl", 2))),
        ttft_ms=number("silicon_ttft_ms", 1e-6, whole=False),
        tpot_ms=number("silicon_tpot_ms", 1e-6, whole=False),
    )
