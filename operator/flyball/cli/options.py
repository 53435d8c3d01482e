"""Values and options that several commands share: durations, addresses, and how Prometheus is asked."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from flyball.core.units import format_duration, parse_duration_seconds
from flyball.telemetry.settings import PrometheusSettings

Command = TypeVar("Command", bound=Callable[..., Any])

ENVIRONMENT = {"auto_envvar_prefix": "FLYBALL", "show_default": True}
"""Every option is also FLYBALL_<OPTION> in the environment."""


class Duration(click.ParamType[float]):
    """A duration such as 15s or 5m, as float seconds; `least` seconds are the shortest."""

    name = "duration"

    def __init__(self, least: float = 0.0) -> None:
        self._least = least

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse, or fail with what is accepted."""
        try:
            seconds = value if isinstance(value, float) else parse_duration_seconds(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds < self._least:
            self.fail(f"{value!r} is too short; write {format_duration(self._least)} or more", param, ctx)
        return seconds


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
        if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
            self.fail(f"{value!r} is not an address; write host:port, for example 0.0.0.0:8080", param, ctx)
        return host.strip("[]"), int(port)


class NamespacedName(click.ParamType[str]):
    """An object as `flyball-system/flyball`; empty for none."""

    name = "namespace/name"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check, or fail with an example."""
        parts = str(value).split("/")
        if value and not (len(parts) == 2 and all(parts)):
            self.fail(
                f"{value!r} is not an object; write NAMESPACE/NAME, for example flyball-system/flyball", param, ctx
            )
        return str(value)


class Currency(click.ParamType[str]):
    """The ISO 4217 code of a currency."""

    name = "code"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check, or fail with an example."""
        code = str(value)
        if len(code) != 3 or not (code.isascii() and code.isalpha() and code.isupper()):
            self.fail(f"{value!r} is no code of a currency; write one such as USD or EUR", param, ctx)
        return code


out_option = click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write; standard output without it."
)


@contextmanager
def opened_out(out: Path | None) -> Iterator[TextIO]:
    """The file of `out_option`, or standard output. Raises BadParameter where it can't be written."""
    if out is None:
        yield sys.stdout
        return
    try:
        with out.open("w", newline="", encoding="utf-8") as to:
            yield to
    except OSError as error:
        raise click.BadParameter(f"{out} cannot be written: {error.strerror}", param_hint="--out") from error


def prometheus_options(*, required: bool) -> Callable[[Command], Command]:
    """The options that `prometheus_settings` makes settings of."""
    options = (
        click.option(
            "--prometheus-url",
            **({"required": True} if required else {"default": ""}),
            help="Base URL of Prometheus, for example http://prometheus.monitoring.svc:9090.",
        ),
        click.option(
            "--prometheus-bearer-token-file",
            type=click.Path(),
            help="File with a bearer token, read anew for every query.",
        ),
        click.option(
            "--prometheus-headers", type=Headers(), default="{}", help="Headers for every query, as a JSON object."
        ),
        click.option(
            "--prometheus-ca-file",
            type=click.Path(),
            help="CA bundle that Prometheus' certificate is checked against.",
        ),
        click.option(
            "--prometheus-client-certificate-file",
            type=click.Path(),
            help="Certificate shown to Prometheus where it asks for one (mTLS); with its key.",
        ),
        click.option("--prometheus-client-key-file", type=click.Path(), help="Key of the client certificate."),
        click.option("--prometheus-timeout", type=Duration(), default="10s", help="Deadline of one tick's queries."),
        click.option(
            "--rate-window",
            type=Duration(),
            default="60s",
            help="Window of rates; four scrape intervals at least.",
        ),
    )

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


# What PrometheusSettings calls its parts, and the options that set them.
_OPTIONS = {
    "Prometheus URL": "--prometheus-url",
    "rate_window_seconds": "--rate-window",
    "timeout_seconds": "--prometheus-timeout",
    "client certificate": "--prometheus-client-certificate-file",
}


def prometheus_settings(options: dict[str, Any]) -> PrometheusSettings:
    """Settings of the options' values; raises a usage error that names the option for what cannot work."""
    try:
        return PrometheusSettings(
            url=options["prometheus_url"],
            timeout_seconds=options["prometheus_timeout"],
            bearer_token_file=options["prometheus_bearer_token_file"],
            headers=options["prometheus_headers"],
            ca_file=options["prometheus_ca_file"],
            client_certificate_file=options["prometheus_client_certificate_file"],
            client_key_file=options["prometheus_client_key_file"],
            rate_window_seconds=options["rate_window"],
        )
    except ValueError as error:
        named = next((option for part, option in _OPTIONS.items() if part in str(error)), "--prometheus-url")
        raise click.BadParameter(str(error), param_hint=named) from error
