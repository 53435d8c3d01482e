"""`flyball modelserver`: one simulated vLLM replica."""

import asyncio
import socket
from pathlib import Path

import click

from flyball.lab.modelserver.config import ModelServerConfig
from flyball.lab.modelserver.server import serve
from flyball.lab.presets import PRESETS, accelerator, load_parameters, preset

_ENVIRONMENT = "FLYBALL_MODELSERVER"


# A Service named flyball-modelserver makes Kubernetes set FLYBALL_MODELSERVER_PORT=tcp://…, hence LISTEN_PORT.
@click.command(name="modelserver", context_settings={"show_default": True})
@click.option(
    "--preset", "preset_name", default="l4_8b", envvar=f"{_ENVIRONMENT}_PRESET", help=f"Engine: {', '.join(PRESETS)}."
)
@click.option(
    "--parameters",
    "parameters_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar=f"{_ENVIRONMENT}_PARAMETERS",
    help="YAML or JSON file with baseMs, perSequenceMs, … that replaces the preset's timing and limits.",
)
@click.option(
    "--model-name", default="flyball-8b", envvar=f"{_ENVIRONMENT}_MODEL_NAME", help="Name of the served model."
)
@click.option("--host", default="0.0.0.0", envvar=f"{_ENVIRONMENT}_LISTEN_HOST", help="Address to listen on.")  # noqa: S104
@click.option("--port", default=8000, envvar=f"{_ENVIRONMENT}_LISTEN_PORT", help="Port to listen on; 0 for any.")
@click.option(
    "--startup-seconds", default=0.0, envvar=f"{_ENVIRONMENT}_STARTUP_SECONDS", help="Time until it is ready."
)
@click.option(
    "--drain-seconds", default=30.0, envvar=f"{_ENVIRONMENT}_DRAIN_SECONDS", help="Longest wait after SIGTERM."
)
@click.option(
    "--gpu-model", envvar=f"{_ENVIRONMENT}_GPU_MODEL", help="Accelerator, such as NVIDIA-L4; the preset's by default."
)
@click.option("--gpus", type=int, envvar=f"{_ENVIRONMENT}_GPUS", help="GPUs of the replica; the preset's by default.")
@click.option(
    "--max-model-len",
    type=int,
    envvar=f"{_ENVIRONMENT}_MAX_MODEL_LEN",
    help="Longest request; the KV cache by default.",
)
@click.option(
    "--prefix-caching/--no-prefix-caching", default=True, envvar=f"{_ENVIRONMENT}_PREFIX_CACHING", help="Reuse prompts."
)
@click.option("--seed", default=0, envvar=f"{_ENVIRONMENT}_SEED", help="Of output lengths and injected errors.")
def modelserver(
    preset_name: str,
    parameters_file: Path | None,
    model_name: str,
    host: str,
    port: int,
    startup_seconds: float,
    drain_seconds: float,
    gpu_model: str | None,
    gpus: int | None,
    max_model_len: int | None,
    prefix_caching: bool,
    seed: int,
) -> None:
    """Serve OpenAI's API with the timing and the metrics of a vLLM replica, without a GPU."""
    try:
        chosen = preset(preset_name)
        config = ModelServerConfig(
            parameters=chosen.parameters if parameters_file is None else load_parameters(parameters_file),
            accelerator=chosen.accelerator if gpu_model is None else accelerator(gpu_model),
            gpus=chosen.gpus if gpus is None else gpus,
            model_name=model_name,
            host=host,
            port=port,
            startup_seconds=startup_seconds,
            drain_seconds=drain_seconds,
            max_model_len=max_model_len,
            prefix_caching=prefix_caching,
            hostname=socket.gethostname(),
            seed=seed,
        )
        asyncio.run(serve(config, lambda chosen: click.echo(f"listening on http://{host}:{chosen}")))
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
