"""A sweep in every state that a driver and its GPUs can be in: it says which, and never fails."""

import ctypes

import pynvml
import pytest

from flyball.gpuagent.nvml import code_of
from flyball.gpuagent.readings import AgentState, GpuState

UTILIZATION = "DCGM_FI_DEV_GPU_UTIL"


def _states(snapshot):
    return [each.state for each in snapshot.gpus]


def test_every_gpu_is_read_with_its_identity(gpus, sampler):
    gpus.write("gpus 2", "set util 1 97")
    snapshot = sampler.sweep()
    assert (snapshot.state, snapshot.message) == (AgentState.RUNNING, "2 GPUs read")
    assert (snapshot.driver_version, snapshot.nvml_version, snapshot.sessions) == ("580.0.0", "13.580.0", 1)
    second = snapshot.gpus[1]
    assert (second.gpu.index, second.gpu.minor, second.gpu.bus_id) == (1, 1, "00000000:02:00.0")
    assert second.gpu.uuid == "GPU-00000000-0000-0000-0000-000000000001"
    assert second.gpu.model == "NVIDIA Fake 80GB"
    assert [each.values[UTILIZATION] for each in snapshot.gpus] == [50, 97]


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [
        pytest.param("DRIVER_NOT_LOADED", AgentState.NO_DRIVER, "kernel module is not loaded", id="no driver"),
        pytest.param("NO_PERMISSION", AgentState.NO_PERMISSION, "device files", id="no rights"),
        pytest.param("LIB_RM_VERSION_MISMATCH", AgentState.VERSION_MISMATCH, "restart", id="another driver"),
        pytest.param("GPU_NOT_FOUND", AgentState.NO_GPU, "no NVIDIA GPU", id="no device file"),
        pytest.param("UNKNOWN", AgentState.FAILING, "nvmlInit: UNKNOWN", id="an error without a meaning"),
        pytest.param("77", AgentState.FAILING, "nvmlInit: 77", id="an error that NVML's bindings do not know"),
    ],
)
def test_a_driver_that_cannot_be_used_is_named_and_tried_again(gpus, sampler, error, state, said):
    gpus.write(f"fail nvmlInitWithFlags {error if error.isdigit() else code_of(error)} -1")
    snapshot = sampler.sweep()
    assert (snapshot.state, snapshot.gpus, snapshot.sessions) == (state, (), 0)
    assert said in snapshot.message
    gpus.write()
    assert sampler.sweep().state is AgentState.RUNNING


def test_a_node_without_the_library_is_named(gpus, sampler, monkeypatch):
    def no_library(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "CDLL", no_library)
    assert sampler.sweep().state is AgentState.NO_LIBRARY
    monkeypatch.setattr(pynvml, "CDLL", ctypes.CDLL)
    assert sampler.sweep().state is AgentState.RUNNING


def test_a_driver_without_a_gpu_is_named_and_not_held_open(gpus, sampler, library):
    gpus.write("gpus 0")
    assert sampler.sweep().state is AgentState.NO_GPU
    before = library.fake_nvml_calls()
    sampler.close()
    assert library.fake_nvml_calls() == before  # there was nothing left to close


@pytest.mark.parametrize(
    ("error", "state"),
    [
        pytest.param("GPU_IS_LOST", GpuState.LOST, id="fallen off the bus"),
        pytest.param("RESET_REQUIRED", GpuState.RESET_REQUIRED, id="needs a reset"),
    ],
)
def test_a_gpu_that_is_lost_is_named_and_the_others_are_read(gpus, sampler, error, state):
    gpus.write("gpus 3")
    assert sampler.sweep().message == "3 GPUs read"
    gpus.add(f"fail * {code_of(error)} 1")
    snapshot = sampler.sweep()
    assert snapshot.state is AgentState.RUNNING
    assert _states(snapshot) == [GpuState.OK, state, GpuState.OK]
    assert snapshot.gpus[1].values == {}  # absent, not zero
    assert snapshot.gpus[1].gpu.uuid in snapshot.message
    assert f"2 of 3 GPUs read: GPU 1 {snapshot.gpus[1].gpu.uuid} is {state}" in snapshot.message


def test_a_gpu_that_was_lost_before_the_agent_came_has_an_index_only(gpus, sampler):
    gpus.write("gpus 2", f"fail * {code_of('GPU_IS_LOST')} 0")
    snapshot = sampler.sweep()
    assert _states(snapshot) == [GpuState.LOST, GpuState.OK]
    assert (snapshot.gpus[0].gpu.uuid, snapshot.gpus[0].gpu.minor) == ("", None)


def test_a_gpu_may_be_refused_where_others_are_not(gpus, sampler):
    gpus.write("gpus 2", f"fail nvmlDeviceGetHandleByIndex_v2 {code_of('NO_PERMISSION')} 0")
    assert _states(sampler.sweep()) == [GpuState.NO_PERMISSION, GpuState.OK]


def test_a_lost_gpu_that_comes_back_is_read_again(gpus, sampler, clock):
    gpus.write("gpus 2", f"fail * {code_of('GPU_IS_LOST')} 0")
    sampler.sweep()
    gpus.write("gpus 2")
    clock.now += 15
    assert _states(sampler.sweep()) == [GpuState.OK, GpuState.OK]


def test_a_driver_that_is_reloaded_is_found_with_the_next_sweep(gpus, sampler):
    gpus.write("gpus 2")
    assert sampler.sweep().sessions == 1
    gpus.write("gpus 2", "session 1")  # handles of the session before are void now
    assert _states(sampler.sweep()) == [GpuState.LOST, GpuState.LOST]
    snapshot = sampler.sweep()
    assert (_states(snapshot), snapshot.sessions) == ([GpuState.OK, GpuState.OK], 2)
    assert snapshot.driver_version == "580.0.1"


def test_a_driver_that_is_away_for_a_while_is_found_when_it_is_back(gpus, sampler):
    assert sampler.sweep().state is AgentState.RUNNING
    gpus.write(f"fail * {code_of('DRIVER_NOT_LOADED')} -1")
    assert [sampler.sweep().state for _ in range(2)] == [AgentState.NO_DRIVER, AgentState.NO_DRIVER]
    gpus.write("gpus 4", "session 1")
    snapshot = sampler.sweep()
    assert (snapshot.state, len(snapshot.gpus)) == (AgentState.RUNNING, 4)


def test_a_driver_that_goes_in_the_middle_of_a_sweep_ends_it(gpus, sampler):
    gpus.write("gpus 2", f"fail nvmlDeviceGetPowerUsage {code_of('DRIVER_NOT_LOADED')} 1")
    snapshot = sampler.sweep()
    assert (snapshot.state, snapshot.gpus) == (AgentState.NO_DRIVER, ())
    assert "nvmlDeviceGetPowerUsage" in snapshot.message


def test_a_gpu_that_is_added_is_seen_at_once(gpus, sampler):
    gpus.write("gpus 1")
    assert len(sampler.sweep().gpus) == 1
    gpus.write("gpus 2")
    assert len(sampler.sweep().gpus) == 2


def test_mig_that_is_switched_on_is_seen_within_a_minute(gpus, sampler, clock):
    sampler.sweep()
    gpus.write("mig 0 3")
    clock.now += 60
    (reading,) = sampler.sweep().gpus
    assert [(each.id, each.profile) for each in reading.instances] == [(7, "1g.10gb"), (8, "1g.10gb"), (9, "1g.10gb")]


def test_xids_and_clock_events_outlive_a_session_and_a_loss(gpus, sampler):
    gpus.write("gpus 2", "set reasons 1 0")
    sampler.sweep()
    gpus.xid(1, 48)
    gpus.drop("set reasons")
    gpus.add("set reasons 1 4")
    sampler.sweep()
    gpus.xid(1, 79)
    gpus.add(f"fail * {code_of('GPU_IS_LOST')} 1")
    lost = sampler.sweep().gpus[1]
    assert (lost.state, lost.last_xid, lost.xids) == (GpuState.LOST, 79, {48: 1, 79: 1})
    gpus.write("gpus 2", "session 1", "set reasons 1 4")
    sampler.sweep()
    back = sampler.sweep().gpus[1]
    assert (back.state, back.last_xid, back.xids, back.clock_events) == (
        GpuState.OK,
        79,
        {48: 1, 79: 1},
        {"power_cap": 1},
    )


def test_a_sweep_asks_little(gpus, sampler, library):
    """Its cost on a real driver is in the calls: about a dozen for each GPU, and none for what a GPU does not have."""
    gpus.write(
        "gpus 8", *(f"fail nvmlDeviceGetEncoderUtilization {code_of('NOT_SUPPORTED')} {gpu}" for gpu in range(8))
    )
    sampler.sweep()
    before = library.fake_nvml_calls()
    sampler.sweep()
    assert library.fake_nvml_calls() - before <= 8 * 13 + 2
