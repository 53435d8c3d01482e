"""`flyball run`: options, environment variables, and errors that name the option and the fix."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result

from flyball.cli.main import main
from flyball.core.ports import Rejected
from flyball.lab.shadow import LabRivals
from flyball.runtime.settings import Settings

URL = "http://prometheus.monitoring:9090"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Settings]]:
    """The settings with which the operator was started."""
    found: list[Settings] = []

    async def run(settings: Settings, rivals: LabRivals) -> None:
        assert isinstance(rivals, LabRivals)
        found.append(settings)

    monkeypatch.setattr("flyball.runtime.operator.run", run)
    root, defaults = logging.getLogger(), structlog.get_config()
    before = (root.handlers[:], root.level)
    yield found
    root.handlers, _ = before[0], root.setLevel(before[1])
    structlog.configure(**defaults)


def invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["run", *arguments], env=environment)


def test_defaults(started: list[Settings]) -> None:
    assert invoke("--prometheus-url", URL).exit_code == 0
    settings = started[0]
    assert (settings.prometheus.url, settings.prometheus.timeout_seconds) == (URL, 10.0)
    assert (settings.tick_seconds, settings.stalled_after, settings.routes) == (15.0, 60.0, True)
    assert (settings.namespaces, settings.listen) == ((), ("0.0.0.0", 8080))
    assert (settings.records, settings.records_bytes) == (None, 64 << 20)
    assert (settings.ledger, settings.ledger_zone) == ("", "")


def test_every_option_is_an_environment_variable(started: list[Settings]) -> None:
    done = invoke(
        FLYBALL_PROMETHEUS_URL=URL,
        FLYBALL_PROMETHEUS_BEARER_TOKEN_FILE="/var/run/token",
        FLYBALL_PROMETHEUS_HEADERS='{"X-Scope-OrgID": "team-a"}',
        FLYBALL_PROMETHEUS_CA_FILE="/etc/ca.pem",
        FLYBALL_PROMETHEUS_TIMEOUT="5s",
        FLYBALL_RATE_WINDOW="2m",
        FLYBALL_TICK="30s",
        FLYBALL_WATCH_NAMESPACES="team-a, team-b,",
        FLYBALL_LISTEN="[::1]:9000",
        FLYBALL_ROUTES="false",
        FLYBALL_RECORDS="/var/lib/flyball/decisions",
        FLYBALL_RECORDS_SIZE="8",
        FLYBALL_LEDGER="/var/lib/flyball/ledger/ledger.db",
        FLYBALL_LEDGER_TIMEZONE="Europe/Berlin",
        FLYBALL_CURRENCY="EUR",
        FLYBALL_LOG_LEVEL="warning",
        FLYBALL_LOG_FORMAT="text",
    )
    assert done.exit_code == 0, done.output
    settings = started[0]
    prometheus = settings.prometheus
    assert (prometheus.timeout_seconds, prometheus.rate_window_seconds) == (5.0, 120.0)
    assert prometheus.headers == (("X-Scope-OrgID", "team-a"),)
    assert (prometheus.bearer_token_file, prometheus.ca_file) == ("/var/run/token", "/etc/ca.pem")
    assert (settings.tick_seconds, settings.stalled_after) == (30.0, 90.0)
    assert (settings.namespaces, settings.listen, settings.routes) == (("team-a", "team-b"), ("::1", 9000), False)
    assert (settings.log_level, settings.log_format) == ("warning", "text")
    assert (settings.records, settings.records_bytes) == (Path("/var/lib/flyball/decisions"), 8 << 20)
    assert (settings.ledger, settings.ledger_zone) == ("/var/lib/flyball/ledger/ledger.db", "Europe/Berlin")
    assert settings.currency == "EUR"


@pytest.mark.parametrize(
    ("arguments", "option", "fix"),
    [
        pytest.param(["--prometheus-url", ""], "--prometheus-url", "http://prometheus", id="no URL"),
        pytest.param(["--prometheus-url", "prometheus:9090"], "--prometheus-url", "http://prometheus", id="no scheme"),
        pytest.param(["--prometheus-url", f"{URL}/?query=up"], "--prometheus-url", "base and path", id="a query"),
        pytest.param(["--prometheus-timeout", "0s"], "--prometheus-timeout", "positive", id="no time"),
        pytest.param(["--currency", "euro"], "--currency", "USD or EUR", id="no code of a currency"),
        pytest.param(["--rate-window", "0s"], "--rate-window", "positive", id="an empty window"),
        pytest.param(["--rate-window", "1 minute"], "--rate-window", "write for example", id="no duration"),
        pytest.param(["--tick", "15"], "--tick", "write for example", id="a duration without a unit"),
        pytest.param(["--tick", "0s"], "--tick", "write 1s or more", id="no rest between ticks"),
        pytest.param(["--tick", "-15s"], "--tick", "write for example", id="a negative duration"),
        pytest.param(["--listen", "8080"], "--listen", "host:port, for example", id="a port alone"),
        pytest.param(["--listen", "0.0.0.0:99999"], "--listen", "host:port, for example", id="no port"),
        pytest.param(["--listen", "0.0.0.0:²"], "--listen", "host:port, for example", id="a digit that is no number"),
        pytest.param(["--prometheus-headers", "X: y"], "--prometheus-headers", '{"X-Scope-OrgID"', id="no JSON"),
        pytest.param(["--prometheus-headers", '["X"]'], "--prometheus-headers", '{"X-Scope-OrgID"', id="a list"),
        pytest.param(["--prometheus-headers", '{"X": 1}'], "--prometheus-headers", '{"X-Scope-OrgID"', id="a number"),
        pytest.param(["--log-level", "loud"], "--log-level", "'warning'", id="no level"),
    ],
)
def test_a_mistake_names_its_option_and_the_fix(
    started: list[Settings], arguments: list[str], option: str, fix: str
) -> None:
    done = invoke("--prometheus-url", URL, *arguments)
    assert done.exit_code == 2
    assert option in done.output
    assert fix in " ".join(done.output.split())
    assert started == []


def test_without_a_prometheus_it_says_which_option_is_missing(started: list[Settings]) -> None:
    done = invoke()
    assert (done.exit_code, started) == (2, [])
    assert "Missing option '--prometheus-url'" in done.output


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        pytest.param(Rejected("no way to the API server: set KUBECONFIG"), 1, "set KUBECONFIG", id="no cluster"),
        pytest.param(OSError(98, "address in use"), 2, "--listen", id="a port in use"),
    ],
)
def test_what_it_cannot_start_without_is_said_in_a_line(
    started: list[Settings], monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, text: str
) -> None:
    async def refuse(settings: Settings, rivals: LabRivals) -> None:
        raise error

    monkeypatch.setattr("flyball.runtime.operator.run", refuse)
    done = invoke("--prometheus-url", URL)
    assert done.exit_code == code
    assert text in done.output
    assert "Traceback" not in done.output
