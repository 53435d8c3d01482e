"""What is read of one GPU: every value in its metric's unit, and NVML's reason in the place of each that it lacks."""

import pytest

from flyball.gpuagent.metrics import FIELDS, GPM, PROCESS_MEMORY, PROCESS_SM, READ
from flyball.gpuagent.nvml import code_of
from flyball.gpuagent.readings import GpuState, Process

MIB = 2**20


def _reading(sampler):
    (reading,) = sampler.sweep().gpus
    return reading


@pytest.mark.parametrize(
    ("line", "metric", "value"),
    [
        pytest.param("set util 0 87", "DCGM_FI_DEV_GPU_UTIL", 87, id="utilization in percent"),
        pytest.param("set memutil 0 12", "DCGM_FI_DEV_MEM_COPY_UTIL", 12, id="memory utilization in percent"),
        pytest.param("set enc 0 5", "DCGM_FI_DEV_ENC_UTIL", 5, id="encoder in percent"),
        pytest.param("set dec 0 6", "DCGM_FI_DEV_DEC_UTIL", 6, id="decoder in percent"),
        pytest.param("set total 0 81559", "DCGM_FI_DEV_FB_TOTAL", 81559, id="memory in MiB"),
        pytest.param("set used 0 70001", "DCGM_FI_DEV_FB_USED", 70001, id="used memory in MiB"),
        pytest.param("set reserved 0 432", "DCGM_FI_DEV_FB_RESERVED", 432, id="reserved memory in MiB"),
        pytest.param("set used 0 1000", "DCGM_FI_DEV_FB_FREE", 81920 - 512 - 1000, id="free memory in MiB"),
        pytest.param("set power 0 345678", "DCGM_FI_DEV_POWER_USAGE", 345.678, id="milliwatts to watts"),
        pytest.param("set limit 0 350000", "DCGM_FI_DEV_ENFORCED_POWER_LIMIT", 350, id="the power limit in watts"),
        pytest.param("set smclock 0 1755", "DCGM_FI_DEV_SM_CLOCK", 1755, id="the SM clock in MHz"),
        pytest.param("set memclock 0 2619", "DCGM_FI_DEV_MEM_CLOCK", 2619, id="the memory clock in MHz"),
        pytest.param("set temp 0 83", "DCGM_FI_DEV_GPU_TEMP", 83, id="degrees"),
        pytest.param("set reasons 0 68", "DCGM_FI_DEV_CLOCKS_EVENT_REASONS", 68, id="the mask of clock events"),
        pytest.param(f"field 83 0 {2**53}", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 2**53, id="more than 32 bits"),
        *(
            pytest.param(f"field {number} 0 {7 + number}", metric.name, 7 + number, id=metric.name)
            for number, metric in FIELDS.items()
        ),
    ],
)
def test_a_value_comes_in_its_metric_s_unit(gpus, sampler, line, metric, value):
    gpus.write(line)
    assert _reading(sampler).values[metric] == value


@pytest.mark.parametrize(
    ("function", "metrics"),
    [
        pytest.param("nvmlDeviceGetUtilizationRates", {"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_MEM_COPY_UTIL"}, id="two"),
        pytest.param("nvmlDeviceGetPowerUsage", {"DCGM_FI_DEV_POWER_USAGE"}, id="power"),
        pytest.param("nvmlDeviceGetFieldValues", {metric.name for metric in FIELDS.values()}, id="all field values"),
        pytest.param("nvmlDeviceGetComputeRunningProcesses_v3", {PROCESS_MEMORY.name}, id="memory of processes"),
        pytest.param("nvmlDeviceGetProcessUtilization", {PROCESS_SM.name}, id="utilization of processes"),
        pytest.param("nvmlEventSetCreate", {"DCGM_FI_DEV_XID_ERRORS"}, id="XIDs, which cannot be watched"),
        pytest.param("nvmlDeviceRegisterEvents", {"DCGM_FI_DEV_XID_ERRORS"}, id="XIDs, which it does not tell"),
    ],
)
@pytest.mark.parametrize("error", ["NOT_SUPPORTED", "FUNCTION_NOT_FOUND", "NO_PERMISSION", "TIMEOUT", "UNKNOWN"])
def test_what_a_gpu_does_not_tell_is_absent_with_the_reason(gpus, sampler, function, metrics, error):
    parts = ("set gpm 0 1", *(f"set gpm{number} 0 1" for number in GPM))
    gpus.write(*parts, *(f"field {number} 0 1" for number in FIELDS), f"fail {function} {code_of(error)} -1")
    _reading(sampler)
    reading = _reading(sampler)
    assert reading.state is GpuState.OK
    assert reading.missing == dict.fromkeys(metrics, error)
    assert not metrics & set(reading.values)
    assert set(reading.values) | metrics >= {metric.name for metric in READ}


def test_what_is_refused_for_a_moment_is_there_again_with_the_next_sweep(gpus, sampler):
    gpus.write(f"fail nvmlDeviceGetPowerUsage {code_of('TIMEOUT')} -1")
    assert "DCGM_FI_DEV_POWER_USAGE" in _reading(sampler).missing
    gpus.write()
    assert _reading(sampler).values["DCGM_FI_DEV_POWER_USAGE"] == 250.5


def test_a_field_that_no_gpu_has_is_missing_by_itself(gpus, sampler):
    gpus.write("field 83 0 9")
    reading = _reading(sampler)
    assert reading.values["DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"] == 9
    assert reading.missing["DCGM_FI_DEV_RETIRED_SBE"] == "NOT_SUPPORTED"


def test_a_gpu_that_cannot_say_who_it_is_in_full_is_read_all_the_same(gpus, sampler):
    unknown = ("nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetMinorNumber", "nvmlDeviceGetName")
    gpus.write("gpus 2", *(f"fail {function} {code_of('NOT_SUPPORTED')} 1" for function in unknown))
    gpu = sampler.sweep().gpus[1].gpu
    assert (gpu.minor, gpu.bus_id, gpu.model) == (1, "", "")
    assert gpu.uuid


def test_processes_have_their_memory_and_the_mean_of_their_samples(gpus, sampler):
    gpus.write("process 0 -1 4242 2048 20", "process 0 -1 4343 1 0")
    # The fake's samples of a process are its value and twice that.
    assert _reading(sampler).processes == (Process(4242, 2048 * MIB, 0.3), Process(4343, MIB, None))


def test_samples_are_taken_in_once(gpus, sampler):
    gpus.write("process 0 -1 4242 2048 20")
    _reading(sampler)
    assert sampler._devices[0].sampled_until == 2
    _reading(sampler)
    assert sampler._devices[0].sampled_until == 4  # asked for those after 2


def test_a_mig_gpu_has_its_processes_and_memory_by_instance_and_no_utilization(gpus, sampler):
    gpus.write("mig 0 2", "process 0 0 11 100 0", "process 0 1 12 200 0")
    reading = _reading(sampler)
    assert reading.missing["DCGM_FI_DEV_GPU_UTIL"] == "NOT_SUPPORTED"
    assert reading.values["DCGM_FI_DEV_POWER_USAGE"] == 250.5
    assert reading.processes == ()
    first, second = reading.instances
    assert (first.id, first.profile, first.uuids) == (7, "1g.10gb", ("MIG-00000000-0000-0000-0000-000000000000",))
    assert first.processes == (Process(11, 100 * MIB),)
    assert second.processes == (Process(12, 200 * MIB),)
    assert first.values == {
        "DCGM_FI_DEV_FB_TOTAL": 10240,
        "DCGM_FI_DEV_FB_FREE": 10048,
        "DCGM_FI_DEV_FB_USED": 128,
        "DCGM_FI_DEV_FB_RESERVED": 64,
    }


@pytest.mark.parametrize(
    ("lines", "mode"),
    [
        pytest.param((), 0, id="off"),
        pytest.param(("mig 0 2",), 1, id="on"),
        pytest.param((f"fail nvmlDeviceGetMigMode {code_of('NOT_SUPPORTED')} 0",), None, id="a GPU that has none"),
    ],
)
def test_the_mode_is_told_where_there_is_one(gpus, sampler, lines, mode):
    gpus.write(*lines)
    assert _reading(sampler).values.get("DCGM_FI_DEV_MIG_MODE") == mode


def test_a_gpu_whose_instances_may_not_be_seen_is_read_without_them(gpus, sampler):
    gpus.write("mig 0 2", f"fail nvmlDeviceGetMigDeviceHandleByIndex {code_of('NO_PERMISSION')} 0")
    reading = _reading(sampler)
    assert (reading.state, reading.instances) == (GpuState.OK, ())
    assert reading.missing["GPU_I_ID"] == "NO_PERMISSION"
    assert (reading.values["DCGM_FI_DEV_MIG_MODE"], reading.values["DCGM_FI_DEV_POWER_USAGE"]) == (1, 250.5)


def test_an_instance_that_tells_nothing_is_there_all_the_same(gpus, sampler):
    gpus.write("mig 0 1", f"fail nvmlDeviceGetMemoryInfo_v2 {code_of('NO_PERMISSION')} -1")
    (instance,) = _reading(sampler).instances
    assert (instance.id, instance.values, instance.processes) == (7, {}, ())
