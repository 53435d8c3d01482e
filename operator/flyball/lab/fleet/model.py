"""What a simulated fleet is made of: variants of replicas, how requests reach them, and what goes wrong."""

import math
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from flyball.lab.engine import EngineParameters


class Routing(StrEnum):
    """How the gateway picks a ready replica for a request."""

    LEAST_OUTSTANDING = "leastOutstanding"
    ROUND_ROBIN = "roundRobin"
    RANDOM = "random"
    KV_AWARE = "kvAware"


@dataclass(frozen=True, slots=True)
class FleetVariant:
    """One kind of replica, scaled as one object. Times in seconds, dollars per GPU hour.

    A start takes `startup_seconds`, spread log-normally by `startup_jitter` (the relative standard deviation); the
    share `failed_start_share` of starts fails after that time and is tried again, paid for all the while. Of the
    replicas the share `slow_share` prefills `slow_prefill_factor` times slower. `reclaim_mean_seconds` is the mean life
    of a spot replica, None where none is reclaimed.
    """

    name: str
    engine: EngineParameters
    startup_seconds: float
    price_per_gpu_hour: Decimal
    gpus_per_replica: int = 1
    min_replicas: int = 1
    max_replicas: int = 60
    startup_jitter: float = 0.0
    failed_start_share: float = 0.0
    slow_share: float = 0.0
    slow_prefill_factor: float = 1.0
    reclaim_mean_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Fallback:
    """What answers the requests that come while no replica is ready, and no others: the first token after
    `first_token_seconds`, the others every `token_seconds`, for `price_per_request` dollars each.
    """

    first_token_seconds: float
    token_seconds: float
    price_per_request: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """How requests reach replicas, and what a scraper sees.

    With `gateway_queue` requests are held before the replicas and handed out as places in their batches become free;
    without it they wait inside the replica that they were routed to. While no replica is ready they are held in both
    cases, unless a `fallback` answers them. `client_timeout_seconds`: a request not begun by then is dropped. Samples
    are taken every `scrape_seconds` and can be queried `scrape_delay_seconds` later; a sample taken within one of
    `scrape_gaps` (start, end) is lost. `gpus` is the inventory over all variants: replicas beyond it stay pending.
    """

    routing: Routing = Routing.LEAST_OUTSTANDING
    gateway_queue: bool = False
    client_timeout_seconds: float = math.inf
    scrape_seconds: float = 15.0
    scrape_delay_seconds: float = 5.0
    scrape_gaps: tuple[tuple[float, float], ...] = ()
    gpus: int | None = None
    fallback: Fallback | None = None


@dataclass(frozen=True, slots=True)
class ReplicaCounts:
    """One variant's replicas now: asked for, serving, loading, waiting for a GPU, and finishing their last requests.

    `asked` is the scale subresource's spec, the other counts are what its pods are.
    """

    asked: int
    ready: int
    starting: int
    pending: int
    draining: int

    @property
    def present(self) -> int:
        """Pods that exist and are not on their way out: the scale subresource's status."""
        return self.ready + self.starting + self.pending
