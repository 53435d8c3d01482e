"""Sweeps in their thread: a call that hangs is named, a defect costs one sweep, the kubelet may come and go."""

import threading
import time
from pathlib import Path

import pytest
from e2e.gpu import kubelet

from flyball.gpuagent.pods import PodResources
from flyball.gpuagent.readings import AgentState, Holder
from flyball.gpuagent.watch import Watch

GPU = "GPU-00000000-0000-0000-0000-000000000000"


@pytest.fixture
def watch(sampler, clock):
    made = Watch(sampler, None, 5.0, 15.0, clock)
    yield made
    if made.alive:
        made.stop(patience_seconds=60)


def test_before_the_first_sweep_it_is_starting(watch):
    assert watch.look().state is AgentState.STARTING


def test_a_call_that_hangs_is_named_and_its_gpus_are_left_out_until_it_returns(gpus, watch, clock):
    watch.sweep()
    gpus.add("hang nvmlDeviceGetPowerUsage -1")
    sweeping = threading.Thread(target=watch.sweep)
    sweeping.start()
    while watch._sampler.asking != "nvmlDeviceGetPowerUsage":
        time.sleep(0.001)
    assert watch.look().state is AgentState.RUNNING  # it may only be slow yet
    clock.now += 16
    stuck = watch.look()
    assert (stuck.state, stuck.gpus) == (AgentState.STUCK, ())
    assert stuck.message == "nvmlDeviceGetPowerUsage has not returned for 16 s"
    gpus.drop("hang")
    sweeping.join()
    assert watch.look().state is AgentState.RUNNING
    assert (watch.sweeps, watch.duration_seconds) == (2, 16)


def test_a_hanging_call_does_not_hold_up_the_end(gpus, watch):
    gpus.add("hang nvmlInitWithFlags -1")
    watch.start()
    while watch._sampler.asking != "nvmlInit":
        time.sleep(0.001)
    watch.stop(patience_seconds=0.01)
    assert watch.alive
    assert watch._thread.daemon
    gpus.drop("hang")


def test_it_sweeps_until_it_is_stopped(watch):
    watch.start()
    while not watch.sweeps:
        time.sleep(0.001)
    assert watch.alive
    watch.stop(patience_seconds=60)
    assert not watch.alive
    assert not watch._sampler._open


def test_a_defect_costs_one_sweep(watch, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(watch._sampler, "sweep", lambda: 1 / 0)
        watch.sweep()
    assert (watch.look().state, watch.defects) == (AgentState.FAILING, 1)
    assert "ZeroDivisionError" in watch.look().message
    watch.sweep()
    assert (watch.look().state, watch.defects, watch.sweeps) == (AgentState.RUNNING, 1, 2)


def test_gpus_are_mapped_to_pods_while_the_kubelet_answers(sampler, clock, tmp_path: Path):
    socket = tmp_path / "kubelet.sock"
    watch = Watch(sampler, PodResources(socket), 5.0, 15.0, clock)
    with kubelet.serving(socket, [kubelet.pod("chat", GPU)]):
        watch.sweep()
        assert watch.look().holders == {GPU: (Holder("team-a", "chat", "main"),)}
    watch.sweep()
    without = watch.look()
    assert (without.state, without.holders, len(without.gpus)) == (AgentState.RUNNING, None, 1)
    assert "GPUs are not mapped to pods: the kubelet does not answer" in without.message
    watch._kubelet.close()


def test_without_gpus_the_kubelet_is_not_asked(gpus, sampler, clock, tmp_path):
    gpus.write("gpus 0")
    watch = Watch(sampler, PodResources(tmp_path / "kubelet.sock"), 5.0, 15.0, clock)
    watch.sweep()
    assert (watch.look().state, "kubelet" in watch.look().message) == (AgentState.NO_GPU, False)
    watch._kubelet.close()
