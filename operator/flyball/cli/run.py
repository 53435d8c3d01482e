"""`flyball run`: the operator itself, as the chart starts it."""

import asyncio
import json

import click

from flyball.core.units import parse_duration_seconds
from flyball.runtime import logs
from flyball.runtime.settings import Settings
from flyball.telemetry.settings import PrometheusSettings


class Duration(click.ParamType[float]):
    """A duration such as 15s or 5m, as float seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse, or fail with what is accepted."""
        if isinstance(value, float):
            return value
        try:
            return parse_duration_seconds(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Headers(click.ParamType[tuple[tuple[str, str], ...]]):
    """HTTP headers as one JSON object of strings."""

    name = "json"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[tuple[str, str], ...]:
        """Parse, or fail with an example."""
        if isinstance(value, tuple):
            return value
        example = 'write an object of strings, for example {"X-Scope-OrgID": "team-a"}'
        try:
            parsed = json.loads(str(value) or "{}")
        except json.JSONDecodeError:
            self.fail(f"{value!r} is not JSON; {example}", param, ctx)
        if not isinstance(parsed, dict) or not all(isinstance(v, str) for v in parsed.values()):
            self.fail(f"{value!r} is not an object of strings; {example}", param, ctx)
        return tuple(parsed.items())


class Address(click.ParamType[tuple[str, int]]):
    """host:port."""

    name = "host:port"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Parse, or fail with an example."""
        if isinstance(value, tuple):
            return value
        host, _, port = str(value).rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            self.fail(f"{value!r} is not an address; write host:port, for example 0.0.0.0:8080", param, ctx)
        return host.strip("[]"), int(port)


@click.command(context_settings={"auto_envvar_prefix": "FLYBALL", "show_default": True})
@click.option(
    "--prometheus-url", required=True, help="Base URL of Prometheus, for example http://prometheus.monitoring.svc:9090."
)
@click.option(
    "--prometheus-bearer-token-file", type=click.Path(), help="File with a bearer token, read anew for every tick."
)
@click.option("--prometheus-headers", type=Headers(), default="{}", help="Headers for every query, as a JSON object.")
@click.option(
    "--prometheus-ca-file", type=click.Path(), help="CA bundle that Prometheus' certificate is checked against."
)
@click.option("--prometheus-timeout", type=Duration(), default="10s", help="Deadline of one tick's queries.")
@click.option("--rate-window", type=Duration(), default="60s", help="Window of rates; four scrape intervals at least.")
@click.option("--tick", type=Duration(), default="15s", help="Time from one evaluation to the next.")
@click.option("--watch-namespaces", default="", help="Comma-separated namespaces; all when empty.")
@click.option("--listen", type=Address(), default="0.0.0.0:8080", help="Address of /metrics, /healthz and /readyz.")
@click.option("--routes/--no-routes", default=True, help="Whether HTTPRoutes may be read and their weights moved.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@click.option("--log-format", type=click.Choice(logs.FORMATS), default="json")
def run(
    prometheus_url: str,
    prometheus_bearer_token_file: str | None,
    prometheus_headers: tuple[tuple[str, str], ...],
    prometheus_ca_file: str | None,
    prometheus_timeout: float,
    rate_window: float,
    tick: float,
    watch_namespaces: str,
    listen: tuple[str, int],
    routes: bool,
    log_level: str,
    log_format: str,
) -> None:
    """Run the operator until it is told to stop. Every option is also FLYBALL_<OPTION> in the environment."""
    from flyball.runtime.operator import run as run_operator

    logs.configure(log_level, log_format)
    settings = Settings(
        prometheus=PrometheusSettings(
            url=prometheus_url,
            timeout_seconds=prometheus_timeout,
            bearer_token_file=prometheus_bearer_token_file,
            headers=prometheus_headers,
            ca_file=prometheus_ca_file,
            rate_window_seconds=rate_window,
        ),
        tick_seconds=tick,
        namespaces=tuple(name.strip() for name in watch_namespaces.split(",") if name.strip()),
        listen=listen,
        log_level=log_level,
        log_format=log_format,
        routes=routes,
    )
    asyncio.run(run_operator(settings))
