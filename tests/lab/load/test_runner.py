import asyncio
import io
import logging
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from flyball.lab.load.progress import ProgressLine, format_progress
from flyball.lab.load.results import ErrorKind, RequestRecord
from flyball.lab.load.runner import LoadOptions, LoadPlan, LoadResult, Progress, run_load
from flyball.lab.load.target import InvalidTargetError
from flyball.lab.trace import Trace


def trace(times: list[float], outputs: list[int] | None = None) -> Trace:
    count = len(times)
    return Trace("x", np.array(times), np.full(count, 20), np.array(outputs or [4] * count), times[-1])


async def play(stub: Any, times: list[float], outputs: list[int] | None = None, **options: Any) -> LoadResult:
    return await run_load(LoadPlan(trace(times, outputs), stub.url), LoadOptions(**options))


def held_until(stub: Any, released: asyncio.Event) -> None:
    """Let the server answer nobody before that."""

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await released.wait()
        response: web.StreamResponse = await stub.stream(request, body)
        return response

    stub.answer = answer


async def arrivals(stub: Any, count: int) -> None:
    """Wait until so many requests have come."""
    while len(stub.bodies) < count:  # noqa: ASYNC110 - the stub tells nobody
        await asyncio.sleep(0.01)


@pytest.mark.looptime
async def test_requests_leave_at_the_traces_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that only waiting moves, so that every time is exact."""
    sent: list[float] = []

    class Slow:
        """Takes longer for an answer than the whole trace."""

        def __init__(self, *_: object) -> None:
            pass

        async def request(self, planned: RequestRecord, body: bytes, sent_at: float) -> RequestRecord:
            sent.append(sent_at)
            await asyncio.sleep(0.6)
            return planned

    monkeypatch.setattr("flyball.lab.load.runner.Client", Slow)
    times = [0.0, 0.05, 0.1, 0.1, 0.3]
    plan = LoadPlan(trace(times), "http://127.0.0.1:1")
    result = await run_load(plan, LoadOptions(allow_external=True))
    assert [at - sent[0] for at in sent] == pytest.approx(times)
    assert [record.scheduled_seconds for record in result.records] == times
    assert [record.send_lag_seconds for record in result.records] == pytest.approx([0.0] * 5)
    assert (result.elapsed_seconds, result.most_in_flight) == (pytest.approx(0.9), 5)


async def test_an_open_loop_waits_for_no_answer(stub: Any) -> None:
    released, times = asyncio.Event(), [0.0, 0.05, 0.1, 0.1, 0.3]
    held_until(stub, released)
    began = asyncio.get_running_loop().time()
    run = asyncio.create_task(play(stub, times))
    await arrivals(stub, 5)
    released.set()
    result = await run
    assert all(at >= began + due for at, due in zip(stub.arrived_at, times, strict=True)), "none before its time"
    assert all(record.send_lag_seconds is not None and record.send_lag_seconds >= 0 for record in result.records)
    assert (result.most_in_flight, result.interrupted) == (5, False)


async def test_latencies_and_tokens_are_those_of_the_stream(stub: Any) -> None:
    """Only from below: the machine may make any of them longer."""
    stub.first_seconds, stub.gap_seconds = 0.1, 0.05
    result = await play(stub, [0.0, 0.01], [5, 1])
    several, single = result.records
    assert (several.succeeded, several.status, several.backend) == (True, 200, "stub-0")
    assert (several.prompt_tokens, several.received_tokens, single.received_tokens) == (20, 5, 1)
    assert several.ttft_seconds is not None
    assert several.itl_max_seconds is not None
    assert several.itl_mean_seconds is not None
    assert several.ttft_seconds >= 0.1
    assert several.itl_max_seconds >= several.itl_mean_seconds
    assert several.e2e_seconds is not None
    last_token_seconds = several.ttft_seconds + 4 * several.itl_mean_seconds
    assert last_token_seconds >= 0.1 + 4 * 0.05
    assert several.e2e_seconds >= max(last_token_seconds, 0.1 + 5 * 0.05)
    assert (single.itl_mean_seconds, single.itl_max_seconds) == (None, None)


async def test_the_request_carries_what_was_asked_for(stub: Any) -> None:
    options = LoadOptions(headers={"Host": "llama.example", "Authorization": "Bearer x"})
    await run_load(LoadPlan(trace([0.0], [7]), stub.url, model="llama"), options)
    body, headers = stub.bodies[0], stub.headers[0]
    assert (body["model"], body["max_tokens"], len(body["prompt"])) == ("llama", 7, 20)
    assert (headers["host"], headers["authorization"]) == ("llama.example", "Bearer x")


async def test_a_chat_is_timed_by_its_first_word_and_not_by_its_role(stub: Any) -> None:
    async def chat(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response: web.StreamResponse = await stub.begin(request)
        await response.write(stub.event({"delta": {"role": "assistant", "content": ""}}))
        await asyncio.sleep(0.1)
        await response.write(stub.event({"delta": {"content": " word"}}))
        await stub.finish(response, 24, 1)
        return response

    stub.answer = chat
    result = await run_load(LoadPlan(trace([0.0], [1]), stub.url, api="chat"), LoadOptions())
    record = result.records[0]
    assert (record.succeeded, record.prompt_tokens, record.received_tokens) == (True, 24, 1)
    assert record.ttft_seconds is not None
    assert record.ttft_seconds >= 0.1


async def test_a_prompt_of_more_than_a_megabyte_is_sent_whole(stub: Any) -> None:
    made = Trace("x", np.array([0.0]), np.array([200_000]), np.array([1]), 0.0)
    result = await run_load(LoadPlan(made, stub.url), LoadOptions())
    assert result.records[0].prompt_tokens == 200_000


async def overloaded(stub: Any, request: web.Request) -> web.StreamResponse:
    return web.json_response({"error": {"message": "overloaded"}}, status=503)


async def unknown_model(stub: Any, request: web.Request) -> web.StreamResponse:
    return web.json_response({"error": {"message": "no such model"}}, status=404)


async def elsewhere(stub: Any, request: web.Request) -> web.StreamResponse:
    return web.Response(status=307, headers={"Location": "http://192.0.2.1/"})


async def whole(stub: Any, request: web.Request) -> web.StreamResponse:
    return web.json_response({"choices": []})


async def empty(stub: Any, request: web.Request) -> web.StreamResponse:
    response: web.StreamResponse = await stub.begin(request)
    await stub.finish(response, 20, 0)
    return response


async def cut_off(stub: Any, request: web.Request) -> web.StreamResponse:
    response: web.StreamResponse = await stub.begin(request)
    await response.write(stub.event({"text": " a"}) + stub.event({"text": " b"}))
    assert request.transport is not None
    request.transport.close()
    return response


async def ended_early(stub: Any, request: web.Request) -> web.StreamResponse:
    response: web.StreamResponse = await stub.begin(request)
    await response.write(stub.event({"text": " a"}) + stub.event({"text": " b"}))
    await response.write_eof()
    return response


async def broken(stub: Any, request: web.Request) -> web.StreamResponse:
    response: web.StreamResponse = await stub.begin(request)
    await response.write(
        stub.event({"text": " a"}) + b'data: {"error": {"message": "engine died"}}\n\ndata: [DONE]\n\n'
    )
    await response.write_eof()
    return response


async def hung_up(stub: Any, request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hanging(stub: Any, request: web.Request) -> web.StreamResponse:
    response: web.StreamResponse = await stub.begin(request)
    await response.write(stub.event({"text": " a"}))
    await asyncio.sleep(60)
    return response


@pytest.mark.parametrize(
    ("answer", "kind", "status", "detail", "tokens"),
    [
        pytest.param(overloaded, ErrorKind.SERVER_ERROR, 503, "overloaded", 0, id="a 503"),
        pytest.param(unknown_model, ErrorKind.CLIENT_ERROR, 404, "no such model", 0, id="a 404"),
        pytest.param(elsewhere, ErrorKind.PROTOCOL, 307, "instead of a stream", 0, id="a redirect is not followed"),
        pytest.param(whole, ErrorKind.PROTOCOL, 200, "application/json instead of a stream", 0, id="no stream"),
        pytest.param(empty, ErrorKind.PROTOCOL, 200, "brought no token", 0, id="no token"),
        pytest.param(cut_off, ErrorKind.TRUNCATED, 200, "", 2, id="the connection closes within the answer"),
        pytest.param(
            ended_early, ErrorKind.TRUNCATED, 200, "without [DONE]", 2, id="the answer ends in order but too early"
        ),
        pytest.param(broken, ErrorKind.STREAM, 200, "engine died", 1, id="an error event"),
        pytest.param(hung_up, ErrorKind.CONNECT, None, "Disconnected", 0, id="the connection closes before any answer"),
    ],
)
async def test_failures_are_told_apart(
    stub: Any,
    answer: Any,
    kind: ErrorKind,
    status: int | None,
    detail: str,
    tokens: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)
    stub.answer = lambda request, _body: answer(stub, request)
    record = (await play(stub, [0.0])).records[0]
    assert (record.error, record.status, record.received_tokens) == (kind, status, tokens)
    assert detail in record.detail
    assert record.e2e_seconds is not None


async def test_an_answer_that_hangs_is_a_timeout(stub: Any) -> None:
    stub.answer = lambda request, _body: hanging(stub, request)
    record = (await play(stub, [0.0], timeout_seconds=0.3)).records[0]
    assert record.error is ErrorKind.TIMEOUT
    assert "Timeout" in record.detail
    assert record.e2e_seconds is not None
    assert record.e2e_seconds >= 0.3


async def test_what_came_before_a_timeout_is_kept(stub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is reached after the first token, whenever that comes: a real one might pass before."""
    read, late = aiohttp.StreamReader.readany, False

    async def limited(reader: aiohttp.StreamReader) -> bytes:
        nonlocal late
        if late:
            raise TimeoutError
        chunk = await read(reader)
        late = chunk.startswith(b"data: ")
        return chunk

    stub.answer = lambda request, _body: hanging(stub, request)
    monkeypatch.setattr("aiohttp.StreamReader.readany", limited)
    record = (await play(stub, [0.0])).records[0]
    assert (record.error, record.status, record.received_tokens) == (ErrorKind.TIMEOUT, 200, 1)
    assert record.ttft_seconds is not None


async def test_nobody_listening_is_a_connect_error(deaf_port: int) -> None:
    result = await run_load(LoadPlan(trace([0.0, 0.01]), f"http://127.0.0.1:{deaf_port}"), LoadOptions())
    assert [record.error for record in result.records] == [ErrorKind.CONNECT] * 2


async def test_requests_beyond_the_limit_are_counted_and_not_sent(stub: Any) -> None:
    released = asyncio.Event()
    held_until(stub, released)

    def release(seen: Progress) -> None:
        if seen.done == 2:  # the two that were refused, since nothing is answered
            released.set()

    plan = LoadPlan(trace([0.0, 0.01, 0.02, 0.03]), stub.url)
    result = await run_load(plan, LoadOptions(max_in_flight=2), release, progress_every_seconds=0.01)
    assert [record.error for record in result.records] == [ErrorKind.NONE] * 2 + [ErrorKind.REFUSED] * 2
    assert (len(stub.bodies), result.most_in_flight) == (2, 2)


@pytest.mark.parametrize(
    ("grace_seconds", "end"),
    [
        pytest.param(60.0, ErrorKind.NONE, id="what is in flight may end"),
        pytest.param(0.0, ErrorKind.CANCELLED, id="what does not end in time is cancelled"),
    ],
)
async def test_a_stop_sends_nothing_more(stub: Any, grace_seconds: float, end: ErrorKind) -> None:
    stop, never = asyncio.Event(), asyncio.Event()
    held_until(stub, stop if grace_seconds else never)
    plan = LoadPlan(trace([0.0, 0.01, 9000.0], [1, 2, 3]), stub.url)
    run = asyncio.create_task(run_load(plan, LoadOptions(grace_seconds=grace_seconds), stop=stop))
    await arrivals(stub, 2)
    stop.set()
    result = await run
    assert [record.error for record in result.records] == [end] * 2
    assert result.interrupted


async def test_an_abandoned_run_leaves_nothing_behind(stub: Any) -> None:
    stub.answer = lambda request, _body: hanging(stub, request)
    before = asyncio.all_tasks()
    run = asyncio.create_task(play(stub, [0.0, 0.01, 9000.0]))
    await arrivals(stub, 2)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    mine = [task for task in asyncio.all_tasks() - before if "flyball.lab" in str(task.get_coro())]
    assert mine == []


async def test_progress_tells_what_is_under_way(stub: Any) -> None:
    seen: list[Progress] = []
    released = asyncio.Event()
    held_until(stub, released)

    def on_progress(progress: Progress) -> None:
        seen.append(progress)
        if progress.sent == 2:
            released.set()

    await run_load(LoadPlan(trace([0.0, 0.01]), stub.url), LoadOptions(), on_progress, progress_every_seconds=0.01)
    first, last = next(progress for progress in seen if progress.sent == 2), seen[-1]
    assert (first.planned, first.sent, first.in_flight, first.done, first.ttft_p95_seconds) == (2, 2, 2, 0, None)
    assert (last.in_flight, last.done, last.errors, last.final) == (0, 2, 0, True)
    assert last.ttft_p95_seconds is not None


async def test_load_on_strangers_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(InvalidTargetError, match="--allow-external"):
        await run_load(LoadPlan(trace([0.0]), "http://192.0.2.1:8000"), LoadOptions())


PROGRESS = Progress(75.2, 500, 90, 12, 78, 3, 8.25, 0.4321, final=False)


def test_the_progress_line_fits_a_terminal() -> None:
    line = format_progress(PROGRESS)
    assert line == "1m15s: sent 90/500, in flight 12, done 78, errors 3, 8.2 requests/s, TTFT p95 432 ms"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "every", "begin"),
    [
        pytest.param(Terminal(), 0.5, "\r\x1b[2K1m15s", id="redrawn on a terminal"),
        pytest.param(io.StringIO(), 10.0, "1m15s", id="lines elsewhere"),
    ],
)
def test_progress_is_redrawn_on_a_terminal_and_a_line_elsewhere(stream: io.StringIO, every: float, begin: str) -> None:
    line = ProgressLine(stream)
    line.show(PROGRESS)
    assert line.every_seconds == every
    assert stream.getvalue().startswith(begin)
    assert stream.getvalue().endswith("\n") is not stream.isatty()
