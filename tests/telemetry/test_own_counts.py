import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from support.prometheus import make_objective, make_spec

from flyball.core.names import Indicator
from flyball.core.service.own_counts import Cache, CacheKind, CacheReading, Guard, OwnCounts, TemplateCounts, TokenCount
from flyball.core.service.reliability import EventCounts, RequestEvent
from flyball.core.spec import TelemetrySource, WorkloadSpec
from flyball.telemetry.answers import Answer, Row
from flyball.telemetry.own_counts import (
    REFRESH_SECONDS,
    OwnAnswers,
    OwnCountsReader,
    cache_field,
    event_field,
    read,
    token_field,
)

E, T = RequestEvent, TokenCount
ANSWERS = Cache("answers", CacheKind.RESPONSE, "hits[$window]", "lookups[$window]", guard=Guard("fresh", at_least=0.9))


def spec(own: OwnCounts, *objectives: object, name: str = "chat") -> WorkloadSpec:
    return make_spec(name, objectives=objectives, telemetry=TelemetrySource(own=own))


def rows(*values: float, **labels: tuple[str, ...]) -> tuple[Row, ...]:
    return tuple(
        Row({name: texts[index] for name, texts in labels.items()}, value) for index, value in enumerate(values)
    )


@pytest.mark.parametrize(
    ("answered", "found"),
    [
        pytest.param(
            {(E.RESPONSES, 300.0): rows(90, 10, code=("200", "429"))},
            [(300.0, {E.REQUESTS: 100, E.RATE_LIMITED: 10})],
            id="responses by code",
        ),
        pytest.param(
            {(E.RESPONSES, 300.0): rows(9, 1, http_response_status_code=("200", "504"))},
            [(300.0, {E.REQUESTS: 10, E.TIMEOUT: 1})],
            id="as OpenTelemetry names it",
        ),
        pytest.param({(E.RESPONSES, 300.0): rows(9, le=("1",))}, [(300.0, {})], id="responses without a status"),
        pytest.param(
            {(E.RESPONSES, 300.0): rows(9, 1, code=("200", "500")), (E.TIMEOUT, 300.0): rows(4, 3, route=("a", "b"))},
            [(300.0, {E.REQUESTS: 10, E.SERVICE_ERROR: 1, E.TIMEOUT: 7})],
            id="a query of its own is nearer than the status",
        ),
        pytest.param(
            {(E.RETRY, 300.0): rows(1), (E.RETRY, 3600.0): rows(12)},
            [(300.0, {E.RETRY: 1}), (3600.0, {E.RETRY: 12})],
            id="each window",
        ),
        pytest.param({(E.RETRY, 300.0): ()}, [(300.0, {})], id="no series is no zero"),
        pytest.param({(E.RETRY, 300.0): rows(float("nan"), 2, a=("1", "2"))}, [(300.0, {E.RETRY: 2})], id="nor is NaN"),
    ],
)
def test_events(
    answered: dict[tuple[RequestEvent, float], tuple[Row, ...]], found: list[tuple[float, dict[RequestEvent, float]]]
) -> None:
    declared = OwnCounts(events=tuple((event, "q") for event in E))
    answers = OwnAnswers({(event_field(event), window): given for (event, window), given in answered.items()})
    told = read(spec(declared), answers).events
    positive = [(each.window_seconds, {event: n for event, n in each.counts if n}) for each in told]
    assert positive == found


def test_tokens_by_template_and_caches() -> None:
    declared = OwnCounts(tokens=((T.REQUESTS, "q"), (T.INPUT, "q")), caches=(ANSWERS,))
    answers = OwnAnswers(
        {
            (token_field(T.REQUESTS), 3600.0): rows(6, 4, 2, template=("faq", "faq", "refund")),
            (token_field(T.INPUT), 3600.0): rows(900, 700, template=("faq", "")),
            (cache_field(ANSWERS, "hits"), 3600.0): rows(3, 4, pod=("a", "b")),
            (cache_field(ANSWERS, "lookups"), 3600.0): rows(20),
            (cache_field(ANSWERS, "guard.query"), 3600.0): rows(0.95),
        },
        {token_field(T.INPUT): "Prometheus is down"},
    )
    found = read(spec(declared), answers)
    assert found.templates == (
        TemplateCounts("", ((T.INPUT, 700.0),)),
        TemplateCounts("faq", ((T.REQUESTS, 10.0), (T.INPUT, 900.0))),
        TemplateCounts("refund", ((T.REQUESTS, 2.0),)),
    )
    assert found.caches == (CacheReading("answers", 3600.0, 7.0, 20.0, 0.95),)
    assert found.problems == ("telemetry.tokens[Input].query: Prometheus is down",)


def test_a_cache_names_its_query_that_failed() -> None:
    answers = OwnAnswers(
        {(cache_field(ANSWERS, "hits"), 3600.0): rows(3)}, {cache_field(ANSWERS, "lookups"): "parse error"}
    )
    found = read(spec(OwnCounts(caches=(ANSWERS,))), answers).caches
    assert found == (CacheReading("answers", 3600.0, 3.0, problem="lookups: parse error"),)


def test_however_many_templates_there_are_and_whatever_their_names_few_are_remembered() -> None:
    declared = OwnCounts(tokens=((T.REQUESTS, "q"),))
    names = tuple(f"{'long ' * 100}{index}" if index < 5 else f"t{index:05}" for index in range(20_000))
    answers = OwnAnswers({(token_field(T.REQUESTS), 3600.0): rows(*(1.0,) * 20_000, template=names)})
    found = read(spec(declared), answers).templates
    assert len(found) == 11
    assert max(len(each.template) for each in found) == 64
    assert sum(each.of(T.REQUESTS) or 0.0 for each in found) == 20_000


@pytest.mark.parametrize(
    "guard",
    [
        pytest.param((), id="no series"),
        pytest.param(rows(0.9, 0.95, pod=("a", "b")), id="two series, of which none is the one meant"),
        pytest.param(rows(float("nan")), id="NaN"),
    ],
)
def test_a_guard_that_is_not_one_number_is_unknown(guard: tuple[Row, ...]) -> None:
    answers = OwnAnswers({(cache_field(ANSWERS, "guard.query"), 3600.0): guard})
    assert read(spec(OwnCounts(caches=(ANSWERS,))), answers).caches[0].guard is None


class Source:
    """Answers every query in a while with one row, or with the failure of those that hold `broken`."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.answers = asyncio.Event()

    async def __call__(self, query: str) -> Answer:
        self.asked[query] += 1
        await self.answers.wait()
        return Answer(failure="parse error") if "broken" in query else Answer(rows(5.0))

    async def settle(self) -> None:
        """Let every query that was asked be answered."""
        self.answers.set()
        for _ in range(50):
            await asyncio.sleep(0)
        self.answers.clear()


RETRIES = OwnCounts(events=((E.RETRY, "increase(retries[$window])"),))


async def test_a_tick_takes_what_is_there_and_asks_again_when_it_is_due() -> None:
    source, reader, chat = Source(), OwnCountsReader(300.0), spec(RETRIES)
    first = await reader.read([chat], {}, 0.0, source)
    assert first[chat.key].rows == {}
    await source.settle()
    assert source.asked == {"increase(retries[300s])": 1, "increase(retries[3600s])": 1}
    second = await reader.read([chat], {}, 15.0, source)
    assert read(chat, second[chat.key]).events == (
        EventCounts(300.0, ((E.RETRY, 5.0),)),
        EventCounts(3600.0, ((E.RETRY, 5.0),)),
    )
    await source.settle()
    assert source.asked.total() == 2
    await reader.read([chat], {}, REFRESH_SECONDS, source)
    await source.settle()
    assert source.asked.total() == 4
    await reader.aclose()


async def test_events_are_asked_for_over_the_windows_of_counted_objectives_too() -> None:
    source, reader = Source(), OwnCountsReader(300.0)
    monthly = make_objective(Indicator.RETRIES, None, 2_419_200.0)
    await reader.read([spec(RETRIES, monthly)], {2_419_200.0: 2_419_200.0}, 0.0, source)
    await source.settle()
    assert set(source.asked) == {f"increase(retries[{w}s])" for w in (300, 3600, 2_419_200)}
    await reader.aclose()


async def test_a_query_that_fails_is_named_and_hides_no_other() -> None:
    broken = replace(RETRIES, events=(*RETRIES.events, (E.FALLBACK, "broken[$window]")))
    source, reader, chat = Source(), OwnCountsReader(300.0), spec(broken)
    await reader.read([chat], {}, 0.0, source)
    await source.settle()
    found = read(chat, (await reader.read([chat], {}, 15.0, source))[chat.key])
    assert found.problems == ("telemetry.requestEvents[Fallback].query: parse error",)
    assert found.events[0] == EventCounts(300.0, ((E.RETRY, 5.0),))
    mended = spec(RETRIES)
    found = read(mended, (await reader.read([mended], {}, 30.0, source))[mended.key])
    assert found.problems == ()
    await reader.aclose()


async def test_a_workload_that_is_gone_is_forgotten_and_others_are_not() -> None:
    source, reader = Source(), OwnCountsReader(300.0)
    chat, search = spec(RETRIES), spec(RETRIES, name="search")
    await reader.read([chat, search], {}, 0.0, source)
    await source.settle()
    await reader.read([search], {}, 15.0, source)
    found = await reader.read([chat, search], {}, 16.0, source)
    assert (found[chat.key].rows, len(found[search.key].rows)) == ({}, 2)
    await source.settle()
    await reader.aclose()
