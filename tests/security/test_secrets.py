"""A canary in every secret that Flyball is given, sought in all that it says: logs, statuses, Events, metrics, records.

Whoever answers may echo what was sent, as proxies do in their error pages.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs
from support.prometheus import Stub
from support.world import World

from flyball.cli.main import main
from flyball.ledger.record import Record
from flyball.runtime.bookkeeper import Bookkeeper
from flyball.runtime.tick import Ticker
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.settings import PrometheusSettings

CANARY = "CANARY-7f3a"
ECHOES = [
    pytest.param(401, id="wants credentials"),
    pytest.param(400, id="malformed"),
    pytest.param(418, id="a status of its own"),
    pytest.param(500, id="fails"),
    pytest.param(503, id="is overloaded"),
    pytest.param(200, id="no JSON"),
]


@pytest.fixture
def echo() -> Iterator[Callable[[int], Stub]]:
    """A server that answers with all that it was sent, so that the token stands where messages are cut, too."""
    started: list[Stub] = []

    def start(status: int) -> Stub:
        def answer(form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
            sent = started[-1].requests[-1][1].get("Authorization", "")
            page = {"error": f"{sent} {'x' * 160} {sent}", "sent": sent}
            return status, {}, (json.dumps(page) if status != 200 else f"<html>{sent}").encode()

        started.append(Stub(answer))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{CANARY}\n")
    return path


@pytest.mark.parametrize("status", ECHOES)
@pytest.mark.parametrize("password", [False, True], ids=["token", "token and a password in the URL"])
async def test_what_is_sent_to_prometheus_is_said_nowhere(
    echo: Callable[[int], Stub], token: Path, status: int, password: bool
) -> None:
    stub = echo(status)
    url = stub.url.replace("//", f"//reader:{CANARY}@") if password else stub.url
    settings = PrometheusSettings(url, timeout_seconds=60.0, bearer_token_file=None if password else str(token))
    world, records = World(), list[Record]()
    world.apply()
    with capture_logs() as logs:
        metrics = PrometheusMetrics(settings)
        ticker = Ticker(world.mirror, metrics, world.cluster, world.events, record=records.append)
        report = await ticker.tick(world.at)
        await metrics.aclose()
    assert any("Authorization" in sent for _, sent, _ in stub.requests), "nothing was sent: the test shows nothing"
    (outcome,) = report.outcomes
    assert outcome.observation.signals.problem, "Prometheus was believed: the test shows nothing"
    said = {
        "logs": logs,
        "status": world.status(),
        "events": world.events.told,
        "problem": outcome.observation.signals.problem,
        "records": records,
        "settings": settings.shown_url,
    }
    for where, found in said.items():
        assert CANARY[:4] not in repr(found), where


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(f"postgresql://flyball:{CANARY}@127.0.0.1:1/ledger", id="a database that refuses"),
        pytest.param(f"postgresql://flyball:{CANARY}%40x@nowhere.invalid/ledger", id="a host that is not there"),
        pytest.param(f"postgresql://flyball:{CANARY}@127.0.0.1:port/ledger", id="a port that is none"),
        pytest.param(f"postgresql://flyball@127.0.0.1:1/ledger?password={CANARY}", id="a password in the query"),
    ],
)
async def test_a_ledger_that_cannot_be_written_is_told_without_its_password(url: str) -> None:
    world = World()
    world.apply()
    report = await world.tick()
    with capture_logs() as logs:
        keeper = Bookkeeper(url)
        keeper._account(report)
    assert keeper.failing, "it was written: the test shows nothing"
    assert "the ledger is not written" in {entry["event"] for entry in logs}
    assert CANARY not in repr(logs)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["doctor", "--prometheus-url", f"http://u:{CANARY}@127.0.0.1:1"], id="doctor"),
        pytest.param(["doctor", "--prometheus-url", f"ftp://u:{CANARY}@127.0.0.1:1"], id="doctor, a URL that is none"),
        pytest.param(["doctor", "--prometheus-url", f"http://u:{CANARY}@h/?q=1"], id="doctor, a URL with a query"),
        pytest.param(["cost", "show", "--ledger", f"postgresql://u:{CANARY}@127.0.0.1:1/d"], id="cost"),
        pytest.param(["ledger", "backup", "--ledger", f"postgresql://u:{CANARY}@h:port/d", "x"], id="ledger"),
    ],
)
def test_commands_say_no_password(arguments: list[str], tmp_path: Path) -> None:
    environment: dict[str, str | None] = {"KUBECONFIG": str(tmp_path / "none"), "KUBERNETES_SERVICE_HOST": None}
    done = CliRunner().invoke(main, arguments, env=environment)
    assert done.exit_code != 0
    assert done.output
    assert CANARY not in done.output


def test_the_chart_puts_no_secret_into_a_pod_but_as_a_file_or_a_reference(render: Any, refused: Any) -> None:
    for values in (
        {"prometheus": {"url": "http://p", "headers": {"Authorization": f"Bearer {CANARY}"}}},
        {"prometheus": {"url": f"http://reader:{CANARY}@p:9090"}},
    ):
        with pytest.raises(refused, match=r"prometheus\.bearerToken"):
            render(values)
    ledger = {"enabled": True, "postgresql": {"existingSecret": "database"}}
    prometheus = {"url": "http://p", "bearerToken": {"existingSecret": "reader"}}
    for spec in render({"ledger": ledger, "prometheus": prometheus}).pod_specs().values():
        for container in spec["containers"]:
            for variable in container.get("env", ()):
                secret = "secretKeyRef" in variable.get("valueFrom", {})
                assert secret == (variable["name"] == "FLYBALL_LEDGER"), variable["name"]
