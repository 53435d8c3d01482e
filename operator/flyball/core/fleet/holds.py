"""What steadiness leaves of needs: they are remembered for their holds, and a change waits until it is worth it."""

from flyball.core.decision import Cause
from flyball.core.fleet.case import Case
from flyball.core.fleet.economics import Stakes
from flyball.core.fleet.patience import ripe
from flyball.core.fleet.sizing import (
    Needs,
    VariantPlan,
    choices_among,
    hold_seconds,
    remember_need,
    startup_seconds,
    steadied,
)
from flyball.core.memory import Foregone, Memory
from flyball.core.names import GpuVerdict
from flyball.core.units import counted
from flyball.core.values import replace


def remembered(case: Case, plan: VariantPlan, need: int, memory: Memory) -> Needs:
    """The variant's needs within its holds. What ran before the first look was needed then, for all that is known."""
    if plan.fixed or case.observation.state.problem:
        return ()
    at = case.observation.at
    known = memory.variant(plan.variant.name).needs or ((at - 1e-3, plan.state.replicas),)
    return remember_need(known, at, need, max(_down_hold(case, plan), case.spec.scaling.up_stabilization_seconds))


def steady(case: Case, plan: VariantPlan, needs: Needs) -> int:
    """The count that the needs within the holds justify."""
    if not needs:
        return plan.state.replicas
    up_hold = case.spec.scaling.up_stabilization_seconds
    found = steadied(needs, plan.state.replicas, _down_hold(case, plan), up_hold)
    # Before a forecast has come due once, nothing is known of how fast this load rises again.
    return found if case.situation.foreseen else max(found, plan.state.replicas)


def hold_cause(case: Case, plan: VariantPlan, needs: dict[str, int], steady: dict[str, int]) -> list[Cause]:
    """Why replicas that are not needed now stay."""
    name = plan.variant.name
    if plan.fixed or case.observation.state.problem or not needs[name] < steady[name] <= plan.state.replicas:
        return []
    were = "was" if steady[name] == 1 else "were"
    text = f"{counted(steady[name], 'replica')} {were} needed within the last {_down_hold(case, plan):.0f} s; "
    return [Cause("Stabilizing", f"{text}waiting it out")]


def patient(
    case: Case, stakes: Stakes | None, steady: dict[str, int], memory: Memory
) -> tuple[Memory, dict[str, int], list[Cause]]:
    """The steadied counts, or those that run where the change is not worth making yet; and the reason then."""
    running = {p.variant.name: p.state.replicas for p in case.plans}
    raised = any(not p.fixed and p.state.replicas < p.variant.min_replicas for p in case.plans)
    choices, stakes = choices_among(case.plans, stakes) if stakes and steady != running else ([], None)
    if stakes is None or not choices or raised:
        return replace(memory, foregone=Foregone()), steady, []
    window = case.observation.signals.window_seconds
    worth, foregone = ripe(choices, stakes, steady, case.observation.at, window, memory.foregone)
    memory = replace(memory, foregone=foregone)
    if worth:
        return memory, steady, []
    return memory, running, [Cause("NotWorthAChange", "what another count would gain is not worth a change yet")]


def _down_hold(case: Case, plan: VariantPlan) -> float:
    startup = startup_seconds(plan.variant, plan.state)
    idle = case.situation.gpu.verdict is GpuVerdict.IDLE
    return hold_seconds(case.spec.scaling.down_stabilization_seconds, startup, idle)
