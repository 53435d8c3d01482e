"""What Prometheus may answer: bytes that are no answer, and answers with impossible figures, up to the decision."""

from __future__ import annotations

import asyncio
import io
import json
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import requests
from e2e.fuzz import laws, sights, specs
from e2e.fuzz.schema import JUNK
from requests.adapters import BaseAdapter

from flyball.api.convert import read_workload
from flyball.core.decide import decide
from flyball.core.memory import Memory
from flyball.core.observation import Observation, WorkloadSignals, WorkloadState
from flyball.core.spec import WorkloadSpec
from flyball.telemetry import bucket_queries, queries
from flyball.telemetry.answers import Answer
from flyball.telemetry.pods import GROUP_LABEL
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.promql import SERIES_LABEL
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.transport import PrometheusClient

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

SETTINGS = PrometheusSettings("http://prometheus:9090", timeout_seconds=60.0, max_answer_bytes=20_000)
STATUSES = (*(200,) * 20, 204, 301, 400, 401, 404, 413, 422, 429, 500, 503, 599)
DATES = (
    "Wed, 25 Nov 2026 22:00:00 GMT", "Wed, 25 Nov 2026 22:00:00", "25 Nov 99999 00:00:00 GMT", "", "x", "0", "\xff",
    "Wed, 25 Nov 2026 22:00:00 +9999", "Sat, 01 Jan 0001 00:00:00 -2359",
)  # fmt: skip
EDGES = ("0.1", "0.5", "1.0", "2.5", "+Inf", "1", "1e0", "NaN", "", "-1", "x")
VITAL = (queries.RUNNING, queries.WAITING, queries.COMPLETIONS)
BAD = ("NaN", "+Inf", "-Inf", "-1", "1e300", "1e18")


def try_one(dice: Random) -> str:
    """One answer as bytes, or a whole read of a workload's answers and what is decided by it."""
    return _bytes(dice) if dice.random() < 0.7 else _read(dice)


class _Wire(BaseAdapter):
    """Answers requests without a network."""

    def __init__(self, status: int, date: str, body: bytes) -> None:
        super().__init__()
        self.status, self.date, self.body, self.asked = status, date, body, False

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        self.asked = True
        found = requests.Response()
        found.status_code, found.raw, found.request, found.url = self.status, io.BytesIO(self.body), request, "http://p"
        found.headers.update({"Content-Type": "application/json", "Date": self.date})
        return found

    def close(self) -> None:
        """Holds nothing."""


def _bytes(dice: Random) -> str:
    client = _client()
    session = client._session  # noqa: SLF001 - the wire is replaced, nothing else
    wire = _Wire(dice.choice(STATUSES), dice.choice(DATES), _body(dice))
    session.mount(SETTINGS.url, wire)
    answer = client.ask("up", 1000.0, 60.0)
    assert wire.asked, "somebody else was asked"
    assert isinstance(answer, Answer)
    assert not (answer.rows and answer.failure), "rows beside a failure"
    assert answer.failure.isprintable(), "a failure that breaks lines"
    assert len(answer.failure) < 600, "a failure as long as a page"
    return "bytes refused" if answer.failure else "bytes read"


@cache
def _client() -> PrometheusClient:
    return PrometheusClient(SETTINGS)


def _body(dice: Random) -> bytes:
    whole = json.dumps(_document(dice), default=str).encode()
    match dice.randint(0, 5):
        case 0:
            return whole[: dice.randint(0, len(whole))]
        case 1:
            position = dice.randint(0, max(0, len(whole) - 1))
            return whole[:position] + dice.randbytes(dice.randint(1, 4)) + whole[position + 1 :]
        case 2:
            return dice.choice((b"", b"<html>", b"\xff\xfe", b"[" * 3000, b'{"a":' * 2000, b"null", b"x" * 30_000))
        case _:
            return whole


def _document(dice: Random) -> Any:
    def junk() -> Any:
        return dice.choice(JUNK)

    def often(good: Any) -> Any:
        return junk() if dice.random() < 0.08 else good

    def row() -> Any:
        labels = {str(often("pod")): often(f"p-{dice.randint(0, 3)}"), "le": often(dice.choice(EDGES))}
        sample = [often(1000.0), often(dice.choice((*BAD, "1", "0.5", "x", "")))]
        return often({"metric": often(labels), "value": often([*sample, 1] if dice.random() < 0.02 else sample)})

    rows = [row() for _ in range(dice.randint(0, 4))]
    kind = dice.choice(("vector", "vector", "scalar", "matrix", "string"))
    result = often([1000.0, "7"] if kind == "scalar" else rows)
    return often({"status": often("success"), "data": often({"resultType": kind, "result": result}), "error": junk()})


def _rows(rows: list[tuple[dict[str, str], str]]) -> Any:
    from flyball.telemetry.answers import parse_rows

    unique = {frozenset(labels.items()): (labels, text) for labels, text in rows}
    return parse_rows([{"metric": labels, "value": [1000.0, text]} for labels, text in unique.values()])


def _read(dice: Random) -> str:
    """A sane read, and the same with some figures spoilt: that must not remove what the sane one would have kept."""
    spec = _spec()
    rows = _sane(dice)
    share = dice.choice((0.1, 0.5))
    spoilable = dice.choice((VITAL, (*_PARTS, ""), VITAL))
    spoilt = [
        (labels, dice.choice(BAD) if labels[SERIES_LABEL] in spoilable and dice.random() < share else text)
        for labels, text in rows
    ]
    good, bad = (_loop().run(_signals(spec, each)) for each in (rows, spoilt))
    seen = sights.state(spec, dice, 0.0)
    memory = Memory()
    for tick in range(2):
        at = specs.START + tick * specs.TICK
        memory = decide(spec, Observation(spec.key, at, good, seen), memory)[1]
    at = specs.START + 2 * specs.TICK
    kept, _ = laws.decided(spec, Observation(spec.key, at, good, seen), memory)
    blind, _ = laws.decided(spec, Observation(spec.key, at, bad, seen), memory)
    _removes_no_more(spec, seen, good, bad, kept, blind)
    return "read and decided by"


def _removes_no_more(
    spec: WorkloadSpec, seen: WorkloadState, good: WorkloadSignals, bad: WorkloadSignals, kept: Any, blind: Any
) -> None:
    lost = any(
        getattr(before, name).ok and not getattr(after, name).ok
        for before, after in zip(good.variants, bad.variants, strict=True)
        for name in ("running", "waiting", "completions_per_second")
    )
    same = replace(bad, variants=good.variants) == good  # nothing else was spoilt
    if lost and same:  # in two of three reads nothing but vital signals was spoilt
        for seeing, missing in zip(kept.variants, blind.variants, strict=True):
            assert missing.desired >= min(seeing.desired, seeing.current), "removed what seeing it would have kept"


class _Here(ThreadPoolExecutor):
    """Runs what a thread would, at once: nobody waits for an answer here, and changing threads costs more than it."""

    def submit(self, fn: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*given, **named))
        except BaseException as error:  # noqa: BLE001 - it is the caller's, as that of a thread is
            done.set_exception(error)
        return done


@cache
def _loop() -> asyncio.Runner:
    runner = asyncio.Runner()
    runner.get_loop().set_default_executor(_Here())
    return runner


async def _signals(spec: WorkloadSpec, rows: list[tuple[dict[str, str], str]]) -> WorkloadSignals:
    metrics, answer = PrometheusMetrics(SETTINGS), Answer(tuple(_rows(rows)))
    # The same rows for every query, since each takes what is about it.
    metrics._client.ask = lambda *_: answer  # type: ignore[method-assign]  # noqa: SLF001 - the wire is replaced
    found = await metrics.read([spec], 1000.0)
    await metrics.aclose()
    return found[spec.key]


_PARTS = (
    queries.RUNNING, queries.WAITING, queries.KV_CACHE, queries.COMPLETIONS,
    queries.PROMPT_TOKENS, queries.OUTPUT_TOKENS, f"{queries.PROMPT_LENGTH}_sum", f"{queries.PROMPT_LENGTH}_count",
    f"{queries.OUTPUT_LENGTH}_sum", f"{queries.OUTPUT_LENGTH}_count", f"{queries.DECODE}_sum", queries.UTILIZATION,
)  # fmt: skip


def _sane(dice: Random) -> list[tuple[dict[str, str], str]]:
    scale = dice.choice((1.0, 20.0, 300.0))
    found = []
    for pod in ("chat-77d4bcbf6-abcde", "chat-77d4bcbf6-fghij"):
        labels = {"namespace": "team", GROUP_LABEL: "chat/*", "pod": pod}
        found.append((labels | {SERIES_LABEL: queries.SAMPLED_AT}, str(dice.choice((990.0, 999.0, 600.0)))))
        for part in _PARTS:
            most = 1.0 if part in (queries.KV_CACHE, queries.UTILIZATION) else scale
            found.append((labels | {SERIES_LABEL: part}, repr(dice.uniform(0, most))))
    counts = sorted(dice.uniform(0, 500) for _ in range(5))
    part = bucket_queries.buckets(_spec().objectives[0].indicator, 0)
    group = {"namespace": "team", GROUP_LABEL: "chat/*", SERIES_LABEL: part}
    found += [(group | {"le": edge}, repr(count)) for edge, count in zip(EDGES, counts, strict=False)]
    return found


@cache
def _spec() -> WorkloadSpec:
    spec = {
        "workloadType": "Assistant",
        "mode": "Auto",
        "objectives": [{"name": "ttft", "indicator": "TimeToFirstToken", "threshold": "1s", "target": "95%"}],
        "targets": [{"targetRef": {"name": "chat"}, "maxReplicas": 9, "pricePerGpuHour": "2", "startupTime": "60s"}],
    }
    found = read_workload({"metadata": specs.METADATA, "spec": spec}, {})
    assert isinstance(found, WorkloadSpec)
    return found
