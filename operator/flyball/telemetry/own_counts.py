"""What users count themselves: their queries over `$window`, asked beside the ticks and remembered.

A tick waits for none of them and takes what is there: they steer nothing. They are asked one after the other, each
again once a minute at the soonest, so that what they cost Prometheus is bounded however many workloads bring some.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flyball.core.names import COUNTED_INDICATORS, WorkloadKey
from flyball.core.observation import WorkloadSignals, believable
from flyball.core.service.efficiency import WINDOW_SECONDS
from flyball.core.service.own_counts import Cache, CacheReading, OwnCounts, OwnReadings, TemplateCounts, TokenCount
from flyball.core.service.reliability import EventCounts, RequestEvent, of_statuses
from flyball.core.service.tokens import folded
from flyball.core.spec import WorkloadSpec
from flyball.telemetry import windows
from flyball.telemetry.answers import Answer, Row
from flyball.telemetry.promql import duration
from flyball.telemetry.reliability import merged
from flyball.telemetry.slow import Ask, SlowWindows

WINDOW = "$window"
"""Stands in a query for the window that it is asked over."""
REFRESH_SECONDS = 60.0
STATUS_LABELS = ("code", "status", "status_code", "http_response_status_code", "http_status_code")
"""Where a response's HTTP status is looked for, in this order: as most proxies and OpenTelemetry name it."""
TEMPLATE_LABEL = "template"
LONGEST_TEMPLATE = 64
"""Characters of a template's name that are kept: it becomes a label and part of a status."""


@dataclass(frozen=True, slots=True)
class OwnAnswers:
    """The answers by the field that holds the query, and window; and for each field whose query failed, why."""

    rows: Mapping[tuple[str, float], Sequence[Row]] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)


Place = tuple[WorkloadKey, str]
"""A workload, and the field of it that holds a query."""


def _source(place: Place) -> str:
    return f"{place[0]} {place[1]}"


class OwnCountsReader:
    """Asks and remembers."""

    def __init__(self, refresh_seconds: float) -> None:
        self._windows = SlowWindows(REFRESH_SECONDS, _kept)
        self._long_windows = SlowWindows(refresh_seconds, _kept)
        self._failures: dict[Place, str] = {}

    async def read(
        self, specs: Iterable[WorkloadSpec], asked: Mapping[float, float], at: float, ask_slowly: Ask
    ) -> dict[WorkloadKey, OwnAnswers]:
        """What is known by now of all workloads. `asked` are the windows asked for by those declared (seconds)."""
        wanted = {spec.key: _wanted(spec, asked) for spec in specs}
        self._keep({(key, name) for key, queries in wanted.items() for name in queries})
        return {key: await self._of_workload(key, queries, at, ask_slowly) for key, queries in wanted.items()}

    def _keep(self, places: set[Place]) -> None:
        """Forget what nobody asks for any more."""
        self._failures = {place: text for place, text in self._failures.items() if place in places}
        sources = {_source(place) for place in places}
        self._windows.keep(sources)
        self._long_windows.keep(sources)

    async def aclose(self) -> None:
        """Stop what runs in the background."""
        await self._windows.aclose()
        await self._long_windows.aclose()

    async def _of_workload(
        self, key: WorkloadKey, queries: Mapping[str, Mapping[float, str]], at: float, ask_slowly: Ask
    ) -> OwnAnswers:
        rows: dict[tuple[str, float], Sequence[Row]] = {}
        for name, by_window in queries.items():

            async def ask(query: str, place: Place = (key, name)) -> Answer:
                answer = await ask_slowly(query)
                self._failures[place] = answer.failure
                return answer

            source = _source((key, name))
            short = {window: text for window, text in by_window.items() if window <= WINDOW_SECONDS}
            long = {window: text for window, text in by_window.items() if window > WINDOW_SECONDS}
            found = await self._windows.read(source, short, at, ask, 0.0)
            found |= await self._long_windows.read(source, long, at, ask, 0.0)
            rows |= {(name, window): answer.rows for window, answer in found.items()}
        failures = {name: text for name in queries if (text := self._failures.get((key, name)))}
        return OwnAnswers(rows, failures)


def _kept(answer: Answer) -> Answer:
    return answer


def event_field(event: RequestEvent) -> str:
    """The field that holds the query of that event."""
    return f"telemetry.requestEvents[{event}].query"


def token_field(kind: TokenCount) -> str:
    """The field that holds the query of that count."""
    return f"telemetry.tokens[{kind}].query"


def cache_field(cache: Cache, name: str) -> str:
    """The field that holds that query of the cache: hits, lookups or guard.query."""
    return f"telemetry.caches[{cache.name}].{name}"


def declared(own: OwnCounts) -> Iterator[tuple[str, str]]:
    """All of the user's queries, with `$window` in them, by the field that holds each."""
    yield from ((event_field(event), query) for event, query in own.events)
    yield from ((token_field(kind), query) for kind, query in own.tokens)
    for cache in own.caches:
        yield from ((cache_field(cache, name), query) for name, query in _queries(cache))


def _wanted(spec: WorkloadSpec, asked: Mapping[float, float]) -> dict[str, dict[float, str]]:
    """The queries by field and window."""
    own = spec.telemetry.own
    declared = {asked[o.window_seconds] for o in spec.objectives if o.indicator in COUNTED_INDICATORS}
    found = {event_field(event): _over(query, _event_windows(declared)) for event, query in own.events}
    found |= {token_field(kind): _over(query, (WINDOW_SECONDS,)) for kind, query in own.tokens}
    for cache in own.caches:
        found |= {cache_field(cache, name): _over(query, (WINDOW_SECONDS,)) for name, query in _queries(cache)}
    return found


def _event_windows(declared: Iterable[float]) -> tuple[float, ...]:
    return tuple(sorted({windows.SHORT_SECONDS, windows.LONG_SECONDS, *declared}))


def _queries(cache: Cache) -> Iterator[tuple[str, str]]:
    yield "hits", cache.hits
    yield "lookups", cache.lookups
    if cache.guard is not None:
        yield "guard.query", cache.guard.query


def _over(query: str, seconds: Iterable[float]) -> dict[float, str]:
    return {window: query.replace(WINDOW, duration(window)) for window in seconds}


def read(spec: WorkloadSpec, answers: OwnAnswers) -> OwnReadings:
    """What the answers say, without what the profile counts."""
    own = spec.telemetry.own
    return OwnReadings(
        events=tuple(_events(own.events, answers.rows)),
        templates=_templates(own.tokens, answers.rows),
        caches=tuple(_cache(cache, answers) for cache in own.caches),
        problems=tuple(f"{name}: {text}" for name, text in answers.failures.items()),
    )


def apply(spec: WorkloadSpec, signals: WorkloadSignals, answers: OwnAnswers) -> WorkloadSignals:
    """The signals with what the user counts; an event that the profile counts, too, is the user's."""
    own = read(spec, answers)
    return replace(signals, own=replace(own, events=merged(signals.own.events, own.events)))


Rows = Mapping[tuple[str, float], Sequence[Row]]


def _events(declared: Iterable[tuple[RequestEvent, str]], rows: Rows) -> Iterator[EventCounts]:
    events = [event for event, _ in declared]
    names = {event_field(event) for event in events}
    for window in sorted({window for name, window in rows if name in names}):
        found: dict[RequestEvent, float] = {}
        for event in sorted(events, key=lambda each: each is not RequestEvent.RESPONSES):
            answered = rows.get((event_field(event), window))
            if answered is None:
                continue
            if event is RequestEvent.RESPONSES:
                found |= of_statuses((_status(row), row.value) for row in _believable(answered))
            elif answered:
                found[event] = sum(row.value for row in _believable(answered))
        yield EventCounts(window, tuple(found.items()))


def _status(row: Row) -> str:
    return next((row.labels[name] for name in STATUS_LABELS if name in row.labels), "")


def _believable(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if believable(row.value)]


def _templates(declared: Iterable[tuple[TokenCount, str]], rows: Rows) -> tuple[TemplateCounts, ...]:
    found: dict[str, dict[TokenCount, float]] = {}
    for kind, _ in declared:
        for row in _believable(rows.get((token_field(kind), WINDOW_SECONDS), ())):
            sums = found.setdefault(row.labels.get(TEMPLATE_LABEL, "")[:LONGEST_TEMPLATE], {})
            sums[kind] = sums.get(kind, 0.0) + row.value
    return folded(TemplateCounts(template, tuple(sums.items())) for template, sums in found.items())


def _cache(cache: Cache, answers: OwnAnswers) -> CacheReading:
    def total(name: str) -> float | None:
        found = answers.rows.get((cache_field(cache, name), WINDOW_SECONDS))
        return sum(row.value for row in _believable(found)) if found else None

    guard = [row.value for row in answers.rows.get((cache_field(cache, "guard.query"), WINDOW_SECONDS), ())]
    failures = ((name, answers.failures.get(cache_field(cache, name), "")) for name, _ in _queries(cache))
    return CacheReading(
        cache.name,
        WINDOW_SECONDS,
        total("hits"),
        total("lookups"),
        guard[0] if len(guard) == 1 and believable(guard[0]) else None,
        next((f"{name}: {text}" for name, text in failures if text), ""),
    )
