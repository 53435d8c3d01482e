"""Several WorkloadSLOs for one target, whole ticks over strict fakes."""

from support.world import World


async def test_of_two_workloads_for_one_target_the_older_acts(world: World) -> None:
    world.apply("older", "chat")
    world.apply("younger", "chat")
    await world.surge()
    assert world.deployment().replicas > 2
    assert world.events.reasons("younger").count("Contended") == 1
    assert "ScaledUp" not in world.events.reasons("younger")
    assert world.condition("Contended", "younger")["message"] == "WorkloadSLO/older also scales Deployment/chat"
    assert world.deployment().annotations["flyball.dev/governed-by"] == "WorkloadSLO/older"


async def test_the_younger_takes_over_when_the_older_goes_and_not_before(world: World) -> None:
    world.apply("older", "chat")
    world.apply("younger", "chat")
    await world.tick(3)
    world.delete("older")
    await world.tick(2)
    assert world.condition("Contended", "younger") == {}
    assert world.deployment().annotations["flyball.dev/governed-by"] == "WorkloadSLO/younger"


async def test_the_younger_leaves_without_taking_the_annotations_of_the_older(world: World) -> None:
    world.apply("older", "chat")
    world.apply("younger", "chat")
    await world.tick(3)
    world.delete("younger")
    await world.tick(2)
    assert world.deployment().annotations["flyball.dev/governed-by"] == "WorkloadSLO/older"
