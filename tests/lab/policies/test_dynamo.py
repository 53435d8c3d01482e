"""The planner's two loops, worked by hand."""

import pytest
from lab.policies.views import ENGINE, Fleet, replica, setting

from flyball.lab.policies.dynamo import Dynamo, LoadOptions, load_step
from flyball.lab.policies.dynamo_profile import Profile, Sla, Traffic, WorkerLoad
from flyball.lab.policies.registry import build

TRAFFIC = Traffic(400, 100, 400, 0.0)
# An iteration of 10 ms and a prompt of 400 at 0.05 ms: 30 ms; each 1000 queued tokens add 60.
SLA = Sla(0.2, 0.02)


def worker(queued: float = 0, kv: float = 0, decoding: float = 0) -> WorkerLoad:
    return WorkerLoad(decoding, kv, queued)


BUSY = worker(queued=3600)  # 4000 tokens: 4 x 10 + 200 = 240 ms
HALF = worker(queued=1600)  # 2000 tokens: 2 x 10 + 100 = 120 ms


@pytest.mark.parametrize(
    ("rule", "workers", "expected"),
    [
        pytest.param("consolidation", [BUSY, BUSY], 1, id="all break the SLA: up"),
        pytest.param("consolidation", [BUSY, HALF], 0, id="one does not: keep"),
        pytest.param("flat80", [HALF, HALF], -1, id="flat: all below 160 ms"),
        pytest.param("consolidation", [HALF, HALF], 0, id="but one alone would have 3600 tokens, 210 ms of queue"),
        pytest.param("consolidation", [HALF] * 8, -1, id="of eight, one can go: 8/7 of it"),
        pytest.param("flat80", [HALF, worker(kv=200_000)], 1 - 1, id="flat: a slow one keeps"),
        pytest.param("consolidation", [worker(kv=6000)] * 2, 0, id="the cache would not hold it"),
        pytest.param("flat80", [worker(kv=6000)] * 2, -1, id="which the flat rule does not ask"),
        pytest.param("consolidation", [worker()], 0, id="the last stays"),
        pytest.param("consolidation", [worker(decoding=120)] * 2, 1, id="iterations of 22 ms break the other SLA"),
        pytest.param("easy", [worker(kv=9000, queued=2000), worker()], 1, id="easy: any above its cache"),
        pytest.param("easy", [worker(kv=5900), worker(kv=5900)], -1, id="easy: all below 60%"),
        pytest.param("easy", [worker(kv=5900), worker(kv=6100)], 0, id="easy: one is not"),
        pytest.param("easy", [BUSY, BUSY], -1, id="easy: the SLA is ignored"),
    ],
)
def test_load_step(rule, workers: list[WorkerLoad], expected: int) -> None:
    assert load_step(LoadOptions(SLA, rule), Profile(ENGINE), workers, TRAFFIC) == expected


def test_latency_target_of_the_easy_rule() -> None:
    options = LoadOptions(SLA, "easy", easy_target="latency")
    assert load_step(options, Profile(ENGINE), [worker(kv=4100), worker()], TRAFFIC) == 1
    assert load_step(options, Profile(ENGINE), [worker(kv=900), worker(kv=900)], TRAFFIC) == -1


def served(number: int, done: float, **gauges: float):
    """A worker that has finished so many requests of 400 and 100 tokens."""
    tokens = {"finished_prompt_tokens": 400 * done, "finished_output_tokens": 100 * done, "prompt_tokens": 400 * done}
    return replica(number, finished=done, **tokens, **gauges)


def play(policy: Dynamo, seconds: float, rate: float, replicas: int = 1, **gauges: float) -> list[tuple[float, int]]:
    """The changes of the count, with their times, while `rate` requests a second finish and gauges stay."""
    fleet = Fleet(policy, replicas)
    changes = []
    done: dict[int, float] = {}
    while fleet.now <= seconds:
        now, before = fleet.now, fleet.asked
        for number in range(before):
            done[number] = done.get(number, 0.0) + rate / before * policy.period_seconds
        if fleet.step(*(served(number, done[number], **gauges) for number in range(before))) != before:
            changes.append((now, fleet.asked))
    return changes


def test_throughput_loop_sizes_every_three_minutes() -> None:
    best = Profile(ENGINE).best_rate(TRAFFIC, Sla(1.0, 0.1))
    policy = Dynamo(setting(), loops="throughput", predictor="constant")
    assert play(policy, 200, 2.5 * best) == [(180.0, 3)]


def test_throughput_is_a_lower_bound_for_the_load_loop() -> None:
    best = Profile(ENGINE).best_rate(TRAFFIC, Sla(1.0, 0.1))
    changes = play(Dynamo(setting(), predictor="constant"), 600, 2.5 * best, replicas=6)
    # Gauges without queues let the load loop go down by one each 5 s, once it knows the traffic.
    assert [count for at, count in changes if at < 55] == [5, 4, 3, 2, 1]
    assert min(count for at, count in changes if at >= 180) == 3


def test_a_tighter_sla_asks_for_more() -> None:
    def asked(scale: float) -> int:
        policy = Dynamo(setting(), loops="throughput", predictor="constant", sla_scale=scale)
        return play(policy, 180, 40.0)[-1][1]

    assert asked(0.12) > asked(1.0)


def test_holds_while_scaling_is_under_way_or_a_worker_is_silent() -> None:
    fleet = Fleet(Dynamo(setting()), replicas=2)
    asked = [
        fleet.step(*(served(n, fleet.now, kv_usage=1.0, running=2000) for n in (0, 1)), ready=2) for _ in range(30)
    ]
    assert asked[-1] == 3
    silent = Fleet(Dynamo(setting()), replicas=3)
    assert {silent.step(*(served(n, silent.now) for n in (0, 1))) for _ in range(30)} == {3}


def test_lost_metrics_keep_the_count() -> None:
    fleet = Fleet(build("dynamo", setting()), replicas=4)
    assert {fleet.step(lost=True) for _ in range(80)} == {4}


def test_requests_held_at_the_gateway_are_queued_work() -> None:
    fleet = Fleet(Dynamo(setting()), replicas=1)
    asked = [fleet.step(served(0, fleet.now), held=100) for _ in range(8)]
    assert asked[-1] == 2


@pytest.mark.parametrize("field", ["rule", "loops", "predictor", "easy_target"])
def test_unknown_words_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is 'x'; choose one of"):
        Dynamo(setting(), **{field: "x"})
