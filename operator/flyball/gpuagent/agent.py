"""The agent put together: sweeps in their thread, served until the process is told to stop."""

import asyncio
import signal

import structlog
from prometheus_client import CollectorRegistry

from flyball.gpuagent.exporter import SweepCollector, exposition
from flyball.gpuagent.pods import PodResources
from flyball.gpuagent.sampler import Sampler
from flyball.gpuagent.server import serve
from flyball.gpuagent.settings import AgentSettings
from flyball.gpuagent.watch import Watch

log = structlog.get_logger("flyball.gpuagent")


async def run(settings: AgentSettings) -> None:
    """Run until SIGTERM or SIGINT. Raises OSError when the address cannot be bound."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watch = _watch(settings)
    async with serve(settings.listen, watch, settings.node_name) as port:
        log.info("serving", port=port, interval_seconds=settings.interval_seconds)
        watch.start()
        await stop.wait()
    watch.stop()


def once(settings: AgentSettings) -> str:
    """The metrics of a single sweep, and before them what state the node is in, as a comment of the text format."""
    watch = _watch(settings)
    watch.sweep()
    registry = CollectorRegistry()
    registry.register(SweepCollector(watch, settings.node_name))
    snapshot = watch.look()
    return f"# {snapshot.state}: {snapshot.message}\n{exposition(registry).decode()}"


def _watch(settings: AgentSettings) -> Watch:
    kubelet = None if settings.pod_resources is None else PodResources(settings.pod_resources)
    return Watch(Sampler(), kubelet, settings.interval_seconds, settings.stuck_after_seconds)
