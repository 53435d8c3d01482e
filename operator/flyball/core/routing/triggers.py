"""Why traffic should overflow to the fallback: what the triggers of a WorkloadSLO see in one tick.

A fallback serves what replicas cannot. So a shortage of GPUs moves traffic only once users feel it: while what serves
still carries what arrives, a pod that waits for a GPU is one for later.
"""

from flyball.core.decision import ObjectiveReport
from flyball.core.fleet.staffing import Sizing
from flyball.core.money.pacing import PERIOD_WORDS
from flyball.core.names import Enforcement, GpuVerdict
from flyball.core.observation import Observation
from flyball.core.routing.fallback import primary_down
from flyball.core.service import slo
from flyball.core.spec import WorkloadSpec
from flyball.core.traffic.demand import Situation
from flyball.core.units import conjoin, counted


def trigger(
    spec: WorkloadSpec,
    observation: Observation,
    situation: Situation,
    objectives: tuple[ObjectiveReport, ...],
    sizing: Sizing,
) -> str:
    """Why traffic should overflow, in a sentence; empty where it need not. Bad telemetry moves no traffic."""
    declared = spec.fallback
    if declared is None or observation.state.problem:
        return ""
    if primary_down(observation.state.routes):
        return "the primary backend has no ready endpoint"
    if situation.trust.problem:
        return ""
    ceiling = spec.ceiling(sizing.now.by_ceiling) if declared.on_ceiling and sizing.now.by_ceiling else None
    enough = measured(situation, sizing) and sizing.missing == 0
    if ceiling is not None and ceiling.enforcement is Enforcement.FALLBACK and not enough:
        return f"the {PERIOD_WORDS[ceiling.period]} ceiling allows {_needed(sizing)}"
    if declared.on_capacity and (short := _short_of_capacity(observation, situation, sizing)):
        return short
    breached = [o.name for o in objectives if o.state == slo.BREACHED and not o.elsewhere]
    if declared.on_objectives and breached:
        return f"{conjoin(breached)} {'is' if len(breached) == 1 else 'are'} breached"
    return ""


def _short_of_capacity(observation: Observation, situation: Situation, sizing: Sizing) -> str:
    """Why no more replicas can be had although they are needed now."""
    overloaded = _overloaded(situation, sizing)
    if not overloaded:
        return ""
    lacking = sum(variant.unschedulable for variant in observation.state.variants)
    if lacking:
        return f"{overloaded} and {counted(lacking, 'pod')} cannot be placed on any GPU"
    if observation.gpus_short:
        return f"{overloaded} and {observation.gpus_short}"
    if sizing.now.wanted > sizing.now.allowed:
        return f"{overloaded} and maxReplicas allows {_needed(sizing)}"
    return ""


def _overloaded(situation: Situation, sizing: Sizing) -> str:
    """How it shows that what serves does not carry what arrives; empty where it does, or where nobody can know.

    A capacity counts once it was measured: a guess moves no traffic.
    """
    if situation.gpu.verdict is GpuVerdict.SATURATED:
        return "the GPUs are saturated"
    if measured(situation, sizing) and situation.demand is not None and not sizing.carries_all:
        return f"{situation.demand:.2f} requests/s arrive, more than what serves carries"
    return ""


def measured(situation: Situation, sizing: Sizing) -> bool:
    """Whether what each replica that serves can carry was measured."""
    serving = [c for v, c in zip(sizing.variants, situation.capacities, strict=True) if v.ready]
    return bool(serving) and all(c is not None and c.confident for c in serving)


def _needed(sizing: Sizing) -> str:
    return f"{sizing.now.allowed} of the {counted(sizing.now.wanted, 'replica')} needed"
