"""The operator's settings, one frozen value made from flags and environment variables by the command line."""

from dataclasses import dataclass, field
from pathlib import Path

from flyball.core.money.currency import DEFAULT_CURRENCY
from flyball.runtime.leadership import LEASE_SECONDS
from flyball.telemetry.settings import PrometheusSettings


@dataclass(frozen=True, slots=True)
class Settings:
    """How the operator runs.

    `tick_seconds` is the time from one evaluation's start to the next; `relist_seconds` that between full LISTs which
    correct the watch. `namespaces` are the only ones looked at, all of them when empty. `listen` is host and port of
    /metrics, /healthz, /readyz and /decisions. `records` is the folder where decisions are recorded, None where they
    are not; its files take at most `records_bytes`. `ledger` is the URL or file of the ledger, empty where none is
    kept, and `ledger_zone` the time zone of its days. All money is in `currency`. `lease` is NAMESPACE/NAME of the
    Lease whose holder acts, empty where this operator is alone, `lease_seconds` how long it lasts, and `identity` this
    pod's name. `stalled_seconds` without a finished tick make the process unhealthy.
    """

    prometheus: PrometheusSettings
    tick_seconds: float = 15.0
    relist_seconds: float = 600.0
    namespaces: tuple[str, ...] = ()
    listen: tuple[str, int] = ("0.0.0.0", 8080)  # noqa: S104 - probes and Prometheus come from outside the pod
    log_level: str = "info"
    log_format: str = "json"
    routes: bool = True
    records: Path | None = None
    records_bytes: int = 64 << 20
    ledger: str = ""
    ledger_zone: str = ""
    currency: str = DEFAULT_CURRENCY
    lease: str = ""
    lease_seconds: int = LEASE_SECONDS
    identity: str = ""
    stalled_seconds: float = field(default=0.0)

    @property
    def stalled_after(self) -> float:
        """Seconds without a finished tick after which the liveness probe fails: three ticks, a minute at least."""
        return self.stalled_seconds or max(60.0, 3 * self.tick_seconds)
