"""Which parts of a GPU work, between two sweeps: of whole GPUs and of MIG instances, and no memory left behind."""

import pytest

from flyball.gpuagent.metrics import GPM
from flyball.gpuagent.nvml import code_of

SET = ("set gpm 0 1", *(f"set gpm{number} 0 {number}" for number in GPM))
VALUES = {metric.name: pytest.approx(number * scale) for number, (metric, scale) in GPM.items()}
NAMES = set(VALUES)


def _parts(values):
    return {name: value for name, value in values.items() if name in NAMES}


def test_the_second_sweep_tells_what_worked_since_the_first(gpus, sampler):
    gpus.write(*SET)
    assert _parts(sampler.sweep().gpus[0].values) == {}
    for _ in range(3):
        (reading,) = sampler.sweep().gpus
        assert _parts(reading.values) == VALUES
        assert not NAMES & set(reading.missing)


@pytest.mark.parametrize(
    ("metric", "nvml", "value"),
    [
        pytest.param("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 1, 0.8, id="percent to a share"),
        pytest.param("DCGM_FI_PROF_PCIE_TX_BYTES", 20, 80 * 2**20, id="MiB to bytes"),
    ],
)
def test_units_are_those_of_dcgm_exporter(gpus, sampler, metric, nvml, value):
    gpus.write("set gpm 0 1", f"set gpm{nvml} 0 80")
    sampler.sweep()
    (reading,) = sampler.sweep().gpus
    assert _parts(reading.values) == {metric: pytest.approx(value)}
    assert {name for name in reading.missing if name in NAMES} == NAMES - {metric}


def test_a_mig_instance_has_its_own_and_the_whole_gpu_none(gpus, sampler):
    gpus.write(*SET, "mig 0 2")
    sampler.sweep()
    (reading,) = sampler.sweep().gpus
    assert _parts(reading.values) == {}
    assert [_parts(each.values) for each in reading.instances] == [VALUES, VALUES]


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        pytest.param((), "NOT_SUPPORTED", id="before Hopper"),
        pytest.param(
            (f"fail nvmlGpmQueryDeviceSupport {code_of('FUNCTION_NOT_FOUND')} -1",),
            "FUNCTION_NOT_FOUND",
            id="an old driver",
        ),
        pytest.param(("set gpm 0 1", f"fail nvmlGpmSampleAlloc {code_of('MEMORY')} -1"), "MEMORY", id="no memory"),
        pytest.param(
            ("set gpm 0 1", f"fail nvmlGpmSampleGet {code_of('NO_PERMISSION')} -1"), "NO_PERMISSION", id="no rights"
        ),
    ],
)
@pytest.mark.parametrize("mig", [pytest.param((), id="whole"), pytest.param(("mig 0 1",), id="in an instance")])
def test_a_gpu_that_does_not_tell_is_read_without(gpus, sampler, library, lines, error, mig):
    gpus.write(*(line.replace("nvmlGpmSampleGet", "nvmlGpmMigSampleGet") if mig else line for line in lines), *mig)
    for _ in range(3):
        (reading,) = sampler.sweep().gpus
        assert reading.values["DCGM_FI_DEV_POWER_USAGE"] == 250.5
        assert {name: reading.missing.get(name) for name in NAMES} == dict.fromkeys(NAMES, error)
    assert library.fake_nvml_samples() == 0


def test_samples_are_given_back_when_a_session_ends(gpus, sampler, library):
    gpus.write(*SET, "gpus 2", "set gpm 1 1")
    for _ in range(4):
        sampler.sweep()
    assert library.fake_nvml_samples() == 4
    sampler.close()
    assert library.fake_nvml_samples() == 0


def test_a_new_session_begins_with_a_sample_of_its_own(gpus, sampler):
    gpus.write(*SET)
    sampler.sweep()
    gpus.write(*SET, "session 1")
    sampler.sweep()  # the GPU is lost, and with it the session
    assert _parts(sampler.sweep().gpus[0].values) == {}
    assert _parts(sampler.sweep().gpus[0].values) == VALUES
