"""A trace file as a past: its requests are known one by one, and nothing of who served them."""

import numpy as np

from flyball.core.observation import WorkloadSignals
from flyball.core.spec import WorkloadSpec
from flyball.lab.backtest.measured import Measured, NothingMeasured, Numbers
from flyball.lab.trace import Trace


def measured_of_trace(trace: Trace, spec: WorkloadSpec, step_seconds: float, start: float) -> Measured:
    """The arrays of a trace whose time 0 is `start` (epoch seconds). Raises NothingMeasured for one within a step."""
    steps = int(trace.span_seconds // step_seconds)
    if not steps:
        raise NothingMeasured("the trace is shorter than a step: give a shorter --step, or a longer trace")
    inside = trace.t_seconds < steps * step_seconds
    at = (trace.t_seconds[inside] // step_seconds).astype(np.int64)
    counts = np.bincount(at, minlength=steps).astype(float)
    if not counts.any():
        raise NothingMeasured("the trace holds no request before its last step: give a shorter --step")
    prompt, cached = trace.input_tokens[inside], trace.cached_tokens
    share = np.zeros(steps) if cached is None else _means(cached[inside] / prompt, at, counts)
    return Measured(
        spec=spec,
        step_seconds=step_seconds,
        ends=np.asarray(start + step_seconds * np.arange(1, steps + 1), dtype=np.float64),
        arrivals=counts,
        prompt_tokens=_means(prompt, at, counts),
        output_tokens=_means(trace.output_tokens[inside], at, counts),
        cached_share=share,
        replicas=np.full((len(spec.variants), steps), np.nan),
        known=np.ones(steps, dtype=bool),
        judged={},
        signals=tuple(WorkloadSignals() for _ in range(steps)),
        notes=(),
    )


def _means(values: Numbers | np.ndarray, at: np.ndarray, counts: Numbers) -> Numbers:
    """The mean of each step; where nothing came, that of its neighbours."""
    sums = np.bincount(at, weights=values, minlength=len(counts))
    some = counts > 0
    steps = np.arange(len(counts))
    return np.asarray(np.interp(steps, steps[some], sums[some] / counts[some]))
