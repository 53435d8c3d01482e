"""XIDs and clock events, counted since the agent started."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.gpuagent.events import ClockEvents
from flyball.gpuagent.metrics import CLOCK_EVENT_NAMES
from flyball.gpuagent.nvml import code_of
from flyball.gpuagent.readings import GpuState


@pytest.mark.parametrize(
    ("masks", "counts"),
    [
        pytest.param([0, 4], {"power_cap": 1}, id="one begins"),
        pytest.param([4, 4, 4], {}, id="what held before the first look did not begin then"),
        pytest.param([0, 4, 0, 4], {"power_cap": 2}, id="it ends and begins again"),
        pytest.param([0, 0x60], {"sw_thermal": 1, "hw_thermal": 1}, id="two at once"),
        pytest.param([4, 0x0C], {"hw_slowdown": 1}, id="another joins"),
        pytest.param([0, 1 << 40], {}, id="a reason that has no name yet"),
    ],
)
def test_a_reason_counts_when_it_begins(masks, counts):
    events = ClockEvents()
    for mask in masks:
        events.see("GPU-a", mask)
    assert events.counts("GPU-a") == counts
    assert events.counts("GPU-b") == {}


@given(st.lists(st.integers(0, 0x1FF), min_size=1))
def test_no_reason_begins_more_often_than_every_other_look(masks):
    events = ClockEvents()
    for mask in masks:
        events.see("GPU-a", mask)
    for bit, name in CLOCK_EVENT_NAMES.items():
        begun = sum(bool(now & bit and not before & bit) for before, now in pairwise(masks))
        assert events.counts("GPU-a").get(name, 0) == begun <= len(masks) // 2


def test_xids_are_counted_by_gpu_and_code_and_the_last_is_told(gpus, sampler):
    gpus.write("gpus 2")
    assert [each.last_xid for each in sampler.sweep().gpus] == [0, 0]
    for code in (13, 13, 31):
        gpus.xid(0, code)
    first, second = sampler.sweep().gpus
    assert (first.last_xid, first.xids) == (31, {13: 2, 31: 1})
    assert (second.last_xid, second.xids) == (0, {})
    assert sampler.sweep().gpus[0].xids == {13: 2, 31: 1}


def test_a_set_that_says_a_gpu_is_lost_stops_no_sweep(gpus, sampler):
    gpus.write("gpus 2", f"fail nvmlEventSetWait_v2 {code_of('GPU_IS_LOST')} -1")
    sampler.sweep()
    assert [each.state for each in sampler.sweep().gpus] == [GpuState.OK, GpuState.OK]
