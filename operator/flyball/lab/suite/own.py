"""Flyball as a run plays it, and what a run shows of its learning: forecast coverage and the model's error."""

from collections.abc import Mapping, Sequence

from flyball.core.fleet.capacity import start_fit
from flyball.core.traffic.forecast import coverage
from flyball.lab.policies.flyball import Flyball, build
from flyball.lab.policies.model import Setting, View
from flyball.lab.scenario import Scenario
from flyball.lab.suite.results import Knob

MODEL_SECONDS = 1800.0
NOMINAL = (0.5, 0.9)


class Watched:
    """Flyball, with a look at its capacity model after half an hour."""

    name = "flyball"
    collector_seconds: float | None = None

    def __init__(self, scenario: Scenario, setting: Setting, knobs: Mapping[str, Knob]) -> None:
        own = {"priorScale": 1 / scenario.prior_factor, "period_seconds": scenario.tick_seconds}
        self._flyball = build(setting, {**own, **knobs})
        self._truth = build(setting, {})
        self._batches = setting.concurrency_per_replica
        self.model_error: float | None = None

    @property
    def period_seconds(self) -> float:
        return self._flyball.period_seconds

    def decide(self, view: View) -> Mapping[int, int]:
        wanted = self._flyball.decide(view)
        if self.model_error is None and view.now >= MODEL_SECONDS:
            self.model_error = model_error(self._flyball, self._truth, self._batches)
        return wanted

    @property
    def coverage(self) -> dict[str, float]:
        """The share of forecasts that the nominal quantiles were not exceeded by; empty before any came due."""
        forecast = self._flyball.memory.forecast
        covered = coverage(forecast) if forecast is not None else ()
        return {f"{level:g}": share for level, share in covered if level in NOMINAL}


def model_error(flyball: Flyball, truth: Flyball, batches: Sequence[float]) -> float | None:
    """How far the fitted time of an output token is from the engine's own, relative, for the requests seen so far at
    the batch that a replica just carries; the worst of the variants. None before anything was fitted.
    """
    shape, errors = flyball.memory.shape, []
    for variant, batch in zip(truth.spec.variants, batches, strict=True):
        fit = flyball.memory.variant(variant.name).fit
        if shape is None or fit is None:
            return None
        regressors = shape.regressors(max(batch, 1.0))
        errors.append(abs(float(regressors @ fit.terms) / float(regressors @ start_fit(variant.engine).terms) - 1))
    return max(errors)
