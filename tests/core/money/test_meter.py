"""The bill closes: what the meter accounts for, by path and state, is what the pods' own lifetimes cost."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from core.cases import KEY, LAW, START, fallback, observation, running, signals, spec, variant
from hypothesis import given
from hypothesis import strategies as st
from support.pods import Pod

from flyball.core.money.bill import ALL_PATHS, FALLBACK_PATH, Charge, Entry
from flyball.core.money.meter import MOST_LATE_MS, PERIOD_MS, Meter, begin, close, milliseconds, read
from flyball.core.names import FallbackKind
from flyball.core.observation import ABSENT, Observation, PodSpan, Reading
from flyball.core.routing.overflow import Flows
from flyball.core.spec import Component, FallbackBackend, HostedModel, Prices, Unit, WorkloadSpec

CENT = Decimal("0.01")
START_MS = milliseconds(START)


def look(at: float, *pods: PodSpan, name: str = "gpu", **readings: float | Reading) -> Observation:
    return observation(at=at, state=running(len(pods), name, pods=pods), signal=signals(name, **readings))


def account(workload: WorkloadSpec, *looks: Observation, moved: Flows = ()) -> list[Entry]:
    """The entries of all looks after START, the open one closed at the end."""
    meter, entries = begin(START_MS), []
    for seen in looks:
        meter, ended = read(meter, workload, seen, moved)
        entries += ended
    return [*entries, *close(meter, workload)[1]]


pods = st.builds(Pod, st.sampled_from(["a", "b"]), st.integers(1, 3000), st.integers(0, 600), st.integers(1, 5000))
steps = st.lists(st.sampled_from([1.0, 14.987, 15.0, 15.013, 61.0, 400.0]), min_size=2, max_size=40)
prices = st.decimals("0.000000001", 40, places=9)


@LAW
@given(st.lists(pods, max_size=8, unique_by=lambda p: (p.target, p.bound)), steps, prices, prices, st.floats(0, 1))
def test_the_bill_is_what_the_pods_lifetimes_cost_to_the_cent(
    world: list[Pod], waits: list[float], price_a: Decimal, price_b: Decimal, busy: float
) -> None:
    times = [sum(waits[: index + 1]) for index in range(len(waits))]
    workload = spec(
        variant("a", price=str(price_a), gpus_per_replica=2), variant("b", price=str(price_b), gpus_per_replica=1)
    )
    looks = []
    for at in times:
        states = tuple(
            running(0, name, pods=tuple(s for p in world if p.target == name and (s := p.span(at, START))))
            for name in "ab"
        )
        found = (signals("a", gpu_utilization=busy), signals("b", gpu_utilization=ABSENT, running=busy))
        looks.append(observation(at=START + at, state=states, signal=found))
    entries = account(workload, *looks)

    dearness = {"a": price_a * 2, "b": price_b}
    lifetimes = sum((Decimal(str(p.recorded(times))) * dearness[p.target] / 3600 for p in world), Decimal(0))
    by_state = [use.loading + use.idle + use.serving + use.unmeasured for entry in entries for use in entry.uses]
    assert abs(sum(by_state, Decimal(0)) - lifetimes) < CENT
    assert sum((entry.dollars for entry in entries), Decimal(0)) == sum(by_state, Decimal(0))
    held = sum(use.gpu_ms for entry in entries for use in entry.uses)
    whole = sum(Decimal(str(p.recorded(times))) * (2 if p.target == "a" else 1) for p in world) * 1000
    assert abs(held - whole) <= 2 * len(world) * len(times)


@LAW
@given(steps)
def test_entries_follow_each_other_without_a_gap_and_none_crosses_a_period(waits: list[float]) -> None:
    times = [sum(waits[: index + 1]) for index in range(len(waits))]
    entries = account(spec(), *(look(START + at) for at in times))
    assert entries[0].start == START_MS
    assert entries[-1].end == milliseconds(START + times[-1])
    assert all(before.end == after.start for before, after in pairwise(entries))
    assert all(entry.start // PERIOD_MS == (entry.end - 1) // PERIOD_MS for entry in entries)


def test_a_pod_loads_until_it_is_ready_then_serves_for_the_share_in_which_its_gpus_work() -> None:
    """Bound at 0, ready at 120 s, 60% busy: of 300 s, 120 load, 108 serve and 72 are idle, at $2 × 4 GPUs."""
    pod = PodSpan("p", START, START + 120)
    workload = spec(variant(gpus_per_replica=4))
    [entry] = account(workload, look(START + 300, pod, gpu_utilization=0.6))
    [use] = entry.uses
    assert (use.loading_ms, use.serving_ms, use.idle_ms, use.unmeasured_ms) == (480_000, 432_000, 288_000, 0)
    assert (use.loading, use.serving, use.idle) == tuple(
        (Decimal(s) * 8 / 3600).quantize(Decimal("1e-9")) for s in (120, 108, 72)
    )
    assert (entry.key, entry.uid, entry.start, entry.end) == (KEY, "uid-1", START_MS, START_MS + PERIOD_MS)


@pytest.mark.parametrize(
    ("readings", "serving", "unmeasured"),
    [
        pytest.param({"gpu_utilization": 0.25, "running": 9.0}, 75_000, 0, id="GPU utilization"),
        pytest.param({"gpu_utilization": ABSENT, "running": 0.5}, 150_000, 0, id="half a request at a time"),
        pytest.param({"gpu_utilization": ABSENT, "running": 40.0}, 300_000, 0, id="no more than all of the time"),
        pytest.param({"gpu_utilization": ABSENT, "running": ABSENT}, 0, 300_000, id="what is not known is no idleness"),
    ],
)
def test_what_serving_is_measured_by(readings: dict[str, float | Reading], serving: int, unmeasured: int) -> None:
    [entry] = account(spec(), look(START + 300, PodSpan("p", START, START), **readings))
    [use] = entry.uses
    assert (use.serving_ms, use.unmeasured_ms, use.gpu_ms) == (serving, unmeasured, 300_000)


def test_a_pod_is_paid_for_until_the_look_that_misses_it() -> None:
    pod = PodSpan("p", START, START)
    entries = account(spec(), look(START + 60, pod), look(START + 90), look(START + 120))
    assert sum(use.gpu_ms for entry in entries for use in entry.uses) == 90_000


def test_a_target_that_is_renamed_goes_on_with_its_pods_and_the_bill_closes() -> None:
    pod = PodSpan("p", START, START + 100)
    old, new = spec(variant("old", price="3.6")), spec(variant("new", price="3.6"))
    meter, entries = begin(START_MS), list[Entry]()
    for at, workload, name in ((200, old, "old"), (250, new, "new"), (700, new, "new")):
        meter, ended = read(meter, workload, look(START + at, pod, name=name), ())
        entries += ended
    entries += close(meter, new)[1]
    by_path = {"old": Decimal(0), "new": Decimal(0)}
    for each in (use for entry in entries for use in entry.uses):
        by_path[each.path] += each.dollars
    assert by_path == {"old": Decimal("0.200"), "new": Decimal("0.500")}


def test_what_was_not_looked_at_is_accounted_for_by_the_next_look_from_the_pods_own_times() -> None:
    """The API server is away for 20 minutes, in which a pod comes."""
    blind = replace(look(START + 600), state=replace(look(START + 600).state, problem="the API server is down"))
    entries = account(spec(), look(START + 15), blind, look(START + 1200, PodSpan("p", START + 300, START + 420)))
    assert sum(use.loading_ms for entry in entries for use in entry.uses) == 120_000
    assert sum(use.gpu_ms for entry in entries for use in entry.uses) == 900_000
    assert len(entries) == 1200 * 1000 // PERIOD_MS


def test_a_look_that_comes_a_week_late_accounts_for_a_day() -> None:
    week = 7 * 86400
    entries = account(
        spec(), look(START + 60, PodSpan("p", START, START)), look(START + week, PodSpan("p", START, START))
    )
    assert [entries[0].start, entries[0].end] == [START_MS, START_MS + 60_000]
    assert entries[1].start == milliseconds(START + week) - MOST_LATE_MS
    assert sum(use.gpu_ms for entry in entries for use in entry.uses) == 60_000 + MOST_LATE_MS


def test_a_look_at_the_same_time_or_before_changes_nothing() -> None:
    meter = Meter(START_MS + 60_000, START_MS)
    for at in (START, START + 60):
        assert read(meter, spec(), look(at, PodSpan("p", START)), 1.0) == (meter, ())


def test_what_has_no_price_is_counted_and_costs_no_dollars() -> None:
    [entry] = account(spec(variant(price=None)), look(START + 300, PodSpan("p", START, START)))
    assert (entry.uses[0].unpriced_ms, entry.uses[0].gpu_ms, entry.dollars) == (300_000, 300_000, 0)


def test_a_target_that_another_workload_governs_is_paid_for_there() -> None:
    pod = PodSpan("p", START, START)
    theirs = observation(at=START + 300, state=running(1, pods=(pod,), contender="WorkloadSLO/older"))
    assert account(spec(), theirs)[0].uses == ()
    hpa = observation(at=START + 300, state=running(1, pods=(pod,), contender="HorizontalPodAutoscaler/chat"))
    assert account(spec(), hpa)[0].uses[0].gpu_ms == 300_000


def test_requests_and_tokens_are_counted_while_they_are_measured() -> None:
    """2 requests/s for 60 s; then 60 s without a measurement."""
    entries = account(
        spec(), look(START + 60, prompt_tokens_per_second=200.0), look(START + 120, completions_per_second=ABSENT)
    )
    [use] = entries[0].uses
    assert (use.requests, use.prompt_tokens, use.output_tokens, use.measured_ms) == (120, 12_000, 12_000, 60_000)


BOOK = Prices(
    "contract",
    (
        Component("logs", "Observability", Unit.REQUEST, Decimal("0.001")),
        Component("embedding", "Embedding", Unit.MILLION_TOKENS, Decimal(2)),
        Component("vectors", "VectorDatabase", Unit.HOUR, Decimal("1.2")),
    ),
    HostedModel("small", Decimal("0.15"), Decimal("0.60")),
)


def test_components_and_the_overflow_are_charged_to_the_path_that_causes_them() -> None:
    """Overflow is that of the look before: 1 request/s of 1000 + 200 tokens from the first look on."""
    workload = spec(prices=BOOK, fallback=fallback(labor_cost_per_request=Decimal("0.01")))
    traffic = {
        "prompt_tokens_per_second": 100.0,
        "output_tokens_per_second": 400.0,
        "prompt_tokens_per_request": 1000.0,
        "output_tokens_per_request": 200.0,
    }
    entries = account(
        workload, look(START + 100, **traffic), look(START + 300, **traffic), moved=(("chat-hosted", 1.0),)
    )
    charges = {(c.component, c.path): c for entry in entries for c in entry.charges}
    assert {name: (c.quantity, c.dollars) for name, c in charges.items()} == {
        ("logs", "gpu"): (600, Decimal("0.6")),
        ("logs", FALLBACK_PATH): (200, Decimal("0.2")),
        ("embedding", "gpu"): (Decimal("0.15"), Decimal("0.30")),
        ("embedding", FALLBACK_PATH): (Decimal("0.24"), Decimal("0.48")),
        ("vectors", ALL_PATHS): (Decimal("0.083333333"), Decimal("0.1")),
        ("small", FALLBACK_PATH): (200, Decimal("0.054")),
        ("fallback-labor", FALLBACK_PATH): (200, Decimal(2)),
    }
    assert sum(use.requests for use in entries[0].uses if use.path == FALLBACK_PATH) == 200


def test_each_fallback_backend_is_charged_by_its_own_name() -> None:
    """200 s at 0.5 requests/s: 100 requests of the smaller model, and 100 that people answer at $6."""
    declared = fallback(
        backends=(
            FallbackBackend("small", FallbackKind.SMALLER_MODEL, price_per_request=Decimal("0.002")),
            FallbackBackend("queue", FallbackKind.HUMAN_QUEUE, labor_cost_per_request=Decimal(6)),
        )
    )
    moved = (("small", 0.5), ("queue", 0.5))
    entries = account(spec(fallback=declared), look(START + 100), look(START + 300), moved=moved)
    assert {(c.component, c.kind): (c.quantity, c.dollars) for entry in entries for c in entry.charges} == {
        ("small", "Fallback"): (100, Decimal("0.2")),
        ("queue", "Fallback"): (100, 0),
        ("queue-labor", "Labor"): (100, 600),
    }
    assert [use.requests for use in entries[0].uses if use.path == FALLBACK_PATH] == [200]


def test_an_overflow_without_a_price_is_charged_as_unknown() -> None:
    entries = account(spec(fallback=fallback()), look(START + 150), look(START + 300), moved=(("chat-hosted", 1.0),))
    [charge] = [c for entry in entries for c in entry.charges]
    assert charge == Charge("fallback", "Fallback", FALLBACK_PATH, Unit.REQUEST, Decimal(150), None)
