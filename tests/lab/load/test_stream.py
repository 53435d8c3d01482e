import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.lab.load.stream import StreamMeter


def completion(text: str = " word", **more: object) -> bytes:
    return (
        b"data: "
        + json.dumps({"choices": [{"index": 0, "text": text}], **more}, separators=(",", ":")).encode()
        + b"\n\n"
    )


def chat(**delta: object) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}).encode() + b"\n\n"


USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"
ROLE = chat(role="assistant", content="")


def fed(*chunks: bytes) -> StreamMeter:
    meter = StreamMeter()
    for second, chunk in enumerate(chunks, start=1):
        meter.feed(chunk, float(second))
    return meter


def test_times_are_those_of_the_tokens_and_not_of_the_end() -> None:
    meter = fed(completion(), completion(), b"", completion(), USAGE, DONE)
    usage = meter.finish()
    assert (meter.token_events, meter.first_token_at, meter.last_token_at, meter.longest_gap) == (3, 1.0, 4.0, 2.0)
    assert meter.done
    assert usage == {"prompt_tokens": 9, "completion_tokens": 3}


@pytest.mark.parametrize(
    ("chunks", "events", "first"),
    [
        pytest.param([ROLE, chat(content="a"), chat(content="b"), DONE], 2, 2.0, id="a chat's role is no token"),
        pytest.param([ROLE + chat(content="a"), chat(content="b"), DONE], 2, 1.0, id="role and token in one chunk"),
        pytest.param([ROLE, chat(reasoning_content="hm"), DONE], 1, 2.0, id="a reasoning token counts"),
        pytest.param(
            [b": ping\n\n", completion(), b": ping\n\n", completion(), DONE], 2, 2.0, id="comments are no tokens"
        ),
        pytest.param([completion() * 3 + USAGE + DONE], 3, 1.0, id="everything in one chunk"),
        pytest.param([completion()[:20], completion()[20:], DONE], 1, 2.0, id="an event in two chunks"),
        pytest.param([completion()[:-1], b"\n" + completion(), DONE], 2, 2.0, id="a cut between the newlines"),
        pytest.param(
            [completion("a\n\ndata: x"), completion('"choices":[]'), DONE], 2, 1.0, id="text that looks like events"
        ),
        pytest.param(
            [completion().replace(b"\n", b"\r\n")] * 2 + [b"data: [DONE]\r\n\r\n"], 2, 1.0, id="carriage returns"
        ),
        pytest.param([b"event: x\nid: 1\n" + completion(), DONE], 1, 1.0, id="other fields before data"),
        pytest.param([USAGE, DONE], 0, None, id="no token at all"),
    ],
)
def test_only_events_with_output_count(chunks: list[bytes], events: int, first: float | None) -> None:
    meter = fed(*chunks)
    meter.finish()
    assert (meter.token_events, meter.first_token_at, meter.done) == (events, first, True)


@given(st.lists(st.integers(0, 700), max_size=12))
def test_counts_do_not_depend_on_where_the_network_cuts(cuts: list[int]) -> None:
    stream = ROLE + chat(content="a") + b": ping\n\n" + chat(content="b") + chat(content="c") + USAGE + DONE
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    meter = fed(*(stream[start:end] for start, end in pairwise(edges) if end > start))
    usage = meter.finish()
    assert (meter.token_events, meter.done, usage["completion_tokens"]) == (3, True, 3)


@pytest.mark.parametrize("end", [DONE, b""], ids=["then DONE", "then the end"])
def test_an_error_event_is_an_error_and_no_token(end: bytes) -> None:
    meter = fed(completion(), b'data: {"error": {"message": "engine died", "code": 500}}\n\n', end)
    meter.finish()
    assert (meter.error, meter.token_events) == ("engine died", 1)


def test_a_stream_without_its_end_is_not_done() -> None:
    meter = fed(completion(), completion()[:10])
    assert meter.finish() == {}
    assert not meter.done
