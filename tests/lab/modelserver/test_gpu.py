"""GPU activity is what the iterations of the last second add up to."""

import pytest

from flyball.lab.engine import EngineParameters, Iteration
from flyball.lab.modelserver.gpu import BusyWindow, GpuActivity, GpuExporter
from flyball.lab.presets import accelerator

PARAMETERS = EngineParameters(
    base_ms=100,
    per_sequence_ms=0,
    per_context_token_ms=0,
    per_prefill_token_ms=1,
    request_overhead_ms=0,
    kv_tokens=160,
    max_batch=4,
    max_batched_tokens=200,
)


def iteration(started_at: float, prefill_tokens: int = 0, slowdown: float = 1.0) -> Iteration[None]:
    seconds = PARAMETERS.iteration_seconds(0, 0, prefill_tokens) * slowdown
    return Iteration(started_at, seconds, [], [], [], 0, prefill_tokens)


@pytest.mark.parametrize(
    ("finished", "in_flight", "now", "active"),
    [
        pytest.param([], None, 10.0, 0.0, id="nothing ran"),
        pytest.param([9.2, 9.5], None, 10.0, 0.2, id="two iterations of 100 ms in the last second"),
        pytest.param([8.95], None, 10.0, 0.05, id="half of an iteration lies before the window"),
        pytest.param([5.0], None, 10.0, 0.0, id="long ago"),
        pytest.param([], 9.94, 10.0, 0.06, id="the one in flight counts so far"),
        pytest.param([9.0 + step / 10 for step in range(10)], 10.0, 10.0, 1.0, id="back to back"),
    ],
)
def test_utilization_is_the_busy_share_of_the_last_second(
    finished: list[float], in_flight: float | None, now: float, active: float
) -> None:
    window = BusyWindow(PARAMETERS)
    for started_at in finished:
        window.add(iteration(started_at))
    activity = window.activity(now, None if in_flight is None else iteration(in_flight))
    assert activity.active == pytest.approx(active)


@pytest.mark.parametrize("slowdown", [1.0, 2.0])
def test_prefill_works_the_tensor_cores_and_decode_the_memory(slowdown: float) -> None:
    """100 ms of weights read and 100 ms of prompt, each at what a kernel reaches of the peak; slowness spreads both."""
    window = BusyWindow(PARAMETERS)
    window.add(iteration(9.0, prefill_tokens=100, slowdown=slowdown))
    activity = window.activity(10.0, None)
    assert activity.active == pytest.approx(0.2 * slowdown)
    assert activity.tensor == pytest.approx(0.1 * slowdown * 0.5)
    assert activity.dram == pytest.approx(0.1 * slowdown * 0.8)


def test_power_runs_from_idle_to_the_board_limit() -> None:
    exporter = GpuExporter(accelerator("NVIDIA-L4"), 1, "host")
    watts = {
        active: next(
            family.samples[0].value
            for family in exporter.families(GpuActivity(active, 0, 0), loaded=True)
            if family.name == "DCGM_FI_DEV_POWER_USAGE"
        )
        for active in (0.0, 0.5, 1.0)
    }
    assert watts == {0.0: 16, 0.5: 44, 1.0: 72}
