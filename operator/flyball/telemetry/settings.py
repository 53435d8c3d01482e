"""How Prometheus is asked."""

import math
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit


@dataclass(frozen=True, slots=True)
class PrometheusSettings:
    """Where Prometheus is, and the limits that every question to it has.

    `url` is the base of the API, path prefix included; Thanos, Mimir and VictoriaMetrics answer the same API.
    `timeout_seconds` is the deadline that all queries of one read share. `bearer_token_file` is read for every request,
    so that a rotated token is taken up. `ca_file` is a CA bundle to trust in place of the system's, and
    `client_certificate_file` with `client_key_file` is what Flyball shows of itself where Prometheus asks for that.

    `rate_window_seconds` must hold at least four scrape intervals: with fewer samples a single failed scrape leaves
    gaps, and a rate misses what happened between its first and last sample.

    Windows longer than an hour are asked for every `slow_refresh_seconds`, in the background, each within
    `slow_timeout_seconds`. `concurrency` queries run at a time. At most `override_limit` overrides are asked per read,
    because each is a query of its own. An answer longer than `max_answer_bytes` is refused.

    Raises ValueError, with what to write instead, for values that cannot work.
    """

    url: str
    timeout_seconds: float = 10.0
    bearer_token_file: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    ca_file: str | None = None
    client_certificate_file: str | None = None
    client_key_file: str | None = None
    verify_tls: bool = True
    rate_window_seconds: float = 60.0
    slow_refresh_seconds: float = 300.0
    slow_timeout_seconds: float = 20.0
    concurrency: int = 4
    override_limit: int = 100
    max_answer_bytes: int = 64 * 1024 * 1024

    @property
    def shown_url(self) -> str:
        """The URL as people may read it: without credentials."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"Prometheus URL {self.shown_url!r} is none; write for example http://prometheus.monitoring:9090"
            )
        if parts.query or parts.fragment:
            raise ValueError(
                f"Prometheus URL {self.shown_url!r} holds a query or fragment; write only its base and path"
            )
        if bool(self.client_certificate_file) != bool(self.client_key_file):
            raise ValueError("a client certificate needs its key, and a key its certificate; give both files")
        for name in ("timeout_seconds", "rate_window_seconds", "slow_refresh_seconds", "slow_timeout_seconds"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}; write a positive number of seconds")
        for name in ("concurrency", "override_limit", "max_answer_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; write at least 1")
