"""Which software is recorded, in which version, and what each needs to run without a GPU.

`software` is what the profile says that it is held against, word by word. Versions are pinned: a newer one is a new
recording, whose changes show in the diff.
"""

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Stack:
    """One recording. `program` is a file of programs/ or a folder of go/, `note` says what of the software ran.

    `packages` are installed with all they need, what is `alone` without. Of the `sources` only the Python files are
    unpacked: a serving engine's whole tree is gigabytes, its metrics code is a few files.
    """

    name: str
    software: str
    program: str
    note: str
    packages: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def in_go(self) -> bool:
        """Whether it is a Go module's."""
        return self.source.is_dir()

    @property
    def source(self) -> Path:
        """Where our program is."""
        return HERE / ("programs" if self.program.endswith(".py") else "go") / self.program


_METRICS_ONLY = "its own metrics code alone was run, with stand-ins for what that imports"

STACKS = (
    Stack(
        "litellm",
        "LiteLLM 1.108.7",
        "litellm_proxy.py",
        "the proxy, with answers that it makes up itself",
        ("litellm[proxy]==1.108.7", "prometheus_client==0.26.0"),
    ),
    Stack(
        "opentelemetry",
        "OpenTelemetry's instrumentation of OpenAI clients 2.4b0",
        "opentelemetry_client.py",
        "a client, and a stand-in for its server",
        (
            "openai==2.54.0",
            "opentelemetry-sdk==1.45.2",
            "opentelemetry-exporter-prometheus==0.66b2",
            "opentelemetry-instrumentation-openai-v2==2.4b0",
            "opentelemetry-util-genai==0.4b0",
        ),
    ),
    Stack("endpoint-picker", "Gateway API Inference Extension 1.5.0", "endpointpicker", "its own metrics code"),
    Stack("envoy-ai-gateway", "Envoy AI Gateway 1.0.0", "envoyaigateway", "its own metrics code"),
    Stack(
        "vllm",
        "vLLM 0.33.0",
        "vllm_metrics.py",
        _METRICS_ONLY,
        ("prometheus_client==0.26.0", "msgspec==0.22.0", "numpy==2.4.6", "pydantic==2.14.3"),
        sources=("vllm==0.33.0",),
    ),
    Stack(
        "sglang",
        "SGLang 0.5.23",
        "sglang_metrics.py",
        _METRICS_ONLY,
        ("prometheus_client==0.26.0", "msgspec==0.22.0", "numpy==2.4.6"),
        sources=("sglang==0.5.23",),
    ),
    Stack(
        "triton",
        "Triton of nvidia-pytriton 0.7.0",
        "triton_server.py",
        "the server, with a Python model in place of TensorRT-LLM's",
        ("numpy==1.26.4",),
        alone=("nvidia-pytriton==0.7.0",),
    ),
    Stack(
        "dynamo",
        "Dynamo 1.6.1",
        "dynamo_worker.py",
        "a worker of its runtime, whose engine is a function",
        ("ai-dynamo-runtime==1.6.1",),
    ),
)
