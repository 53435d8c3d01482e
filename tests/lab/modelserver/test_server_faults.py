"""Each fault does what it says, and goes away when it is told to."""

import asyncio
import json
import math
from typing import Any

import aiohttp
import pytest

COMPLETIONS = "/v1/completions"


def exactly(tokens: int) -> dict[str, Any]:
    """A completion of exactly so many tokens."""
    return {"prompt": [1, 2, 3], "max_tokens": tokens, "ignore_eos": True}


async def test_slow_stretches_every_iteration(replica: Any) -> None:
    await replica.set_faults(slow=4.0)
    await replica.stream(COMPLETIONS, exactly(2))
    assert (await replica.metrics())["vllm:inter_token_latency_seconds_sum"] == pytest.approx(4 * 0.0010104, abs=1e-7)


async def test_a_hung_engine_takes_requests_and_brings_no_tokens_until_released(replica: Any) -> None:
    await replica.set_faults(hang=True)
    answer = asyncio.create_task(replica.post(COMPLETIONS, exactly(2)))

    async def waits() -> bool:
        return (await replica.metrics())["vllm:num_requests_waiting_by_reason{capacity}"] == 1

    await replica.eventually(waits)
    metrics = await replica.metrics()
    assert metrics["vllm:generation_tokens_total"] == metrics["DCGM_FI_DEV_GPU_UTIL"] == 0
    assert await replica.get_status("/health") == 200
    await replica.set_faults(hang=False)
    assert (await answer)[0] == 200


async def test_error_rate_answers_500_without_touching_the_engine(replica: Any) -> None:
    await replica.set_faults(errorRate=1)
    status, body = await replica.post(COMPLETIONS, exactly(2))
    assert (status, body["error"]["type"]) == (500, "InternalServerError")
    await replica.set_faults(errorRate=0.5)
    statuses = [(await replica.post(COMPLETIONS, exactly(1)))[0] for _ in range(30)]
    assert set(statuses) == {200, 500}
    assert (await replica.metrics())["vllm:request_success_total{length}"] == statuses.count(200)


async def test_truncate_breaks_a_stream_half_way_without_done(replica: Any) -> None:
    await replica.set_faults(truncate=True)
    received = await replica.post_raw(COMPLETIONS, {"stream": True, **exactly(10)})
    assert received.count(b"data: ") == 5
    assert b"[DONE]" not in received
    assert not received.endswith(b"0\r\n\r\n")
    metrics = await replica.metrics()
    assert metrics["vllm:request_success_total{abort}"] == 1
    assert metrics["vllm:num_requests_running"] == 0


@pytest.mark.parametrize("body", [pytest.param(exactly(1), id="of one token"), pytest.param(exactly(8), id="of eight")])
async def test_truncate_breaks_a_whole_answer(replica: Any, body: dict[str, Any]) -> None:
    await replica.set_faults(truncate=True)
    with pytest.raises(aiohttp.ClientPayloadError):
        await replica.post(COMPLETIONS, body)


async def test_truncate_breaks_a_stream_of_one_token(replica: Any) -> None:
    await replica.set_faults(truncate=True)
    with pytest.raises(aiohttp.ClientPayloadError):
        await replica.stream(COMPLETIONS, exactly(1))


async def test_zero_queue_hides_the_queue(replica: Any) -> None:
    await replica.set_faults(hang=True, lieMetrics="zero-queue")
    stuck = asyncio.create_task(replica.post(COMPLETIONS, exactly(1)))

    async def accepted() -> bool:
        return bool(replica.server.driver.engine.waiting(replica.server.driver.now))

    await replica.eventually(accepted)
    metrics = await replica.metrics()
    assert metrics["vllm:num_requests_waiting"] == metrics["vllm:num_requests_waiting_by_reason{capacity}"] == 0
    await replica.set_faults(hang=False)
    await stuck


async def test_idle_gpu_hides_that_the_gpu_works(replica: Any) -> None:
    working = asyncio.create_task(replica.post(COMPLETIONS, exactly(4000)))

    async def works() -> bool:
        return (await replica.metrics())["DCGM_FI_DEV_GPU_UTIL"] > 0

    await replica.eventually(works)
    await replica.set_faults(lieMetrics="idle-gpu")
    assert (await replica.metrics())["DCGM_FI_DEV_GPU_UTIL"] == 0
    working.cancel()


async def test_busy_gpu_hides_that_the_gpu_rests(replica: Any) -> None:
    assert (await replica.metrics())["DCGM_FI_DEV_GPU_UTIL"] == 0
    await replica.set_faults(lieMetrics="busy-gpu")
    assert (await replica.metrics())["DCGM_FI_DEV_GPU_UTIL"] == 100


async def test_frozen_metrics_stand_still_until_thawed(replica: Any) -> None:
    await replica.set_faults(lieMetrics="frozen")
    await replica.post(COMPLETIONS, exactly(3))
    assert (await replica.metrics())["vllm:generation_tokens_total"] == 0
    await replica.set_faults(lieMetrics=None)
    assert (await replica.metrics())["vllm:generation_tokens_total"] == 3


async def test_nan_spoils_gauges_and_leaves_counters(replica: Any) -> None:
    await replica.set_faults(lieMetrics="nan")
    metrics = await replica.metrics()
    assert math.isnan(metrics["vllm:num_requests_running"])
    assert math.isnan(metrics["DCGM_FI_DEV_GPU_UTIL"])
    assert metrics["vllm:generation_tokens_total"] == 0


async def test_stopped_metrics_answer_503_and_delete_clears_every_fault(replica: Any) -> None:
    await replica.set_faults(stopMetrics=True, slow=2)
    assert await replica.get_status("/metrics") == 503
    async with replica.session.delete(replica.url + "/faults") as response:
        cleared = await response.json()
    assert cleared == {
        "slow": 1.0,
        "hang": False,
        "errorRate": 0.0,
        "truncate": False,
        "lieMetrics": None,
        "stopMetrics": False,
    }
    assert await replica.get_status("/metrics") == 200
    async with replica.session.get(replica.url + "/faults") as response:
        assert await response.json() == cleared


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        pytest.param({"slow": 0}, "slow is 0; give a number between 0.01 and 1000", "slow", id="standing still"),
        pytest.param({"slow": "2"}, "slow is '2'", "slow", id="a number as text"),
        pytest.param({"errorRate": 1.5}, "between 0 and 1", "errorRate", id="more errors than requests"),
        pytest.param({"hang": 1}, "give true or false", "hang", id="a number for a switch"),
        pytest.param({"lieMetrics": "rosy"}, "choose one of zero-queue, ", "lieMetrics", id="an unknown lie"),
        pytest.param({"lieMetrics": ["nan"]}, "choose one of zero-queue, ", "lieMetrics", id="a list of lies"),
        pytest.param({"slwo": 2}, "there is no fault slwo", "slwo", id="a misspelt fault"),
        pytest.param([], "must be a JSON object", None, id="a list"),
    ],
)
async def test_bad_faults_change_nothing_and_say_why(
    replica: Any, body: object, message: str, param: str | None
) -> None:
    await replica.set_faults(slow=2)
    status, answer = await replica.post("/faults", body)
    assert (status, answer["error"]["param"]) == (400, param)
    assert message in answer["error"]["message"]
    assert replica.server.faults.slow == 2


async def test_nan_is_no_slowness(replica: Any) -> None:
    async with replica.session.post(replica.url + "/faults", data=json.dumps({"slow": math.nan})) as response:
        assert response.status == 400
