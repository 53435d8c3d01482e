"""What advisers read of a real Prometheus whose every number is known: load by the hour, and replicas one by one."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import pytest
from support.prometheus import Respond, Stub, make_spec, make_variant, vector
from support.real_prometheus import History, serve

from flyball.core.advice.outlook import HourOfLoad
from flyball.core.advice.shadow import ReplicaSample, ReplicaSignal
from flyball.core.ports import Unavailable
from flyball.core.spec import TelemetrySource, WorkloadSpec
from flyball.telemetry.hours import HourlyMetrics
from flyball.telemetry.replicas import ReplicaMetrics
from flyball.telemetry.settings import PrometheusSettings

END = 1_700_002_800.0
"""A whole hour."""
START = END - 4 * 3600
BURST = (END - 3600 + 600, END - 3600 + 900)
"""Five minutes of the last hour, on the five-minute steps of a subquery."""
STEP = 30.0
TIMES = [START + STEP * index for index in range(int(4 * 3600 / STEP) + 1)]
FIRST, SECOND = "llm-6d4f5c9b7d-bcdfg", "llm-6d4f5c9b7d-hjklm"
CHAT = make_spec(variants=(make_variant(),))


def counted(at: float) -> float:
    """2 requests/s, and 12 in the burst."""
    return 2.0 * (at - START) + 10.0 * min(max(0.0, at - BURST[0]), BURST[1] - BURST[0])


def build() -> History:
    history = History()
    for pod, running, since in ((FIRST, 8.0, START), (SECOND, 4.0, END - 2 * 3600)):
        labels = {"namespace": "team-a", "pod": pod, "model_name": "m"}
        times = [at for at in TIMES if at >= since]
        history.add("vllm:num_requests_running", labels, times, lambda _, running=running: running)
        history.add("vllm:num_requests_waiting", labels, times, lambda _: 1.0)
        history.add("vllm:kv_cache_usage_perc", labels, times, lambda _, running=running: running / 16)
        if pod == FIRST:
            history.add("vllm:request_success_total", labels | {"finished_reason": "stop"}, times, counted)
            history.add("vllm:request_prompt_tokens_sum", labels, times, lambda at: 100.0 * counted(at))
            history.add("vllm:request_prompt_tokens_count", labels, times, counted)
            for edge, share in (("0.5", 0.5), ("1.0", 0.9), ("+Inf", 1.0)):
                name = "vllm:time_to_first_token_seconds_bucket"
                history.add(name, labels | {"le": edge}, times, lambda at, share=share: share * counted(at))
                name = "vllm:inter_token_latency_seconds_bucket"
                history.add(name, labels | {"le": edge}, times, lambda at, share=share: share * counted(at))
        exported = {
            "namespace": "gpus",
            "pod": "dcgm-x",
            "exported_namespace": "team-a",
            "exported_pod": pod,
            "gpu": "0",
        }
        history.add("DCGM_FI_DEV_GPU_UTIL", exported, times, lambda _: 75.0)
    return history


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(build(), tmp_path_factory.mktemp("prometheus")) as address:
        yield address


async def hours(url: str, *specs: WorkloadSpec, begin: float = START, end: float = END) -> list[Sequence[HourOfLoad]]:
    with closing(HourlyMetrics(PrometheusSettings(url))) as source:
        found = await source.read_hours(specs, begin, end)
    return [found[spec.key] for spec in specs]


async def replicas(url: str, *specs: WorkloadSpec) -> list[Sequence[ReplicaSample]]:
    with closing(ReplicaMetrics(PrometheusSettings(url, timeout_seconds=60))) as source:
        found = await source.read_replicas(specs, END)
    return [found[spec.key] for spec in specs]


async def test_an_hour_has_its_mean_its_highest_five_minutes_and_its_prompts(url: str) -> None:
    (found,) = await hours(url, CHAT)
    assert [hour.end for hour in found] == [START + 3600 * n for n in range(1, 5)]
    quiet, loud = found[2], found[3]
    assert (quiet.rate, quiet.peak, quiet.prompt_tokens) == pytest.approx((2.0, 2.0, 100.0), rel=0.02)
    assert loud.rate == pytest.approx((2 * 3600 + 10 * 300) / 3600, rel=0.02)
    assert loud.peak == pytest.approx(12.0, rel=0.02)


async def test_before_anything_was_measured_nothing_is_known(url: str) -> None:
    (found,) = await hours(url, CHAT, begin=START - 2 * 3600, end=START)
    assert [(math.isnan(hour.rate), math.isnan(hour.peak)) for hour in found] == [(True, True)] * 2


async def test_a_neighbour_is_told_apart_and_what_has_no_profile_is_left_out(url: str) -> None:
    other = make_spec("other", variants=(make_variant(target="other"),))
    own = replace(
        CHAT, key=replace(CHAT.key, name="own"), telemetry=TelemetrySource(overrides=(("Completions", "up"),))
    )
    custom = replace(own, key=replace(CHAT.key, name="custom"), telemetry=TelemetrySource(engine="Custom"))
    with closing(HourlyMetrics(PrometheusSettings(url))) as source:
        found = await source.read_hours([CHAT, other, own, custom], END - 3600, END)
    assert set(found) == {CHAT.key, other.key}
    assert math.isnan(found[other.key][0].rate)


async def test_replicas_are_read_one_by_one(url: str) -> None:
    ((first, second),) = await replicas(url, CHAT)
    assert (first.variant, first.replica, second.replica) == ("main", FIRST, SECOND)
    assert first.values == pytest.approx(
        {
            ReplicaSignal.RUNNING: 8.0, ReplicaSignal.WAITING: 1.0, ReplicaSignal.KV_CACHE: 0.5,
            ReplicaSignal.GPU: 0.75, ReplicaSignal.COMPLETIONS: counted(END),
            ReplicaSignal.PROMPT_LENGTH: 100 * counted(END),
        }
    )  # fmt: skip
    total = counted(END)
    buckets = ((0.5, pytest.approx(0.5 * total)), (1.0, pytest.approx(0.9 * total)), (math.inf, pytest.approx(total)))
    assert first.buckets == {ReplicaSignal.FIRST_TOKEN: buckets, ReplicaSignal.TOKEN_TIME: buckets}
    assert ReplicaSignal.COMPLETIONS not in second.values
    assert second.buckets == {}


async def test_whoever_is_not_there_has_no_replicas(url: str) -> None:
    assert await replicas(url, make_spec(variants=(make_variant(target="nobody"),))) == [()]


def counting() -> tuple[list[str], Respond]:
    asked: list[str] = []

    def answer(form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        asked.append(form["query"])
        empty = b'{"status":"success","data":{"resultType":"matrix","result":[]}}'
        return 200, {}, empty if "step" in form else vector()

    return asked, answer


@pytest.mark.parametrize("workloads", [1, 60])
async def test_the_number_of_queries_does_not_depend_on_that_of_workloads(
    start: Callable[[Respond], Stub], workloads: int
) -> None:
    asked, answer = counting()
    stub = start(answer)
    specs = [replace(CHAT, key=replace(CHAT.key, namespace=f"team-{n}")) for n in range(workloads)]
    await hours(stub.url, *specs)
    assert len(asked) == 1
    await replicas(stub.url, *specs)
    assert len(asked) == 3


async def test_a_source_that_fails_says_why(start: Callable[[Respond], Stub]) -> None:
    stub = start(lambda _: (503, {}, b'{"status":"error","error":"busy"}'))
    with pytest.raises(Unavailable, match="busy"):
        await hours(stub.url, CHAT)
    with pytest.raises(Unavailable, match="busy"):
        await replicas(stub.url, CHAT)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param((2.0, 5.0, 100.0), (6.0, 7.0, 500.0), (8.0, 12.0, 400.0), id="rates add up, lengths by rate"),
        pytest.param((2.0, 5.0, math.nan), (6.0, 7.0, 500.0), (8.0, 12.0, 500.0), id="a length that is known once"),
        pytest.param((0.0, 0.0, math.nan), (0.0, 0.0, math.nan), (0.0, 0.0, math.nan), id="quiet"),
        pytest.param((math.nan,) * 3, (6.0, 7.0, 500.0), (6.0, 7.0, 500.0), id="one that was not measured"),
    ],
)
def test_hours_of_two_engines_are_put_together(
    one: tuple[float, float, float], other: tuple[float, float, float], expected: tuple[float, float, float]
) -> None:
    for some, more in ((one, other), (other, one)):
        joined = HourOfLoad(END, *some).joined(HourOfLoad(END, *more))
        assert (joined.rate, joined.peak, joined.prompt_tokens) == pytest.approx(expected, nan_ok=True)
