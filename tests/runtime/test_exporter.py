"""Flyball's own metrics: what is exposed, that nothing stale stays, and that the written reference is theirs."""

import math
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.advising import FakeReplicas, FakeRivals, wants
from support.world import OVERFLOW, World

from flyball.core.service.own_counts import CacheReading, OwnReadings
from flyball.core.service.reliability import EventCounts
from flyball.core.service.reliability import RequestEvent as E
from flyball.runtime.advice import Advisers
from flyball.runtime.exporter import FAMILIES, SnapshotCollector, Tally, reference_page
from flyball.runtime.shadow import Shadow

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


ANSWERS = {
    "name": "answers",
    "kind": "Response",
    "hits": "hits[$window]",
    "lookups": "lookups[$window]",
    "savesPerHit": "0.01",
    "guard": {"query": "fresh", "atLeast": "90%"},
}


def scrape(tally: Tally) -> Samples:
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(tally))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float | None:
    own = {"namespace": "team", "workload": "chat"} if "namespace" not in labels else {}
    return samples.get((name, frozenset((own | labels).items())))


@pytest.fixture
async def tally(world: World) -> Tally:
    world.with_route()
    world.apply(
        fallback=OVERFLOW,
        value={"perRequest": "0.01", "source": "survey"},
        roiTargets=[{"name": "worth", "metric": "ValueCostRatio", "amount": "2", "window": "2m"}],
        telemetry={"caches": [ANSWERS]},
    )
    world.metrics.own = OwnReadings(
        events=(
            EventCounts(3600.0, ((E.REQUESTS, 90.0), (E.CLIENT_MISTAKE, 10.0), (E.RETRY, 30.0), (E.TIMEOUT, 4.0))),
        ),
        caches=(CacheReading("answers", 3600.0, 900.0, 3600.0, 1.0),),
    )
    world.advisers = Advisers(Shadow(FakeRivals({"hpa-queue": wants(3)}), FakeReplicas()))
    world.restart()
    world.apply("shadowed", shadow=["hpa-queue"])
    world.apply("broken", workloadType="Unheard")
    found = Tally()
    for _ in range(24):
        found.finish(await world.tick(), world.at, 0.25)
    found.count_write("deployments/scale", "patch")
    found.count_write("deployments/scale", "patch")
    found.events_dropped = lambda: 3
    found.tasks = lambda: 12
    found.ledger_written = lambda: 7
    found.looks_missed = lambda: 2
    return found


async def test_what_a_tick_shows(tally: Tally) -> None:
    samples = scrape(tally)
    assert value(samples, "flyball_replicas_desired", target="gpu") == 2
    assert value(samples, "flyball_replicas_ready", target="gpu") == 2
    assert value(samples, "flyball_arrivals_per_second") == pytest.approx(2.0, rel=0.1)
    assert value(samples, "flyball_cost_per_hour_dollars") == pytest.approx(1.6)
    assert value(samples, "flyball_objective_state", objective="first-token", state="Met") == 1
    assert value(samples, "flyball_condition", type="Ready") == 1
    assert value(samples, "flyball_condition", type="SLOMet") == 1
    assert value(samples, "flyball_fallback_share_ratio") == 0
    assert value(samples, "flyball_requests_available_ratio") == pytest.approx(0.95)
    assert value(samples, "flyball_request_events_ratio", event="Timeout") == pytest.approx(0.05)
    assert value(samples, "flyball_retry_amplification") == pytest.approx(1.5)
    assert value(samples, "flyball_cache_hit_ratio", cache="answers") == 0.25
    assert value(samples, "flyball_cache_saving_per_hour_dollars", cache="answers") == 9
    assert value(samples, "flyball_tokens_per_request", template="", kind="input") is not None
    shadowed = {"namespace": "team", "workload": "shadowed", "rival": "hpa-queue"}
    assert value(samples, "flyball_shadow_replicas_desired", target="gpu", **shadowed) == 3
    assert value(samples, "flyball_shadow_cost_per_hour_dollars", **shadowed) == pytest.approx(2.4)
    assert value(samples, "flyball_shadow_state", state="Running", **shadowed) == 1
    verdicts = [
        v for (name, labels), v in samples.items() if name == "flyball_gpu_verdict" and ("workload", "chat") in labels
    ]
    assert sorted(verdicts)[-2:] == [0, 1], "exactly one verdict holds"


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("flyball_workloads", {"valid": "true"}, 2),
        ("flyball_workloads", {"valid": "false"}, 1),
        ("flyball_ticks_total", {}, 24),
        ("flyball_ticks_failed_total", {}, 0),
        ("flyball_defects_total", {}, 0),
        ("flyball_api_writes_total", {"resource": "deployments/scale", "verb": "patch"}, 2),
        ("flyball_events_dropped_total", {}, 3),
        ("flyball_ledger_entries_total", {}, 7),
        ("flyball_ledger_entries_lost_total", {}, 0),
        ("flyball_ledger_failing", {}, 0),
        ("flyball_shadow_looks_missed_total", {}, 2),
        ("flyball_tick_duration_seconds", {}, 0.25),
    ],
)
async def test_what_the_operator_shows_of_itself(
    tally: Tally, name: str, labels: dict[str, str], expected: float
) -> None:
    assert scrape(tally)[name, frozenset(labels.items())] == expected


async def test_a_workload_that_is_gone_leaves_no_series(world: World, tally: Tally) -> None:
    world.delete()
    tally.finish(await world.tick(), world.at, 0.25)
    assert not [labels for _, labels in scrape(tally) if ("workload", "chat") in labels]


async def test_unknown_figures_are_absent_not_zero(world: World) -> None:
    world.metrics.problem = "Prometheus is down"
    world.apply()
    found = Tally()
    found.finish(await world.tick(), world.at, 0.1)
    samples = scrape(found)
    assert value(samples, "flyball_arrivals_per_second") is None
    assert value(samples, "flyball_objective_burn_rate", objective="first-token", window="short") is None
    assert all(math.isfinite(sample) for sample in samples.values())


def test_before_the_first_tick_only_counters_are_shown() -> None:
    assert {name for name, _ in scrape(Tally())} == {
        "flyball_leader",
        "flyball_ticks_total",
        "flyball_decisions_recorded_total",
        "flyball_decisions_lost_total",
        "flyball_ticks_failed_total",
        "flyball_defects_total",
        "flyball_events_dropped_total",
        "flyball_shadow_looks_missed_total",
    }


async def test_every_sample_belongs_to_a_family_and_every_family_has_a_sample(world: World, tally: Tally) -> None:
    names = {name for name, _ in scrape(tally)}
    assert names == {family.name for family in FAMILIES}


def test_the_reference_lists_every_family() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text()
    assert page == reference_page(), "run `make crds` and commit the result"
