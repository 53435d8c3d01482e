"""POST /outcomes: business outcomes pushed by those who know them, each counted once.

    {"records": [{"workload": "shop/chat", "kpi": "deflections", "key": "conversation-81", "time": "2026-11-25T…Z"}]}

Whoever pushes shows a token of the cluster, and may do so where RBAC lets them create workloadslos/outcomes. Records
that can be counted are, and the others are named in the answer, whose status is then 422: a batch may be sent again as
a whole, since a record whose key is known counts no second time.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from aiohttp import web

from flyball.core.money.meter import milliseconds
from flyball.core.names import WorkloadKey
from flyball.core.ports import PortError, Reporters
from flyball.core.spec import WorkloadSpec
from flyball.core.value.outcomes import BadRecord, Outcome, parse_record
from flyball.ledger.errors import LedgerError
from flyball.ledger.outcomes import Taken, record
from flyball.ledger.store import Ledger

PATH = "/outcomes"
MOST_BYTES = 5 << 20
MOST_RECORDS = 10_000
SHOWN_REJECTED = 100
MOST_AT_ONCE = 2
"""Batches that are taken at a time; more wait, so that what is pushed never fills the memory."""

log = structlog.get_logger("flyball.intake")

Declared = Callable[[WorkloadKey], WorkloadSpec | None]
"""A workload as it is declared now; None where there is none."""


class Refused(Exception):
    """A request that is not taken at all: its HTTP status and a sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Intake:
    """Takes batches of outcomes into the ledger at a URL. `zone` is that of its days."""

    def __init__(self, url: str, zone: str, reporters: Reporters, declared: Declared) -> None:
        self._url, self._zone = url, zone
        self._reporters = reporters
        self._declared = declared
        self._slots = asyncio.Semaphore(MOST_AT_ONCE)

    async def take(self, request: web.Request) -> web.Response:
        """One batch. Answers with JSON in any case."""
        try:
            user = await self._user(request)
            async with self._slots:
                records = await _body(request)
                found, rejected = await self._judge(user, records)
                taken = await asyncio.to_thread(self._count, found)
        except Refused as refused:
            return web.json_response({"error": str(refused)}, status=refused.status)
        except web.HTTPRequestEntityTooLarge:
            return web.json_response({"error": f"the body is larger than {MOST_BYTES} bytes: send less"}, status=413)
        except (PortError, LedgerError) as error:
            log.warning("outcomes are not taken", error=str(error))
            return web.json_response({"error": "not taken now; send the batch again later"}, status=503)
        said: dict[str, Any] = {"new": taken.new, "repeated": taken.repeated, "voided": taken.voided}
        said |= {"rejected": len(rejected), "errors": rejected[:SHOWN_REJECTED]}
        return web.json_response(said, status=422 if rejected else 200)

    async def _user(self, request: web.Request) -> dict[str, Any]:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        user = await self._reporters.user(token.strip()) if scheme.lower() == "bearer" and token.strip() else None
        if user is None:
            raise Refused(401, "show a valid token: Authorization: Bearer TOKEN, such as kubectl create token gives")
        return user

    async def _judge(self, user: dict[str, Any], raw: list[Any]) -> tuple[list[Outcome], list[dict[str, Any]]]:
        """The records that may be counted, and what is wrong with the others."""
        now, found = milliseconds(time.time()), []
        rejected: list[dict[str, Any]] = []
        allowed: dict[WorkloadKey, bool] = {}
        for index, each in enumerate(raw):
            try:
                record_ = _parsed(each, now)
                key = record_.workload
                if key not in allowed:
                    allowed[key] = await self._reporters.may_report(user, key)
                self._check(record_, allowed[key])
            except BadRecord as error:
                rejected.append({"index": index, "error": str(error)})
                continue
            found.append(record_)
        return found, rejected

    def _check(self, found: Outcome, allowed: bool) -> None:
        """Raises BadRecord. Who may not report learns nothing of what is declared."""
        if not allowed:
            raise BadRecord(
                f"workload: you may not create workloadslos/outcomes of {found.workload}; ask for that right"
            )
        spec = self._declared(found.workload)
        if spec is None:
            raise BadRecord(f"workload: there is no WorkloadSLO {found.workload}; correct its name")
        kpi = next((kpi for kpi in spec.value.kpis if kpi.name == found.kpi), None)
        if kpi is None:
            raise BadRecord(f"kpi: {found.workload} declares no KPI {found.kpi}; add it to spec.value.kpis")
        if kpi.query:
            raise BadRecord(f"kpi: {found.kpi} is read by its query; pushed as well it would count twice")

    def _count(self, found: list[Outcome]) -> Taken:
        if not found:
            return Taken()
        ledger = Ledger(self._url, self._zone)
        try:
            return record(ledger, found)
        finally:
            ledger.close()


def _parsed(raw: Any, now: int) -> Outcome:
    if not isinstance(raw, Mapping):
        raise BadRecord("it is no object; send one for each record")
    return parse_record(raw, now)


async def _body(request: web.Request) -> list[Any]:
    try:
        parsed = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise Refused(400, 'the body is not JSON; send {"records": […]}') from None
    records = parsed.get("records") if isinstance(parsed, dict) else None
    if not isinstance(records, list):
        raise Refused(400, 'the body holds no list of records; send {"records": […]}')
    if len(records) > MOST_RECORDS:
        raise Refused(413, f"{len(records)} records are more than {MOST_RECORDS}: send several batches")
    return records
