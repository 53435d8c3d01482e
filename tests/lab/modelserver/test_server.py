"""The server over real sockets, as a client and as Prometheus see it."""

import asyncio
import json
import re
import time
from typing import Any

import aiohttp
import pytest

from flyball.lab.modelserver.replies import words

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "hello you"}]


def exactly(tokens: int, prompt_tokens: int = 5) -> dict[str, Any]:
    """A completion of exactly so many tokens."""
    return {"model": "tiny", "prompt": list(range(prompt_tokens)), "max_tokens": tokens, "ignore_eos": True}


async def test_it_is_ready_after_the_start_up_time(start: Any) -> None:
    began = asyncio.get_running_loop().time()
    replica = await start(startup_seconds=0.2)
    await replica.eventually(replica.healthy)
    assert asyncio.get_running_loop().time() - began >= 0.2


async def test_it_answers_503_while_it_starts_up(start: Any) -> None:
    replica = await start(startup_seconds=3600)
    assert await replica.get_status("/health") == 503
    assert await replica.get_status("/v1/models") == 503
    status, body = await replica.post(COMPLETIONS, exactly(1))
    assert (status, body["error"]["type"]) == (503, "ServiceUnavailableError")
    loading = await replica.metrics()
    assert loading["DCGM_FI_DEV_FB_USED"] == 0
    assert not [name for name in loading if name.startswith("vllm:")]

    replica.server.ready = True
    assert (await replica.post(COMPLETIONS, exactly(1)))[0] == 200
    assert (await replica.metrics())["DCGM_FI_DEV_FB_USED"] > 20_000


async def test_models_version_and_ping(replica: Any) -> None:
    async with replica.session.get(replica.url + "/v1/models") as response:
        (model,) = (await response.json())["data"]
    assert (model["id"], model["object"], model["max_model_len"]) == ("tiny", "model", 4096)
    assert await replica.get_status("/version") == 200
    assert await replica.get_status("/ping") == 200


async def test_a_completion_stream_brings_one_event_per_token_and_the_finish_with_the_last(replica: Any) -> None:
    *events, done = await replica.stream(COMPLETIONS, exactly(3))
    assert done == "[DONE]"
    assert re.fullmatch(r"cmpl-[0-9a-f]{32}", events[0]["id"])
    assert {event["id"] for event in events} == {events[0]["id"]}
    assert {event["object"] for event in events} == {"text_completion"}
    assert [event["choices"][0]["text"] for event in events] == [" alpha", " bravo", " delta"]
    assert [event["choices"][0]["finish_reason"] for event in events] == [None, None, "length"]
    assert all("usage" not in event for event in events)


async def test_a_chat_stream_opens_with_the_role_and_ends_with_the_usage_when_asked(replica: Any) -> None:
    body = {
        "messages": MESSAGES,
        "max_completion_tokens": 2,
        "ignore_eos": True,
        "stream_options": {"include_usage": True},
    }
    role, first, last, usage, done = await replica.stream(CHAT, body)
    assert role["object"] == "chat.completion.chunk"
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert first["choices"] == [{"index": 0, "delta": {"content": " alpha"}, "logprobs": None, "finish_reason": None}]
    assert last["choices"][0]["finish_reason"] == "length"
    assert (usage["choices"], done) == ([], "[DONE]")
    # Nine characters are three tokens; the template adds four.
    assert usage["usage"] == {
        "prompt_tokens": 7,
        "total_tokens": 9,
        "completion_tokens": 2,
        "prompt_tokens_details": None,
    }


async def test_answers_that_do_not_stream_come_whole(replica: Any) -> None:
    status, completion = await replica.post(COMPLETIONS, exactly(10))
    assert (status, completion["object"]) == (200, "text_completion")
    assert completion["choices"][0]["text"] == words(10)
    assert completion["usage"]["total_tokens"] == 15
    status, chat = await replica.post(CHAT, {"messages": MESSAGES, "max_tokens": 4, "ignore_eos": True})
    assert (status, chat["object"]) == (200, "chat.completion")
    assert chat["choices"][0]["message"] == {"role": "assistant", "content": words(4), "tool_calls": []}
    assert chat["choices"][0]["finish_reason"] == "length"


async def test_http_1_0_clients_get_the_stream_unchunked(replica: Any) -> None:
    received = await replica.post_raw(COMPLETIONS, {"stream": True, **exactly(2)}, http="1.0")
    head, _, payload = received.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert payload.startswith(b"data: {")
    assert payload.endswith(b"data: [DONE]\n\n")


async def test_without_ignore_eos_lengths_vary_and_stop_before_max_tokens(replica: Any) -> None:
    body = {"prompt": "a b c", "max_tokens": 60}
    answers = await asyncio.gather(*(replica.post(COMPLETIONS, body) for _ in range(40)))
    ends = {(answer["choices"][0]["finish_reason"], answer["usage"]["completion_tokens"]) for _, answer in answers}
    stopped = {tokens for reason, tokens in ends if reason == "stop"}
    assert len(stopped) > 1
    assert max(stopped) <= 60
    assert {tokens for reason, tokens in ends if reason == "length"} == {60}


async def test_many_concurrent_streams_each_get_exactly_their_tokens(replica: Any) -> None:
    lengths = [1 + index % 17 for index in range(60)]
    streams = await asyncio.gather(*(replica.stream(COMPLETIONS, exactly(length)) for length in lengths))
    assert [len(events) - 1 for events in streams] == lengths
    metrics = await replica.metrics()
    assert metrics["vllm:generation_tokens_total"] == sum(lengths)
    assert metrics["vllm:prompt_tokens_total"] == 5 * 60
    assert metrics["vllm:request_success_total{length}"] == 60
    assert metrics["vllm:inter_token_latency_seconds_count"] == sum(lengths) - 60
    assert metrics["vllm:num_requests_running"] == 0


async def test_times_in_the_metrics_are_the_engines_own_however_late_the_loop_is(replica: Any) -> None:
    """1 ms overhead, prefill of 5 tokens, then one decode of 6 context tokens."""
    await replica.stream(COMPLETIONS, exactly(2))
    metrics = await replica.metrics()
    assert metrics["vllm:time_to_first_token_seconds_sum"] == pytest.approx(0.002005, abs=1e-7)
    assert metrics["vllm:e2e_request_latency_seconds_sum"] == pytest.approx(0.002005 + 0.0010106, abs=1e-7)
    assert metrics["vllm:request_time_per_output_token_seconds_sum"] == pytest.approx(0.0010106, abs=1e-7)


async def test_a_loop_that_falls_behind_catches_up_and_says_how_late_it_was(replica: Any) -> None:
    await replica.set_faults(hang=True)
    stream = asyncio.create_task(replica.stream(COMPLETIONS, exactly(100)))
    await replica.accepted()
    driver = replica.server.driver
    driver.hang = False
    driver.wake()
    time.sleep(0.05)  # noqa: ASYNC251 - the loop is to stand still
    assert len(await stream) == 101
    metrics = await replica.metrics()
    assert metrics["flyball_modelserver_peak_lag_seconds"] > 0.02
    decode_seconds = sum(0.001 + 0.00001 + 0.0000001 * (5 + token) for token in range(1, 100))
    assert metrics["vllm:request_decode_time_seconds_sum"] == pytest.approx(decode_seconds, abs=1e-7)


async def test_a_prompt_seen_before_hits_the_prefix_cache_in_whole_blocks(replica: Any) -> None:
    await replica.post(COMPLETIONS, exactly(1, prompt_tokens=100))
    await replica.post(COMPLETIONS, exactly(1, prompt_tokens=100))
    await replica.post(COMPLETIONS, {**exactly(1, prompt_tokens=50), "cached_tokens": 20})
    metrics = await replica.metrics()
    assert metrics["vllm:prefix_cache_queries_total"] == 250
    assert metrics["vllm:prefix_cache_hits_total"] == 96 + 20


async def test_without_prefix_caching_nothing_hits(start: Any) -> None:
    replica = await start(prefix_caching=False)
    for _ in range(2):
        await replica.post(COMPLETIONS, exactly(1, prompt_tokens=100))
    assert (await replica.metrics())["vllm:prefix_cache_hits_total"] == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_aborts_its_request(replica: Any, stream: bool) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", replica.server.port)
    body = json.dumps({"stream": stream, **exactly(4000)}).encode()
    writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async def runs() -> bool:
        return (await replica.metrics())["vllm:num_requests_running"] == 1

    await replica.eventually(runs)
    writer.close()
    await writer.wait_closed()

    async def aborted() -> bool:
        return (await replica.metrics())["vllm:request_success_total{abort}"] == 1

    await replica.eventually(aborted)
    metrics = await replica.metrics()
    assert metrics["vllm:num_requests_running"] == metrics["vllm:kv_cache_usage_perc"] == 0
    assert metrics["vllm:e2e_request_latency_seconds_count"] == 0


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        pytest.param(COMPLETIONS, {"max_tokens": 1}, 400, "prompt", id="no prompt"),
        pytest.param(CHAT, {"messages": []}, 400, "messages", id="no messages"),
        pytest.param(COMPLETIONS, {**exactly(1), "model": "other"}, 404, "model", id="another model"),
        pytest.param(COMPLETIONS, exactly(1, prompt_tokens=4096), 400, "prompt", id="a prompt as long as the context"),
        pytest.param(COMPLETIONS, exactly(4000, prompt_tokens=97), 400, "max_tokens", id="one token too many"),
        pytest.param(COMPLETIONS, [], 400, None, id="a list as the body"),
    ],
)
async def test_invalid_requests_get_an_error_object_that_names_the_field(
    replica: Any, path: str, body: object, status: int, param: str | None
) -> None:
    got, answer = await replica.post(path, body)
    assert (got, answer["error"]["code"], answer["error"]["param"]) == (status, status, param)
    assert (await replica.metrics())["http_requests_total"] == 1


async def test_a_body_that_is_no_json_gets_an_error_object(replica: Any) -> None:
    async with replica.session.post(replica.url + COMPLETIONS, data=b"{") as response:
        assert response.status == 400
        assert "not JSON" in (await response.json())["error"]["message"]


async def test_paths_that_do_not_exist_are_404_and_not_counted(replica: Any) -> None:
    assert await replica.get_status("/v1/embeddings") == 404
    assert "http_requests_total" not in await replica.metrics()


async def test_draining_refuses_new_requests_and_finishes_the_running_ones(replica: Any) -> None:
    await replica.set_faults(hang=True)
    running = asyncio.create_task(replica.stream(COMPLETIONS, exactly(200)))
    await replica.accepted()
    drain = asyncio.create_task(replica.server.drain())
    await asyncio.sleep(0)
    assert await replica.get_status("/health") == 503
    assert (await replica.post(COMPLETIONS, exactly(1)))[0] == 503
    await replica.set_faults(hang=False)
    await drain
    assert len(await running) == 201


async def test_a_drain_ends_after_its_time_and_closing_aborts_the_rest(start: Any) -> None:
    replica = await start(drain_seconds=0.05)
    await replica.set_faults(hang=True)
    stuck = asyncio.create_task(replica.post(COMPLETIONS, exactly(2)))
    await replica.accepted()
    await replica.server.drain()
    await replica.server.close()
    with pytest.raises(aiohttp.ClientError):
        await stuck
    assert replica.server.driver.engine.outstanding == 0
