"""Request bodies, field by field."""

from typing import Any

import pytest

from flyball.lab.modelserver.generation import GenerationRequest, InvalidRequestError, parse_generation

MESSAGES = [{"role": "system", "content": "abcd"}, {"role": "user", "content": [{"type": "text", "text": "abcdefg"}]}]


def parse(document: object, *, chat: bool = False) -> GenerationRequest:
    return parse_generation(document, chat=chat, model_name="tiny", context_limit=100)


@pytest.mark.parametrize(
    ("document", "chat", "prompt_tokens", "max_tokens"),
    [
        pytest.param({"prompt": "abcdefgh"}, False, 2, 16, id="completions default to 16 tokens"),
        pytest.param({"prompt": [5] * 90}, False, 90, 10, id="or to the room that is left"),
        pytest.param({"prompt": [[5] * 9], "max_tokens": 3}, False, 9, 3, id="a batch of one prompt"),
        pytest.param({"prompt": ["abcd"], "max_tokens": 99}, False, 1, 99, id="up to the context limit"),
        pytest.param({"messages": MESSAGES}, True, 11, 89, id="chat defaults to all the room"),
        pytest.param(
            {"messages": MESSAGES, "max_tokens": 5, "max_completion_tokens": 6}, True, 11, 6, id="the newer name wins"
        ),
        pytest.param(
            {"prompt": "a", "n": 1, "temperature": 0.2, "anything": {}}, False, 1, 16, id="the rest is ignored"
        ),
    ],
)
def test_valid_bodies(document: dict[str, Any], chat: bool, prompt_tokens: int, max_tokens: int) -> None:
    request = parse(document, chat=chat)
    assert (request.prompt_tokens, request.max_tokens) == (prompt_tokens, max_tokens)
    assert not request.stream
    assert not request.ignore_eos


def test_options_of_a_stream() -> None:
    request = parse({"prompt": "a", "stream": True, "stream_options": {"include_usage": True}, "cached_tokens": 1})
    assert (request.stream, request.include_usage, request.cached_tokens) == (True, True, 1)


@pytest.mark.parametrize(
    ("change", "param", "message"),
    [
        pytest.param({"prompt": ""}, "prompt", "non-empty", id="empty prompt"),
        pytest.param({"prompt": [1, "a"]}, "prompt", "token ids", id="mixed prompt"),
        pytest.param({"prompt": [True]}, "prompt", "token ids", id="truth values for ids"),
        pytest.param({"prompt": [-1]}, "prompt", "token ids", id="negative id"),
        pytest.param({"prompt": ["a", "b"]}, "prompt", "one non-empty", id="two prompts"),
        pytest.param({"model": 7}, "model", "give a string", id="model is a number"),
        pytest.param({"max_tokens": 0}, "max_tokens", "1 or more", id="no output"),
        pytest.param({"max_tokens": "5"}, "max_tokens", "whole number", id="output as text"),
        pytest.param({"max_tokens": True}, "max_tokens", "whole number", id="output as truth value"),
        pytest.param({"max_tokens": 100}, "max_tokens", r"100 > 100 - 1", id="more than the context"),
        pytest.param(
            {"prompt": [1] * 100}, "prompt", "maximum context length is 100 tokens", id="prompt fills the context"
        ),
        pytest.param({"stream": "yes"}, "stream", "true or false", id="stream as text"),
        pytest.param({"ignore_eos": 1}, "ignore_eos", "true or false", id="ignore_eos as number"),
        pytest.param(
            {"stream_options": {}}, "stream_options", "only allowed with", id="stream options without a stream"
        ),
        pytest.param(
            {"stream": True, "stream_options": 1}, "stream_options", "an object", id="stream options no object"
        ),
        pytest.param(
            {"stream": True, "stream_options": {"continuous_usage_stats": True}},
            "stream_options",
            "not simulated",
            id="usage with every token",
        ),
        pytest.param({"n": 2}, "n", "one choice", id="two choices"),
        pytest.param({"logprobs": 3}, "logprobs", "not simulated", id="log probabilities"),
        pytest.param(
            {"cached_tokens": 2}, "cached_tokens", "more than the 1 prompt tokens", id="more cached than there is"
        ),
    ],
)
def test_bad_completions_name_the_field(change: dict[str, object], param: str, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message) as caught:
        parse({"prompt": "a"} | change)
    assert (caught.value.param, caught.value.code) == (param, 400)


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param(None, id="missing"),
        pytest.param("hi", id="text"),
        pytest.param(["hi"], id="list of text"),
        pytest.param([{"content": "hi"}], id="no role"),
        pytest.param([{"role": "user", "content": 5}], id="a number for content"),
        pytest.param([{"role": "user", "content": [{"type": "image_url"}]}], id="an image"),
    ],
)
def test_bad_messages_are_named(messages: object) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse({"messages": messages}, chat=True)
    assert caught.value.param == "messages"
