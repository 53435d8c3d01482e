"""What a model server is told at its start."""

import math
from dataclasses import dataclass

from flyball.lab.engine import EngineParameters
from flyball.lab.presets import Accelerator


@dataclass(frozen=True, slots=True)
class ModelServerConfig:
    """One replica. Raises ValueError that names the option at fault."""

    parameters: EngineParameters
    accelerator: Accelerator
    gpus: int = 1
    model_name: str = "flyball-8b"
    host: str = "0.0.0.0"  # noqa: S104  it serves in a pod
    port: int = 8000
    """0 lets the system choose."""
    startup_seconds: float = 0.0
    """Until /health answers 200 and requests are taken: loading of weights, compilation."""
    drain_seconds: float = 30.0
    """How long running requests may go on after SIGTERM."""
    max_model_len: int | None = None
    """Prompt and output tokens of one request; None: as many as the KV cache holds."""
    prefix_caching: bool = True
    hostname: str = "localhost"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("startup_seconds", "drain_seconds"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value!r}; give seconds, 0 or more")
        if self.gpus < 1:
            raise ValueError(f"gpus is {self.gpus}; a replica needs at least one")
        if not self.model_name:
            raise ValueError("model_name is empty; name the model as clients will")
        if self.max_model_len is not None and not 2 <= self.max_model_len <= self.kv_capacity_tokens:
            limit = self.kv_capacity_tokens
            raise ValueError(
                f"max_model_len is {self.max_model_len}; it must lie between 2 and the KV cache's {limit} tokens"
            )

    @property
    def kv_capacity_tokens(self) -> int:
        """Tokens in the KV cache's whole blocks."""
        return self.parameters.kv_blocks * self.parameters.block_tokens

    @property
    def context_limit(self) -> int:
        """Prompt and output tokens that one request may have."""
        return self.max_model_len or self.kv_capacity_tokens
