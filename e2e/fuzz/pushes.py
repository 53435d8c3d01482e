"""What may be pushed to POST /outcomes: bodies that are no batch and batches of bad records, from whoever it may be.

Nothing makes the endpoint raise or answer anything but its own statuses in JSON. Every record of a batch is counted,
known already or refused with a reason; what is nobody's to report is never counted, and the same batch counts once.
"""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from unittest import mock

from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from e2e.fuzz import outcomes, specs
from e2e.fuzz.schema import JUNK

from flyball.api.convert import read_workload
from flyball.core.money.meter import milliseconds
from flyball.core.names import WorkloadKey
from flyball.core.spec import WorkloadSpec
from flyball.ledger.outcomes import Taken, counted, record
from flyball.runtime.intake import MOST_BYTES, PATH, Intake

if TYPE_CHECKING:
    from random import Random

    from flyball.core.value.outcomes import Outcome

CHAT = WorkloadKey("team", "chat")
PUSHED, READ = "deflections", "solved"
STATUSES = {200, 400, 401, 413, 422}
TOKENS = (
    *["Bearer good"] * 12, "Bearer bad", "bearer good", "Bearer  good", "Bearer", "Bearer \x7f", "Basic good", "",
    "é" * 300,
)  # fmt: skip
ENDLESS = (
    b"", b"\xff\xfe", b"[" * 100_000, b'{"records":' * 5000, b'{"records": [' + b"0," * 20_000 + b"0]}", b"1" * 6000,
)  # fmt: skip
MOST_SAID = 600


def try_one(dice: Random) -> str:
    """One request, and now and then the same again."""
    return _loop().run(_try_one(dice))


async def _try_one(dice: Random) -> str:
    token, (body, pushed) = dice.choice(TOKENS), _body(dice)
    status, said = await _push(token, body)
    if "error" in said:
        assert status in STATUSES - {200, 422}, f"{status} with an error"
        assert said["error"].isprintable(), "a refusal that breaks lines"
        assert len(said["error"]) < MOST_SAID, "a refusal as long as a page"
        return f"refused with {status}"
    assert token.lower().startswith("bearer") and token.split()[-1] == "good", "taken from somebody without a token"  # noqa: PT018
    assert status == (422 if said["rejected"] else 200)
    if pushed is not None:
        assert said["new"] + said["repeated"] + said["voided"] + said["rejected"] == pushed, "a record is lost"
    for each in said["errors"]:
        assert each["error"].isprintable(), "a refusal that breaks lines"
        assert len(each["error"]) < MOST_SAID, "a refusal as long as a page"
    if dice.random() < 0.1:
        _, again = await _push(token, body)
        assert (again["new"], again["voided"]) == (0, 0), "the same batch counted twice"
        assert again["rejected"] == said["rejected"], "judged otherwise the second time"
        _only_what_may_be_counted()
    return "some counted, some refused" if said["rejected"] else "taken"


async def _push(token: str, body: bytes) -> tuple[int, dict[str, Any]]:
    stream = StreamReader(BaseProtocol(asyncio.get_running_loop()), MOST_BYTES)
    stream.feed_data(body)
    stream.feed_eof()
    request = make_mocked_request(
        "POST", PATH, {"Authorization": token}, payload=stream, client_max_size=MOST_BYTES, **_surroundings()
    )
    answer = await _intake().take(request)
    assert isinstance(answer, web.Response)
    assert answer.status in STATUSES, f"answered {answer.status}"
    said = json.loads(answer.body or b"")  # type: ignore[arg-type]
    assert isinstance(said, dict)
    return answer.status, said


@cache
def _surroundings() -> dict[str, Any]:
    """What a request has around it, and nothing here looks at: made once, since it costs more than the request."""
    return {name: mock.Mock() for name in ("app", "transport", "protocol", "writer")}


def _body(dice: Random) -> tuple[bytes, int | None]:
    """A body, and how many records it holds where that is known."""
    records = [_record(dice) for _ in range(dice.randint(0, 6))]
    document: Any = {"records": records}
    if dice.random() < 0.1:
        document = dice.choice((*JUNK, {"records": dice.choice(JUNK)}, records))
    whole = json.dumps(document, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")
    match dice.randint(0, 9):
        case 0:
            return whole[: dice.randint(0, len(whole))], None
        case 1:
            at = dice.randint(0, len(whole))
            return whole[:at] + dice.randbytes(dice.randint(1, 4)) + whole[at + dice.randint(0, 2) :], None
        case 2:
            return dice.choice(ENDLESS), None
        case _:
            return whole, len(records) if document == {"records": records} and records else None


def _record(dice: Random) -> Any:
    if dice.random() < 0.04:
        return dice.choice(JUNK)
    raw = outcomes.raw_record(dice)
    raw["workload"] = dice.choice(("team/chat",) * 9 + ("team/nobody", "team/others", raw.get("workload")))
    raw["kpi"] = dice.choice((PUSHED,) * 9 + (READ, raw.get("kpi")))
    if dice.random() < 0.03:
        raw["key"] = dice.choice(("\ud800", "\ud800\n", "\x00", "a\nb", "x" * 200, "x" * 201))
    raw["time"] = dice.choice((_now(),) * 9 + (raw.get("time"),))
    return raw


@cache
def _now() -> str:
    """Hours ago, as the endpoint goes by the clock."""
    return f"{datetime.now(UTC) - timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}"


class _Reporters:
    """One user, who may report of two workloads, one of which nobody declared."""

    async def user(self, token: str) -> dict[str, Any] | None:
        return {"username": "crm"} if token == "good" else None

    async def may_report(self, _: dict[str, Any], workload: WorkloadKey) -> bool:
        return workload in (CHAT, WorkloadKey("team", "nobody"))


class _Intake(Intake):
    """Over one ledger for all, instead of one that is opened for each batch."""

    def _count(self, found: list[Outcome]) -> Taken:
        return record(outcomes.ledger("pushes"), found)


@cache
def _intake() -> Intake:
    return _Intake("", "", _Reporters(), lambda key: _chat() if key == CHAT else None)


def _only_what_may_be_counted() -> None:
    now = milliseconds(time.time())
    kpis = set(counted(outcomes.ledger("pushes"), now - 390 * 86_400_000, now + 86_400_000, now))
    assert kpis <= {(CHAT, PUSHED)}, f"counted for somebody else: {kpis}"


@cache
def _loop() -> asyncio.Runner:
    return asyncio.Runner()


@cache
def _chat() -> WorkloadSpec:
    kpis = [{"name": PUSHED, "kind": "Adoption"}, {"name": READ, "kind": "TaskCompletion", "query": "up"}]
    spec = {
        "workloadType": "Assistant",
        "value": {"kpis": kpis},
        "targets": [{"targetRef": {"name": "chat"}, "maxReplicas": 9}],
    }
    found = read_workload({"metadata": specs.METADATA, "spec": spec}, {})
    assert isinstance(found, WorkloadSpec)
    return found
