"""The sentences of a size's causes, with their numbers: what arrives, what one replica carries, what the GPUs do."""

from flyball.core.decision import Cause
from flyball.core.fleet.sizing import VariantPlan
from flyball.core.traffic.demand import Situation
from flyball.core.units import format_duration


def demand_cause(situation: Situation, insured: float, drain: float) -> Cause:
    """Why the demand needs what it needs: arrivals, outlook, queue and capacity in requests/s."""
    capacity = next(c for c in situation.capacities if c)
    demand = situation.demand or 0.0
    expected = situation.outlook.mean if situation.outlook else demand
    text = f"{demand:.2f} requests/s arrive"
    if drain > 0:
        text += f" and {situation.waiting:.0f} wait"
    text += f"; in {format_duration(round(situation.lead_seconds))} {expected:.2f} are expected, up to {insured:.2f}"
    measured = "" if capacity.confident else ", not measured yet"
    text += f"; one replica carries {capacity.requests_per_second:.2f} (bound by {capacity.bound}{measured})"
    numbers = (
        ("arrivals_per_second", demand),
        ("waiting", situation.waiting),
        ("expected_per_second", expected),
        ("insured_per_second", insured),
        ("capacity_per_replica", capacity.requests_per_second),
        ("price_of_miss", situation.price),
    )
    return Cause("Demand", text, numbers)


def spot_cause(plan: VariantPlan) -> Cause:
    """Why more replicas on spot capacity are wanted than would carry the demand."""
    name, risk = plan.variant.name, plan.risk
    text = f"of {name}, on spot capacity, {risk:.1%} are expected to be reclaimed and starting again at any time"
    return Cause("SpotRisk", text, (("risk", risk),))


def starved_text(situation: Situation) -> str:
    """Why no GPU is added although requests wait."""
    return (
        f"requests wait while the GPUs do not work ({gpu_text(situation)}): something else is short (CPU, network, "
        "tokenizer, a hung engine), and another GPU would not help"
    )


def gpu_text(situation: Situation) -> str:
    """The numbers of the GPU verdict in words."""
    gpu = situation.gpu
    parts = []
    if gpu.utilization is not None:
        parts.append(f"{gpu.utilization:.0%} busy")
    if gpu.waiting is not None:
        parts.append(f"{gpu.waiting:.1f} waiting per replica")
    if gpu.kv_cache_usage is not None:
        parts.append(f"KV cache {gpu.kv_cache_usage:.0%}")
    if gpu.tokens is not None and gpu.knee_tokens is not None:
        parts.append(f"{gpu.tokens:.0f} of {gpu.knee_tokens:.0f} tokens/s per GPU")
    return ", ".join(parts) or "GPU metrics unknown"
