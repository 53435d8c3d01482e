"""Outcomes that are pushed: taken once from those who may, with what is wrong named, and never half."""

import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from core.cases import KEY, spec

from flyball.core.names import KpiKind, WorkloadKey
from flyball.core.ports import Unavailable
from flyball.core.value.kpi import Kpi, Value
from flyball.ledger.outcomes import counted
from flyball.ledger.store import Ledger
from flyball.runtime import intake
from flyball.runtime.intake import Intake

YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
CHAT = spec(value=Value((Kpi("deflections", KpiKind.DEFLECTION), Kpi("solved", KpiKind.TASK_COMPLETION, query="up"))))
GOOD = {"Authorization": "Bearer good"}


class Reporters:
    """One user, who may report of shop/chat and of a workload that nobody declared."""

    fails = False

    async def user(self, token: str) -> dict[str, Any] | None:
        if self.fails:
            raise Unavailable("the API server is away")
        return {"username": "crm"} if token == "good" else None

    async def may_report(self, user: dict[str, Any], workload: WorkloadKey) -> bool:
        return workload.name in ("chat", "nobody")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def reporters() -> Reporters:
    return Reporters()


@pytest.fixture
async def client(url: str, reporters: Reporters) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    taker = Intake(url, "", reporters, lambda key: CHAT if key == KEY else None)
    app = web.Application(client_max_size=intake.MOST_BYTES)
    app.router.add_post(intake.PATH, taker.take)
    async with TestClient(TestServer(app)) as found:
        yield found


def outcome(key: str, **fields: Any) -> dict[str, Any]:
    return {"workload": "shop/chat", "kpi": "deflections", "key": key, "time": YESTERDAY, **fields}


async def push(client: TestClient[web.Request, web.Application], *records: Any, **headers: str) -> tuple[int, Any]:
    answer = await client.post(intake.PATH, json={"records": records}, headers=headers or GOOD)
    return answer.status, await answer.json()


def held(url: str) -> Any:
    ledger, now = Ledger(url), round(datetime.now(UTC).timestamp() * 1000)
    try:
        return counted(ledger, now - 3 * 86_400_000, now + 3_600_000, now)
    finally:
        ledger.close()


async def test_a_batch_is_taken_once_however_often_it_comes(
    client: TestClient[web.Request, web.Application], url: str
) -> None:
    batch = [outcome("a"), outcome("b", minutes=2.5), outcome("a", void="CameBack")]
    assert await push(client, *batch) == (200, {"new": 2, "repeated": 0, "voided": 1, "rejected": 0, "errors": []})
    status, said = await push(client, *batch)
    assert (status, said["repeated"]) == (200, 3)
    assert held(url)[KEY, "deflections"].outcomes == 1


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        pytest.param(outcome("x", workload="shop/search"), "workload: you may not create", id="a workload of others"),
        pytest.param(outcome("x", workload="shop/nobody"), "workload: there is no WorkloadSLO", id="of nobody"),
        pytest.param(outcome("x", kpi="joy"), "kpi: shop/chat declares no KPI joy", id="a KPI that is not declared"),
        pytest.param(outcome("x", kpi="solved"), "kpi: solved is read by its query", id="a KPI that is read"),
        pytest.param(outcome("x", outcomes=-1), "outcomes: '-1' is not between", id="a bad number"),
        pytest.param("x", "it is no object", id="no object"),
    ],
)
async def test_what_cannot_be_counted_is_named_and_the_rest_is_counted(
    client: TestClient[web.Request, web.Application], url: str, bad: Any, error: str
) -> None:
    status, said = await push(client, outcome("a"), bad)
    assert (status, said["new"], said["rejected"], said["errors"][0]["index"]) == (422, 1, 1, 1)
    assert said["errors"][0]["error"].startswith(error)
    assert set(held(url)) == {(KEY, "deflections")}


async def test_a_key_that_no_utf_8_can_hold_is_a_key_like_any_other(
    client: TestClient[web.Request, web.Application],
) -> None:
    status, said = await push(client, outcome("\ud800"), outcome("\udfff"), outcome("\ud800"))
    assert (status, said["new"], said["repeated"]) == (200, 2, 1)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"X-None": "1"}, id="no token"),
        pytest.param({"Authorization": "Bearer bad"}, id="a token of nobody"),
        pytest.param({"Authorization": "Bearer "}, id="an empty one"),
        pytest.param({"Authorization": "Basic good"}, id="another scheme"),
    ],
)
async def test_without_a_token_nothing_is_taken(
    client: TestClient[web.Request, web.Application], url: str, headers: dict[str, str]
) -> None:
    status, said = await push(client, outcome("a"), **headers)
    assert (status, list(said)) == (401, ["error"])
    assert held(url) == {}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"no json", 400, id="no JSON"),
        pytest.param(b"[]", 400, id="no object"),
        pytest.param(b'{"records": 7}', 400, id="no list"),
        pytest.param(b'{"records": ' + b"[" * 100_000, 400, id="nested without end"),
        pytest.param(b'{"records": [' + b"0," * 10_000 + b"0]}", 413, id="too many"),
        pytest.param(b"x" * (intake.MOST_BYTES + 1), 413, id="too large"),
    ],
)
async def test_a_body_of_another_form_is_refused(
    client: TestClient[web.Request, web.Application], body: bytes, status: int
) -> None:
    answer = await client.post(intake.PATH, data=io.BytesIO(body), headers=GOOD)
    assert (answer.status, list(await answer.json())) == (status, ["error"])


async def test_while_nobody_can_be_asked_nothing_is_lost(
    client: TestClient[web.Request, web.Application], reporters: Reporters
) -> None:
    reporters.fails = True
    status, said = await push(client, outcome("a"))
    assert (status, said) == (503, {"error": "not taken now; send the batch again later"})
