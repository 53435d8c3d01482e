"""`flyball gpuagent`: a node's GPUs as metrics, as the chart's DaemonSet starts it."""

import asyncio
import errno
import os
import socket
from pathlib import Path

import click

from flyball.cli.options import ENVIRONMENT, Address, Duration
from flyball.gpuagent.settings import AgentSettings
from flyball.runtime import logs


@click.command(context_settings=ENVIRONMENT)
@click.option("--interval", type=Duration(least=1.0), default="5s", help="Time from one sweep of the GPUs to the next.")
@click.option("--listen", type=Address(), default="0.0.0.0:9400", help="Address of /metrics and /healthz.")
@click.option("--node-name", default=socket.gethostname, show_default="the host's name", help="Label Hostname.")
@click.option(
    "--pod-resources",
    type=click.Path(path_type=Path),
    default="/var/lib/kubelet/pod-resources/kubelet.sock",
    help="The kubelet's socket that says which pod holds which GPU.",
)
@click.option("--pods/--no-pods", default=True, help="Whether GPUs are mapped to pods.")
@click.option("--once", is_flag=True, help="Sweep once, print the metrics and exit.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@click.option("--log-format", type=click.Choice(logs.FORMATS), default="json")
def gpuagent(
    interval: float,
    listen: tuple[str, int],
    node_name: str,
    pod_resources: Path,
    pods: bool,
    once: bool,
    log_level: str,
    log_format: str,
) -> None:
    """Serve the metrics of this node's NVIDIA GPUs, under DCGM exporter's names where it has one.

    A node without a GPU or without a driver is reported, and is no failure. Every option is also FLYBALL_<OPTION> in
    the environment.
    """
    settings = AgentSettings(
        node_name=node_name,
        interval_seconds=interval,
        pod_resources=pod_resources if pods else None,
        listen=listen,
    )
    # Before gRPC is imported: what it says of every kubelet that goes away is no JSON, and is said by the agent.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from flyball.gpuagent import agent

    if once:
        logs.configure("error", log_format)
        click.echo(agent.once(settings), nl=False)
        return
    logs.configure(log_level, log_format)
    try:
        asyncio.run(agent.run(settings))
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
            raise
        raise click.BadParameter(f"cannot listen there: {error}", param_hint="--listen") from error
