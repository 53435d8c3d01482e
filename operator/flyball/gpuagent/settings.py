"""The agent's settings, one frozen value made from flags and environment variables by the command line."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How the agent runs.

    `interval_seconds` is the time from one sweep's start to the next. `node_name` is the label `Hostname`.
    `pod_resources` is the kubelet's socket, None where GPUs are not to be mapped to pods. `listen` is host and port of
    /metrics and /healthz.
    """

    node_name: str
    interval_seconds: float = 5.0
    pod_resources: Path | None = Path("/var/lib/kubelet/pod-resources/kubelet.sock")
    listen: tuple[str, int] = ("0.0.0.0", 9400)  # noqa: S104 - probes and Prometheus come from outside the pod

    @property
    def stuck_after_seconds(self) -> float:
        """Seconds of a sweep after which a call counts as one that does not return: three intervals, 15 s at least."""
        return max(15.0, 3 * self.interval_seconds)
