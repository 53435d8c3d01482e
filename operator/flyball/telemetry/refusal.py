"""Which workloads cannot be asked for, whatever Prometheus has: they name what no query could. Pure."""

from flyball.core.spec import WorkloadSpec
from flyball.telemetry import overrides
from flyball.telemetry.profiles import CUSTOM, ENGINES
from flyball.telemetry.promql import usable_label


def refusal(spec: WorkloadSpec) -> str:
    """Why a workload cannot be asked for, in a sentence; empty where it can."""
    source = spec.telemetry
    if source.engine and source.engine not in ENGINES and source.engine != CUSTOM:
        known = ", ".join((*ENGINES, CUSTOM))
        return f"telemetry.engine {source.engine} has no profile; use one of {known} (the last with overrides)"
    selected = (("selector", source.selector), ("gatewaySelector", source.gateway_selector))
    for field, name in ((field, name) for field, pairs in selected for name, _ in pairs):
        if not usable_label(name):
            return f"telemetry.{field}: {name!r} cannot select series; use a label that they carry, such as model_name"
    for name, _ in source.overrides:
        if name not in overrides.NAMES:
            return f"telemetry.overrides: {name!r} is no signal; use one of {', '.join(overrides.NAMES)}"
    return ""
