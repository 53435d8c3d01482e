"""Whole ticks over strict fakes: what is written, told and remembered, also when others fail or interfere."""

from collections.abc import Callable

import pytest
from support.world import OVERFLOW, World

from flyball.core.names import WorkloadKey
from flyball.core.ports import Rejected, Unavailable
from flyball.runtime import tick as tick_module

CHAT = WorkloadKey("team", "chat")
ROUTES = [OVERFLOW["routes"][0], {"httpRoute": "batch", "primary": "chat", "fallback": "hosted"}]


async def test_a_steady_world_is_written_once_whatever_its_figures_do(world: World) -> None:
    world.with_route()
    world.apply(fallback=OVERFLOW, value={"perRequest": "0.01", "source": "survey"}, roiTargets=[
        {"name": "worth", "metric": "ValueCostRatio", "amount": "2", "window": "1h"}
    ])  # fmt: skip
    world.metrics.noise = 0.1
    await world.tick()
    assert world.cluster.counted() == {"annotate": 1, "write_status": 1}
    await world.tick(24)  # the ROI target is judged for the first time, and a request's cost known
    world.cluster.writes.clear()
    await world.tick(40)
    assert world.cluster.writes == []
    assert world.events.told == []


async def test_figures_that_only_drift_are_refreshed_once_an_hour(world: World) -> None:
    world.apply()
    world.metrics.noise = 0.1
    await world.tick(3 * 3600 // 15)
    # The first, what a request costs once that is known, and two refreshes.
    assert world.cluster.counted() == {"write_status": 4, "annotate": 3}


async def test_load_scales_a_target_and_says_so(world: World) -> None:
    world.apply()
    await world.tick(4)
    await world.surge()
    assert world.deployment().replicas > 2
    scaled = [event for _, event, _ in world.events.told if event.reason == "ScaledUp"]
    assert scaled[0].message.startswith("scaled Deployment/chat from 2 to ")
    await world.tick()
    assert world.deployment().annotations["flyball.dev/cost-per-hour"] == f"{world.deployment().replicas * 0.8:.2f}"
    assert world.status()["targets"][0]["current"] == world.deployment().replicas


@pytest.mark.parametrize("mode", ["Recommend", "Paused"])
async def test_recommend_and_paused_scale_nothing_and_give_routes_back(overflowing: World, mode: str) -> None:
    world = overflowing
    world.apply(fallback=OVERFLOW, mode=mode)
    replicas = world.deployment().replicas
    await world.surge()
    assert world.deployment().replicas == replicas
    assert (world.weights(), world.finalizers()) == ((1, 0), [])
    assert world.events.reasons()[-1] == "FallbackCleared"
    assert (world.condition("ScalingActive")["reason"], world.condition("FallbackActive")) == (mode, {})


async def test_hands_off_while_an_autoscaler_owns_the_target(world: World) -> None:
    world.apply()
    await world.tick()
    world.deployment().contender = "HorizontalPodAutoscaler/chat"
    await world.surge()
    assert "scale chat" not in world.cluster.writes
    assert world.condition("ScalingActive")["reason"] == "Contended"
    assert world.events.reasons().count("Contended") == 1
    world.deployment().contender = None
    await world.tick(2)
    assert "scale chat" in world.cluster.writes


async def test_a_target_that_goes_is_missed_once_and_governed_again_when_it_is_back(world: World) -> None:
    world.apply()
    await world.tick(2)
    gone = world.cluster.deployments.pop(("team", "chat"))
    await world.tick(5)
    assert world.events.reasons() == ["TargetMissing"]
    assert world.condition("Ready")["reason"] == "TargetMissing"
    gone.annotations = {}
    world.cluster.deployments["team", "chat"] = gone
    await world.tick(2)
    assert world.condition("Ready")["status"] == "True"
    assert world.deployment().annotations["flyball.dev/governed-by"] == "WorkloadSLO/chat"


async def test_an_invalid_spec_is_told_once_with_field_and_fix_and_nothing_is_touched(world: World) -> None:
    world.apply()
    await world.tick(3)
    money = world.status()["cost"]
    world.cluster.writes.clear()
    world.apply(objectives=[{"name": "x", "indicator": "TimeToFirstToken", "threshold": "0s", "target": "95%"}])
    await world.tick(5)
    assert world.cluster.writes == ["write_status chat"]
    assert world.events.reasons() == ["InvalidSpec"]
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"], ready["observedGeneration"]) == ("False", "InvalidSpec", 2)
    assert ready["message"].startswith("spec.objectives[0].threshold: ")
    assert "; write" in ready["message"] or "; use" in ready["message"]
    assert world.status()["cost"] == money, "a restart would begin the month's account anew"
    world.restart()
    await world.tick(3)
    assert world.events.reasons() == ["InvalidSpec"]
    world.apply()
    await world.tick()
    assert world.condition("Ready")["status"] == "True"


async def test_the_fallback_goes_on_and_comes_back_and_the_finalizer_with_it(overflowing: World) -> None:
    world = overflowing
    writes = [write.split()[0] for write in world.cluster.writes]
    assert writes.index("hold_finalizer") < writes.index("set_weights")
    assert world.finalizers() == ["flyball.dev/restore-routes"]
    assert world.condition("FallbackActive")["status"] == "True"
    await world.tick()
    assert world.status()["fallback"]["originalWeights"] == [{"httpRoute": "chat", "primary": 1, "fallback": 0}]
    world.metrics.good = 0.999
    await world.tick(12)
    assert (world.weights(), world.finalizers()) == ((1, 0), [])
    assert [r for r in world.events.reasons() if r.startswith("Fallback")] == ["FallbackActivated", "FallbackCleared"]
    assert world.status()["fallback"]["state"] == "Primary"
    assert world.cluster.counted()["set_weights"] == 1


async def test_the_finalizer_stays_while_another_route_is_still_moved(world: World) -> None:
    world.with_route("chat")
    world.with_route("batch")
    world.apply(fallback={**OVERFLOW, "routes": ROUTES})
    world.metrics.good = 0.5
    await world.tick(5)
    assert world.weights("chat") == world.weights("batch") != (1, 0)
    world.metrics.good = 0.999
    world.cluster.fail["restore_weights batch"] = Unavailable("the API server answered 500")
    await world.tick(12)
    assert world.weights("chat") == (1, 0)
    assert world.finalizers() == ["flyball.dev/restore-routes"]
    assert world.status()["fallback"]["state"] == "Returning", "what still overflows is shown"
    assert world.status()["fallback"]["weight"] == "12%", "a quarter of one of two routes"
    world.cluster.fail.clear()
    await world.tick(2)
    assert (world.weights("batch"), world.finalizers()) == ((1, 0), [])
    assert world.status()["fallback"]["state"] == "Primary"


async def test_weights_that_cannot_be_moved_are_told_once_and_not_shown_as_moved(world: World) -> None:
    world.with_route()
    world.apply(fallback=OVERFLOW)
    world.cluster.fail["set_weights"] = Rejected("forbidden; grant verb 'patch' on 'httproutes'")
    world.metrics.good = 0.5
    await world.tick(12)
    assert world.events.reasons().count("FallbackBlocked") == 1
    assert "FallbackActivated" not in world.events.reasons()
    assert world.status()["fallback"]["state"] == "Primary"
    assert world.condition("FallbackActive") == {}
    spent = world.ticker._known[CHAT].memory.spend
    assert all(rate.overflow == 0 for rate in spent.rates), "overflow that did not happen costs nothing"
    world.cluster.fail.clear()
    await world.tick(2)
    assert world.weights()[1] > 0
    assert "FallbackActivated" in world.events.reasons()


async def test_hands_off_a_route_that_somebody_else_writes(overflowing: World) -> None:
    world = overflowing
    world.set_weights(70, 30)
    world.cluster.writes.clear()
    await world.tick(5)
    assert world.weights() == (70, 30)
    assert not {"set_weights", "restore_weights"} & set(world.cluster.counted())
    assert world.condition("RouteConflict")["status"] == "True"
    assert world.events.reasons().count("RouteConflict") == 1
    world.delete()
    await world.tick(3)
    assert world.weights() == (70, 30), "theirs stay"
    assert CHAT not in world.cluster.workloads


async def test_a_conflict_that_ends_gives_the_route_back_and_a_new_trigger_takes_it(overflowing: World) -> None:
    world, ours = overflowing, overflowing.weights()
    world.set_weights(70, 30)
    await world.tick(5)
    world.set_weights(*ours)
    world.metrics.good = 0.999
    await world.tick(2)
    assert (world.weights(), world.condition("RouteConflict")) == ((1, 0), {})
    world.metrics.good = 0.5
    await world.tick(12)
    assert world.weights()[1] > 0
    activated = [event.message.split()[0] for _, event, _ in world.events.told if event.reason == "FallbackActivated"]
    assert activated == ["25%", "25%", "50%"]


async def test_weights_put_back_by_somebody_else_are_not_fought_over(overflowing: World) -> None:
    """What continuous delivery does to a route whose manifest says 1:0."""
    world = overflowing
    world.set_weights(1, 0)
    world.cluster.writes.clear()
    await world.tick(40)
    assert world.weights() == (1, 0)
    assert "set_weights" not in world.cluster.counted()
    assert world.condition("RouteConflict")["status"] == "True"
    assert world.events.reasons().count("RouteConflict") == 1


async def test_a_fallback_that_is_no_longer_declared_is_given_back(overflowing: World) -> None:
    world = overflowing
    world.apply()
    await world.tick()
    assert (world.weights(), world.finalizers()) == ((1, 0), [])
    assert world.events.reasons()[-1] == "FallbackCleared"
    world.apply(fallback=OVERFLOW)
    await world.tick()
    assert world.weights() == (1, 0), "declared anew, it is triggered anew"


async def test_a_route_that_is_no_longer_named_is_given_back(overflowing: World) -> None:
    world = overflowing
    world.with_route("batch")
    world.apply(fallback={**OVERFLOW, "routes": ROUTES[1:]})
    await world.tick()
    assert world.weights("chat") == (1, 0)
    assert world.weights("batch")[1] > 0


async def test_a_look_at_the_cluster_that_fails_does_not_end_the_fallback(overflowing: World) -> None:
    world = overflowing
    since = world.status()["fallback"]["since"]
    weights = world.weights()
    world.cluster.problem = "list pods: no answer within 10 s"
    await world.tick(2)
    world.cluster.problem = ""
    await world.tick()
    assert (world.weights(), world.status()["fallback"]["since"]) == (weights, since)
    assert "FallbackCleared" not in world.events.reasons()


async def test_deletion_restores_weights_before_the_finalizer_goes(overflowing: World) -> None:
    world = overflowing
    world.cluster.writes.clear()
    world.delete()
    world.cluster.fail["restore_all"] = Unavailable("the API server answered 500")
    await world.tick(2)
    assert world.finalizers() == ["flyball.dev/restore-routes"]
    assert world.deployment().annotations == {}, "what can be given back is"
    world.cluster.fail.clear()
    await world.tick()
    assert (world.weights(), CHAT in world.cluster.workloads) == ((1, 0), False)
    writes = len(world.cluster.writes)
    await world.tick(3)
    assert len(world.cluster.writes) == writes


async def test_annotations_that_stay_do_not_hold_a_deletion_back(overflowing: World) -> None:
    world = overflowing
    world.delete()
    world.cluster.fail["annotate"] = Unavailable("the API server answered 500")
    await world.tick()
    assert CHAT not in world.cluster.workloads
    world.cluster.fail.clear()
    await world.tick()
    assert world.deployment().annotations == {}, "tried again when the object was gone"


async def test_a_deletion_that_waits_for_others_writes_nothing_more(overflowing: World) -> None:
    world = overflowing
    world.cluster.workloads[CHAT]["metadata"]["finalizers"].append("example.com/theirs")
    world.delete()
    await world.tick()
    assert world.finalizers() == ["example.com/theirs"]
    world.cluster.writes.clear()
    await world.tick(5)
    assert world.cluster.writes == []


async def test_a_deletion_that_can_never_restore_says_why_once(overflowing: World) -> None:
    world = overflowing
    world.delete()
    world.cluster.fail["restore_all"] = Rejected("forbidden; grant verb 'list' on 'httproutes'")
    await world.tick(4)
    told = [event.message for _, event, _ in world.events.told if event.reason == "FallbackBlocked"]
    assert len(told) == 1
    assert "cannot be deleted" in told[0]
    assert "grant verb 'list'" in told[0]


@pytest.mark.parametrize("restarted", [False, True], ids=["", "after a restart"])
async def test_a_deleted_invalid_workload_gets_its_route_back(overflowing: World, restarted: bool) -> None:
    world = overflowing
    world.apply(fallback={**OVERFLOW, "minHold": "soon"})
    await world.tick()
    assert world.weights() != (1, 0), "an invalid spec changes nothing"
    if restarted:
        world.restart()
    world.delete()
    await world.tick()
    assert (world.weights(), CHAT in world.cluster.workloads) == ((1, 0), False)


async def test_deletion_without_finalizer_takes_the_annotations_off(world: World) -> None:
    world.apply()
    await world.tick(2)
    world.delete()
    world.cluster.fail["annotate"] = Unavailable("connection refused")
    await world.tick()
    world.cluster.fail.clear()
    await world.tick()
    assert world.deployment().annotations == {}
    world.cluster.writes.clear()
    await world.tick(2)
    assert world.cluster.writes == []


async def test_a_target_that_is_no_longer_named_loses_its_annotations(world: World) -> None:
    world.apply()
    await world.tick()
    world.apply("chat", "other")
    world.cluster.fail["annotate chat"] = Unavailable("connection refused")
    await world.tick()
    world.cluster.fail.clear()
    await world.tick()
    assert world.deployment("chat").annotations == {}
    assert world.deployment("other").annotations["flyball.dev/governed-by"] == "WorkloadSLO/chat"


async def test_an_object_made_anew_under_the_same_name_begins_anew(world: World) -> None:
    world.apply()
    world.metrics.good = 0.5
    await world.tick(300)
    assert float(world.status()["cost"]["monthToDate"]) > 0.3
    world.delete()
    world.apply()  # before the operator looked again
    await world.tick()
    assert world.ticker._known[CHAT].uid == "uid-2"
    assert float(world.status()["cost"]["monthToDate"]) == 0
    assert world.deployment().annotations["flyball.dev/month-to-date"] == "0.00"
    assert world.events.reasons().count("SLOBreached") == 2


async def test_a_new_process_goes_on_where_the_old_one_stopped(overflowing: World) -> None:
    world = overflowing
    await world.tick(5)
    since, weights = world.status()["fallback"]["since"], world.weights()
    known = world.ticker._known[CHAT].memory.spend.month_to_date
    told = world.events.reasons()
    world.restart()
    world.cluster.writes.clear()
    await world.tick(2)
    assert world.cluster.counted() == {"annotate": 1, "write_status": 1}
    assert world.events.reasons() == told
    assert (world.status()["fallback"]["since"], world.weights()) == (since, weights)
    after = world.ticker._known[CHAT].memory.spend.month_to_date
    assert float(known) < float(after) < float(known) + 0.03
    world.metrics.good = 0.999
    await world.tick(12)
    assert (world.weights(), world.finalizers()) == ((1, 0), [])


def _no_telemetry(world: World) -> None:
    world.metrics.problem = "Prometheus is down"


def _no_target(world: World) -> None:
    world.cluster.deployments.clear()


def _contender(world: World) -> None:
    world.deployment().contender = "HorizontalPodAutoscaler/x"


def _breach(world: World) -> None:
    world.metrics.good = 0.5


def _low_ceiling(world: World) -> None:
    world.apply(cost={"ceilings": [{"period": "Hour", "amount": "1"}]})


def _near_ceiling(world: World) -> None:
    world.apply(cost={"ceilings": [{"period": "Hour", "amount": "1.7"}]})


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        pytest.param(_no_telemetry, "TelemetryStale", id="telemetry"),
        pytest.param(_no_target, "TargetMissing", id="target"),
        pytest.param(_contender, "Contended", id="contender"),
        pytest.param(_breach, "ErrorBudgetExhausted", id="error budget"),
        pytest.param(_breach, "SLOBreached", id="objective"),
        pytest.param(_low_ceiling, "BudgetCeilingReached", id="ceiling"),
        pytest.param(_near_ceiling, "BudgetCeilingApproaching", id="near a ceiling"),
    ],
)
async def test_a_new_process_repeats_no_event(world: World, trouble: Callable[[World], None], reason: str) -> None:
    world.apply()
    await world.tick()
    trouble(world)
    await world.tick(4)
    assert world.events.reasons().count(reason) == 1
    world.restart()
    await world.tick(4)
    assert world.events.reasons().count(reason) == 1


async def test_what_fails_for_one_workload_leaves_the_others_unharmed(world: World) -> None:
    world.apply("chat")
    world.apply("search")
    for write in ("scale", "annotate", "write_status"):
        world.cluster.fail[f"{write} chat"] = Unavailable("the API server answered 500")
    await world.surge()
    assert world.deployment("chat").replicas == 2
    assert world.deployment("search").replicas > 2
    assert world.status("search")["targets"][0]["current"] > 2


async def test_a_defect_in_one_workload_is_counted_and_leaves_the_others_unharmed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.apply("chat")
    world.apply("search")
    decide = tick_module.decide

    def broken(spec, observation, memory):  # type: ignore[no-untyped-def]
        if spec.key == CHAT:
            raise ZeroDivisionError
        return decide(spec, observation, memory)

    monkeypatch.setattr(tick_module, "decide", broken)
    report = await world.tick()
    assert report.defects == (CHAT,)
    assert [outcome.spec.key.name for outcome in report.outcomes] == ["search"]
    assert world.status("search")["mode"] == "Auto"


async def test_an_accelerator_seen_on_pods_finds_the_price_before_it_is_missed(world: World) -> None:
    book = {
        "apiVersion": "flyball.dev/v1alpha1", "kind": "PriceBook", "metadata": {"name": "gpus", "generation": 1},
        "spec": {"source": "contract", "gpus": [{"accelerator": "NVIDIA-L4", "onDemand": "0.80"}]},
    }  # fmt: skip
    world.mirror.put_book(book)
    targets = [{"name": "gpu", "targetRef": {"name": "chat"}, "maxReplicas": 4, "gpusPerReplica": 1}]
    world.apply(targets=targets, cost={"priceBookRef": {"name": "gpus"}})
    world.deployment().accelerator = "NVIDIA-L4"
    await world.tick(2)
    assert world.events.reasons() == []
    assert world.status()["cost"]["perHour"] == "1.6000"
    world.deployment().accelerator = None  # no pod shows it now
    await world.tick(2)
    assert world.events.reasons() == []
