"""Plays a trace, open loop: requests leave at the trace's own times, however slowly the server answers.

`run_load` is the whole of it; commands and tests differ only in what they pass. The generator's own lateness is
measured as send lag, apart from the server's latencies, and so is the CPU time it took.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp

from flyball.lab.load.client import Client
from flyball.lab.load.prompts import Bodies
from flyball.lab.load.results import ErrorKind, RequestRecord
from flyball.lab.load.target import GuardedResolver, check_internal, endpoint_url
from flyball.lab.trace import Trace

_RECENT_SECONDS = 10.0
_IDLE_CONNECTION_SECONDS = 4.0
"""Shorter than servers' own limits (vLLM's is 5 s): a request on a connection that the server just closed would count
as its failure.
"""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What to send where: the trace as it is to be played, scaled and cut already; `api` is "completions" or "chat".

    Without `model`, requests name none: vLLM then takes the one it serves.
    """

    trace: Trace
    url: str
    model: str | None = None
    api: str = "completions"


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to send it.

    `max_in_flight` is for the generator's safety: what would exceed it is not sent, and counted as refused. After a
    stop, requests in flight get `grace_seconds` to finish. `backend_headers` are looked for in the answer, in this
    order.
    """

    timeout_seconds: float = 300.0
    headers: Mapping[str, str] = field(default_factory=dict)
    seed: int = 1
    max_in_flight: int = 4096
    grace_seconds: float = 5.0
    allow_external: bool = False
    backend_headers: tuple[str, ...] = ("x-gateway-destination-endpoint-served", "x-served-by", "x-backend")


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a run at one moment; the last three are of the last ten seconds, None where there is nothing to
    tell.
    """

    elapsed_seconds: float
    planned: int
    sent: int
    in_flight: int
    done: int
    errors: int
    requests_per_second: float
    ttft_p95_seconds: float | None
    final: bool


@dataclass(frozen=True, slots=True)
class LoadResult:
    """A finished run: one record for each request that became due, in the trace's order."""

    plan: LoadPlan
    records: tuple[RequestRecord, ...]
    started_at: datetime
    elapsed_seconds: float
    cpu_seconds: float
    most_in_flight: int
    interrupted: bool


async def run_load(
    plan: LoadPlan,
    options: LoadOptions,
    on_progress: Callable[[Progress], None] | None = None,
    stop: asyncio.Event | None = None,
    progress_every_seconds: float = 10.0,
) -> LoadResult:
    """Play the plan to its end, or until `stop` is set. Raises InvalidTargetError before anything is sent."""
    url = endpoint_url(plan.url, plan.api)
    if not options.allow_external:
        await check_internal(url)
    connector = aiohttp.TCPConnector(
        limit=0,
        keepalive_timeout=_IDLE_CONNECTION_SECONDS,
        resolver=None if options.allow_external else GuardedResolver(),
    )
    timeout = aiohttp.ClientTimeout(total=options.timeout_seconds, sock_connect=min(10.0, options.timeout_seconds))
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
        client = Client(session, url, options.headers, options.backend_headers)
        run = _Run(plan, options, client, stop or asyncio.Event())
        reporter = asyncio.create_task(run.report(on_progress, progress_every_seconds)) if on_progress else None
        try:
            result = await run.play()
        finally:
            if reporter:
                reporter.cancel()
        if on_progress:
            on_progress(run.progress(final=True))
        return result


class _Run:
    """The state of one run."""

    def __init__(self, plan: LoadPlan, options: LoadOptions, client: Client, stop: asyncio.Event) -> None:
        self._plan, self._options, self._client, self._stop = plan, options, client, stop
        self._bodies = Bodies(plan.trace, plan.model, plan.api, options.seed)
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._records: list[RequestRecord] = []
        self._recent_sent: deque[float] = deque()
        self._recent_ttft: deque[tuple[float, float]] = deque()
        self._sent = self._errors = self._most_in_flight = 0

    async def play(self) -> LoadResult:
        started_at, cpu = datetime.now(UTC), time.process_time()
        self._start = self._loop.time()
        try:
            sent_all = await self._send_all()
            drained = await self._drain()
        finally:
            await self._cancel_all()
        return LoadResult(
            plan=self._plan,
            records=tuple(sorted(self._records, key=lambda record: record.index)),
            started_at=started_at,
            elapsed_seconds=self._loop.time() - self._start,
            cpu_seconds=time.process_time() - cpu,
            most_in_flight=self._most_in_flight,
            interrupted=not (sent_all and drained),
        )

    async def _send_all(self) -> bool:
        """Send every request at its time; False when stopped before the last."""
        for index, due in enumerate(self._plan.trace.t_seconds.tolist()):
            wait = self._start + due - self._loop.time()
            if wait > 0:
                await self._wait_unless_stopped(wait)
            elif index % 64 == 0:
                await asyncio.sleep(0)  # a burst of equal times must not starve the answers
            if self._stop.is_set():
                return False
            if len(self._in_flight) >= self._options.max_in_flight:
                self._keep(self._planned_record(index, due, None, ErrorKind.REFUSED))
                continue
            task = self._loop.create_task(self._request(index, due))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
            self._most_in_flight = max(self._most_in_flight, len(self._in_flight))
        return True

    async def _wait_unless_stopped(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    async def _drain(self) -> bool:
        """Wait for what is in flight; after a stop only for a while, then cancel. False when stopped."""
        if not self._in_flight:
            return not self._stop.is_set()
        finished = asyncio.create_task(asyncio.wait(self._in_flight))
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({finished, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        await asyncio.wait({finished}, timeout=self._options.grace_seconds)
        finished.cancel()
        await self._cancel_all()
        return not self._stop.is_set()

    async def _cancel_all(self) -> None:
        left = tuple(self._in_flight)
        for task in left:
            task.cancel()
        await asyncio.gather(*left)

    async def _request(self, index: int, due: float) -> None:
        body = self._bodies.body(index)
        sent_at = self._loop.time()
        self._sent += 1
        self._recent_sent.append(sent_at)
        planned = self._planned_record(index, due, max(0.0, sent_at - self._start - due), ErrorKind.NONE)
        self._keep(await self._client.request(planned, body, sent_at))

    def _planned_record(self, index: int, due: float, lag: float | None, error: ErrorKind) -> RequestRecord:
        trace = self._plan.trace
        return RequestRecord(
            index=index,
            tenant="" if trace.tenants is None else str(trace.tenants[index]),
            scheduled_seconds=due,
            send_lag_seconds=lag,
            input_tokens=int(trace.input_tokens[index]),
            output_tokens=int(trace.output_tokens[index]),
            error=error,
        )

    def _keep(self, record: RequestRecord) -> None:
        self._records.append(record)
        self._errors += not record.succeeded and record.error is not ErrorKind.CANCELLED
        if record.ttft_seconds is not None:
            self._recent_ttft.append((self._loop.time(), record.ttft_seconds))

    async def report(self, on_progress: Callable[[Progress], None], every_seconds: float) -> None:
        """Call `on_progress` every so often, until cancelled."""
        while True:
            await asyncio.sleep(every_seconds)
            on_progress(self.progress(final=False))

    def progress(self, *, final: bool) -> Progress:
        now = self._loop.time()
        horizon = now - _RECENT_SECONDS
        while self._recent_sent and self._recent_sent[0] < horizon:
            self._recent_sent.popleft()
        while self._recent_ttft and self._recent_ttft[0][0] < horizon:
            self._recent_ttft.popleft()
        ordered = sorted(ttft for _, ttft in self._recent_ttft)
        elapsed = now - self._start
        return Progress(
            elapsed_seconds=elapsed,
            planned=len(self._plan.trace),
            sent=self._sent,
            in_flight=len(self._in_flight),
            done=len(self._records),
            errors=self._errors,
            requests_per_second=len(self._recent_sent) / max(min(elapsed, _RECENT_SECONDS), 1e-9),
            ttft_p95_seconds=ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))] if ordered else None,
            final=final,
        )
