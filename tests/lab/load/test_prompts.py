import json
from typing import Any

import numpy as np
import pytest

from flyball.lab.load.prompts import Bodies
from flyball.lab.trace import Trace


def trace(inputs: list[int], cached: list[int] | None = None, tenants: list[str] | None = None) -> Trace:
    count = len(inputs)
    return Trace(
        "x", np.arange(float(count)), np.array(inputs), np.arange(1, count + 1), float(count),
        None if cached is None else np.array(cached), None, None if tenants is None else np.array(tenants),
    )  # fmt: skip


def bodies(made: Trace, api: str = "completions") -> list[dict[str, Any]]:
    maker = Bodies(made, "llama", api, seed=1)
    return [json.loads(maker.body(index)) for index in range(len(made))]


def test_a_completion_has_as_many_token_ids_as_the_trace_says() -> None:
    inputs = [1, 2, 3, 4, 50, 4096, 20_000]
    sent = bodies(trace(inputs))
    assert [len(body["prompt"]) for body in sent] == inputs
    assert all(10_000 <= token < 32_000 for body in sent for token in body["prompt"])
    assert [body["max_tokens"] for body in sent] == [1, 2, 3, 4, 5, 6, 7]
    assert {key: sent[0][key] for key in ("model", "stream", "stream_options", "ignore_eos")} == {
        "model": "llama", "stream": True, "stream_options": {"include_usage": True}, "ignore_eos": True,
    }  # fmt: skip


def test_a_chat_has_four_characters_for_each_token_beyond_the_template() -> None:
    sent = bodies(trace([5, 100, 3000]), api="chat")
    assert [len(body["messages"][0]["content"]) for body in sent] == [4, 384, 11_984]
    assert "prompt" not in sent[0]


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_no_two_prompts_begin_alike(api: str) -> None:
    sent = bodies(trace([40] * 9000), api)
    beginnings = [str(body.get("prompt", [])[:3]) + str(body.get("messages", ""))[:60] for body in sent]
    assert len(set(beginnings)) == 9000


def test_cached_tokens_are_a_prefix_shared_within_a_tenant() -> None:
    sent = [body["prompt"] for body in bodies(trace([100] * 3, [64, 80, 64], ["acme", "acme", "zeta"]))]
    assert sent[0][:64] == sent[1][:64]
    assert sent[0][64:67] != sent[1][64:67]
    assert sent[0][:64] != sent[2][:64]
    assert [len(prompt) for prompt in sent] == [100] * 3


def test_the_same_seed_sends_the_same_bytes() -> None:
    made = trace([10, 20])
    assert Bodies(made, "m", "chat", 3).body(1) == Bodies(made, "m", "chat", 3).body(1)
    assert Bodies(made, "m", "chat", 3).body(1) != Bodies(made, "m", "chat", 4).body(1)


def test_a_model_that_is_not_given_is_not_named() -> None:
    assert "model" not in json.loads(Bodies(trace([10]), None, "completions", 1).body(0))
