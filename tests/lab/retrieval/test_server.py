"""The retrieval application against a model and a collector of the test's own: answers, spans, delays, bad input."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from flyball.lab.retrieval import spans as sending
from flyball.lab.retrieval.search import PASSAGES, rerank, retrieve
from flyball.lab.retrieval.server import STAGES, RetrievalApp, RetrievalConfig, delays_of
from flyball.lab.retrieval.spans import Spans


class Beside:
    """The model and the collector."""

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.spans: list[dict[str, Any]] = []
        self.status = 200

    async def complete(self, request: web.Request) -> web.Response:
        self.prompts.append((await request.json())["prompt"])
        return web.json_response({"choices": [{"text": " within thirty days "}]}, status=self.status)

    async def take(self, request: web.Request) -> web.Response:
        for resource in (await request.json())["resourceSpans"]:
            service = resource["resource"]["attributes"][0]["value"]["stringValue"]
            for scope in resource["scopeSpans"]:
                self.spans += [span | {"service": service} for span in scope["spans"]]
        return web.json_response({})


@pytest.fixture
async def beside() -> AsyncIterator[tuple[Beside, str]]:
    one, application = Beside(), web.Application()
    application.add_routes([web.post("/v1/completions", one.complete), web.post("/v1/traces", one.take)])
    async with TestServer(application) as server:
        yield one, str(server.make_url(""))


async def ask(app: RetrievalApp, body: object, **headers: str) -> tuple[int, dict[str, Any]]:
    async with TestClient(TestServer(app.application())) as client:
        answer = await client.post("/ask", data=json.dumps(body), headers=headers)
        return answer.status, json.loads(await answer.read())


async def test_a_question_passes_every_stage_and_each_leaves_a_span(beside: tuple[Beside, str]) -> None:
    one, url = beside
    app = RetrievalApp(RetrievalConfig(url, url))
    app.delays = {"rerank": 0.2}
    status, answer = await ask(app, {"question": "Can an order be returned?"}, **{"X-Tier": "gold"})
    assert (status, answer["answer"]) == (200, "within thirty days")
    assert answer["passages"][0]["text"] == PASSAGES[0]
    assert PASSAGES[0] in one.prompts[0]
    by_name = {span["name"]: span for span in one.spans}
    assert set(by_name) == {"answer", *STAGES}
    root = by_name["answer"]
    assert all(by_name[stage]["parentSpanId"] == root["spanId"] for stage in STAGES)
    assert {span["traceId"] for span in one.spans} == {root["traceId"]}
    assert {span["service"] for span in one.spans} == {"shop"}
    assert root["attributes"] == [{"key": "tier", "value": {"stringValue": "gold"}}]
    took = int(by_name["rerank"]["endTimeUnixNano"]) - int(by_name["rerank"]["startTimeUnixNano"])
    assert took >= 0.2e9


async def test_a_failing_model_is_an_error_and_a_failed_span(beside: tuple[Beside, str]) -> None:
    one, url = beside
    one.status = 500
    status, answer = await ask(RetrievalApp(RetrievalConfig(url, url)), {"question": "?"})
    assert (status, "did not answer" in answer["error"]) == (502, True)
    assert {span["name"] for span in one.spans if span["status"]} == {"answer", "generation"}


async def test_what_is_no_question_is_told_what_one_is(beside: tuple[Beside, str]) -> None:
    _, url = beside
    status, answer = await ask(RetrievalApp(RetrievalConfig(url, url)), ["?"])
    assert (status, "question" in answer["error"]) == (400, True)


async def test_without_a_collector_the_newest_spans_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MOST_WAITING", 2)
    spans = Spans("http://127.0.0.1:1", "shop")
    for _ in range(3):
        with spans.span(spans.trace(), "answer"):
            pass
    assert spans.dropped == 1


@pytest.mark.parametrize(
    ("document", "words"),
    [
        pytest.param([], "JSON object", id="no object"),
        pytest.param({"sleep": 1}, "there is no stage 'sleep'", id="no stage"),
        pytest.param({"rerank": -1}, "seconds from 0 to 60", id="negative"),
        pytest.param({"rerank": True}, "seconds from 0 to 60", id="no number"),
    ],
)
def test_a_delay_that_is_none_is_told_what_one_is(document: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        delays_of(document)


def test_pairs_of_words_decide_among_passages_with_the_same_words() -> None:
    question = "express delivery"
    assert rerank(question, retrieve(question))[0].text.startswith("Delivery takes")
