"""Flyball's own policy: the operator's decision core, unchanged, on the signals that the operator would read."""

from collections.abc import Mapping

from flyball.core.decide import decide
from flyball.core.memory import Memory
from flyball.core.names import Indicator, Mode, Precedence, WorkloadKey
from flyball.core.spec import EnginePrior, Objective, Scaling, TargetRef, ToZero, Variant, WorkloadSpec
from flyball.core.traffic.forecast import LEVELS
from flyball.lab.fleet.model import FleetVariant
from flyball.lab.observe import LabTelemetry, observe
from flyball.lab.policies.model import Setting, View

OBJECTIVE_WINDOW_SECONDS = 3600.0
TICK_SECONDS = 15.0
# Where a scenario lets all replicas go: what KEDA's users wait by default before the last one goes.
IDLE_AFTER_SECONDS = 300.0


class Flyball:
    """A WorkloadSLO governed as it declares: it reads the scenario's scrapes and decides every `period_seconds`."""

    name = "flyball"
    collector_seconds: float | None = None

    def __init__(self, spec: WorkloadSpec, period_seconds: float = TICK_SECONDS) -> None:
        self.spec = spec
        self.period_seconds = period_seconds
        self.memory = Memory()
        self._telemetry = LabTelemetry(spec)

    def decide(self, view: View) -> Mapping[int, int]:
        seen = observe(self.spec, self._telemetry, view.history, view.counts)
        decision, self.memory = decide(self.spec, seen, self.memory)
        return {index: decided.desired for index, decided in enumerate(decision.variants)}


def build(setting: Setting, knobs: Mapping[str, float | str | bool | None]) -> Flyball:
    """The policy on the WorkloadSLO that declares the scenario. Raises ValueError for an unknown knob.

    `maxInsurance` caps the quantile that is staffed for; `priorScale` multiplies the engine prior's times, to begin
    from a wrong one; `idleAfter` are the seconds for which nobody must have asked before the last replica goes, where
    the scenario lets all of them go; `period_seconds` is the tick.
    """
    values = {
        "maxInsurance": LEVELS[-1],
        "priorScale": 1.0,
        "idleAfter": IDLE_AFTER_SECONDS,
        "period_seconds": TICK_SECONDS,
    }
    if unknown := set(knobs) - set(values):
        raise ValueError(f"flyball has no knob {', '.join(sorted(unknown))}; it has {', '.join(sorted(values))}")
    values |= {name: float(value) for name, value in knobs.items() if value is not None}
    empty = not any(variant.min_replicas for variant in setting.variants)
    to_zero = ToZero(values["idleAfter"], query="the gateway's arrivals and queue") if empty else None
    scaling = Scaling(max_insurance=values["maxInsurance"], to_zero=to_zero)
    spec = _spec(setting, scaling, values["priorScale"])
    return Flyball(spec, values["period_seconds"])


def _spec(setting: Setting, scaling: Scaling, prior_scale: float) -> WorkloadSpec:
    """The WorkloadSLO that declares the scenario."""
    return WorkloadSpec(
        key=WorkloadKey("lab", "workload"),
        uid="lab",
        generation=1,
        workload_type="Assistant",
        mode=Mode.AUTO,
        precedence=Precedence.SLO,
        priority=0,
        variants=tuple(_variant(variant, prior_scale) for variant in setting.variants),
        objectives=tuple(
            Objective(o.indicator, Indicator(o.indicator), o.threshold_seconds, o.target, OBJECTIVE_WINDOW_SECONDS)
            for o in setting.objectives
        ),
        scaling=scaling,
    )


def _variant(variant: FleetVariant, prior_scale: float) -> Variant:
    engine = variant.engine
    prior = EnginePrior(
        base_seconds=engine.base_ms / 1000 * prior_scale,
        per_sequence_seconds=engine.per_sequence_ms / 1000 * prior_scale,
        per_context_token_seconds=engine.per_context_token_ms / 1000 * prior_scale,
        per_prefill_token_seconds=engine.per_prefill_token_ms / 1000 * prior_scale,
        kv_cache_tokens=engine.kv_tokens,
        max_sequences=engine.max_batch,
    )
    return Variant(
        variant.name,
        TargetRef("apps/v1", "Deployment", variant.name),
        variant.min_replicas,
        variant.max_replicas,
        accelerator=variant.name,
        gpus_per_replica=variant.gpus_per_replica,
        price_per_gpu_hour=variant.price_per_gpu_hour,
        price_source="scenario",
        startup_seconds=variant.startup_seconds,
        engine=prior,
        spot=variant.reclaim_mean_seconds is not None,
    )
