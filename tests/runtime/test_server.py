"""The operator's endpoints over a real loopback socket."""

from collections.abc import Callable
from types import SimpleNamespace

import aiohttp
import pytest
from flyball_cluster.ports import free_ports
from prometheus_client.parser import text_string_to_metric_families

from flyball.runtime.exporter import Tally
from flyball.runtime.server import serve
from flyball.runtime.tick import TickReport

STALLED_SECONDS = 60.0
NOW = 1_800_000_000.0
At = Callable[[float], None]


@pytest.fixture(autouse=True)
def at(monkeypatch: pytest.MonkeyPatch) -> At:
    """Sets the server's clock, which stands at NOW until then."""

    def set_clock(now: float) -> None:
        monkeypatch.setattr("flyball.runtime.server.time", SimpleNamespace(time=lambda: now))

    set_clock(NOW)
    return set_clock


async def ask(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


def ticked(seconds_ago: float) -> Tally:
    tally = Tally()
    tally.finish(TickReport(0.0, (), ()), NOW - seconds_ago, 0.1)
    return tally


@pytest.mark.parametrize(
    ("tick_ago", "alive_ago", "text"),
    [
        pytest.param(None, None, "starting\n", id="just started"),
        pytest.param(5, 5, "last tick finished 5 s ago\n", id="a tick finished lately"),
        pytest.param(None, 1, "starting\n", id="waiting for the API server"),
    ],
)
async def test_healthy_while_it_gets_on(tick_ago: float | None, alive_ago: float | None, text: str) -> None:
    tally = ticked(tick_ago) if tick_ago else Tally(alive_at=NOW - alive_ago if alive_ago else 0.0)
    async with serve(("127.0.0.1", 0), tally, lambda: True, STALLED_SECONDS) as port:
        assert await ask(port, "/healthz") == (200, text)


@pytest.mark.parametrize("ticked_once", [True, False], ids=["the last tick is long ago", "no tick ever finished"])
async def test_unhealthy_when_no_tick_finishes(ticked_once: bool, at: At) -> None:
    tally = ticked(0) if ticked_once else Tally()
    async with serve(("127.0.0.1", 0), tally, lambda: True, STALLED_SECONDS) as port:
        at(NOW + 62)
        status, text = await ask(port, "/healthz")
        assert status == 500
        assert text.startswith("no tick finished for 62 s")
        tally.alive_at = NOW + 61
        assert (await ask(port, "/healthz"))[0] == 200


async def test_ready_when_everything_declared_was_listed() -> None:
    ready = False
    async with serve(("127.0.0.1", 0), Tally(), lambda: ready, STALLED_SECONDS) as port:
        assert await ask(port, "/readyz") == (503, "WorkloadSLOs have not been listed yet\n")
        ready = True
        assert await ask(port, "/readyz") == (200, "ready\n")


async def test_metrics_can_be_scraped() -> None:
    async with serve(("127.0.0.1", 0), ticked(1), lambda: True, STALLED_SECONDS) as port:
        status, text = await ask(port, "/metrics")
    families = {family.name for family in text_string_to_metric_families(text)}
    assert status == 200
    assert {"flyball_ticks", "flyball_workloads", "process_cpu_seconds"} <= families


async def test_an_address_in_use_is_an_error_and_leaves_nothing_open() -> None:
    address = ("127.0.0.1", free_ports(1)[0])
    async with serve(address, Tally(), lambda: True, STALLED_SECONDS):
        with pytest.raises(OSError, match="address already in use"):
            async with serve(address, Tally(), lambda: True, STALLED_SECONDS):
                pass
    async with serve(address, Tally(), lambda: True, STALLED_SECONDS) as port:
        assert port == address[1]


async def test_the_record_of_a_decision_is_served_by_its_id() -> None:
    found = {"0123456789ab": b'{"id":"0123456789ab"}\n'}
    async with serve(("127.0.0.1", 0), Tally(), lambda: True, STALLED_SECONDS, found.get) as port:
        assert await ask(port, "/decisions/0123456789ab") == (200, '{"id":"0123456789ab"}\n')
        status, text = await ask(port, "/decisions/ffffffffffff")
    assert (status, text) == (404, "decision ffffffffffff is not recorded, or its record was dropped by now\n")


async def test_it_is_said_where_nothing_is_recorded() -> None:
    async with serve(("127.0.0.1", 0), Tally(), lambda: True, STALLED_SECONDS) as port:
        status, text = await ask(port, "/decisions/0123456789ab")
    assert (status, text) == (404, "decisions are not recorded: start the operator with --records\n")
