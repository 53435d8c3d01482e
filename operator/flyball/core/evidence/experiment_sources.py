"""Whose outcomes count for which arm of an experiment: found once, when it is registered, and kept with it.

In a switchback all traffic of a block goes to one arm, so that what all workloads of both arms report of the block's
time is that arm's: whoever reports need not know who answered. Elsewhere an arm's outcomes are those of its own
workloads, or of a KPI of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field

from flyball.core.evidence.experiment import Arm, Design, Metric, Plan
from flyball.core.evidence.experiment_kpi import Defined, Definitions
from flyball.core.names import WorkloadKey
from flyball.core.spec import WorkloadSpec
from flyball.core.value.kpi import Guard, Kpi
from flyball.core.values import dataclass


@dataclass(frozen=True, slots=True)
class KpiSource:
    """A KPI of a workload, with the query that it is read by (empty: it is pushed)."""

    workload: WorkloadKey
    kpi: str
    query: str = ""


@dataclass(frozen=True, slots=True)
class KpiPlan:
    """What KPIs of an experiment mean, and for each arm and KPI where its outcomes come from."""

    known: Definitions = field(default_factory=dict)
    sources: Mapping[tuple[Arm, str], tuple[KpiSource, ...]] = field(default_factory=dict)


class Unfit(ValueError):
    """Why an experiment cannot start as it is: a reason in CamelCase, and a sentence with the field and the fix."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def kpi_plan(plan: Plan, members: Mapping[Arm, Sequence[WorkloadSpec]]) -> KpiPlan:
    """The KPIs of an experiment as its members declare them. Raises Unfit."""
    known: dict[str, Defined] = {}
    sources: dict[tuple[Arm, str], tuple[KpiSource, ...]] = {}
    wanted = [(plan.kpi, "spec.hypothesis.kpi")] if plan.metric is Metric.KPI else []
    wanted += [(each.kpi, "spec.kpiGuards") for each in plan.kpi_guards]
    for name, field_ in wanted:
        _add(plan, members, name, field_, known, sources)
    if plan.metric is not Metric.KPI:
        return KpiPlan(known, sources)
    guard = known[plan.kpi].guard
    if guard is not None and not guard.kpi:
        text = f"guard {guard.name} of KPI {plan.kpi} is a query, which tells no block from another; give it a kpi"
        raise Unfit("GuardUnfit", text)
    if guard is not None:
        _add(plan, members, guard.kpi, f"guard {guard.name}", known, sources)
    if plan.points and known[plan.kpi].minutes:
        raise Unfit("ClaimUnfit", f"spec.hypothesis.by: KPI {plan.kpi} is minutes, not a share; write a percentage")
    return KpiPlan(known, sources)


def changed(before: KpiPlan, members: Mapping[Arm, Sequence[WorkloadSpec]]) -> str:
    """Which KPI is no longer what was registered; empty where none. One that is not there now may come back."""
    specs = {spec.key: spec for found in members.values() for spec in found}
    for (_, name), sources in before.sources.items():
        for source in sources:
            spec = specs.get(source.workload)
            kpi = _kpi(spec, source.kpi) if spec else None
            if spec and kpi and (_defined(spec, kpi) != before.known[name] or kpi.query != source.query):
                return f"KPI {source.kpi} of {source.workload} is no longer what was registered"
    return ""


def _add(
    plan: Plan,
    members: Mapping[Arm, Sequence[WorkloadSpec]],
    name: str,
    field_: str,
    known: dict[str, Defined],
    sources: dict[tuple[Arm, str], tuple[KpiSource, ...]],
) -> None:
    """Add a KPI under its name, unless it is there."""
    for arm in Arm:
        own = plan.source(arm).kpi if name == plan.kpi else ""
        arms = tuple(Arm) if plan.design is Design.SWITCHBACK else (arm,)
        found = {
            KpiSource(spec.key, kpi.name, kpi.query): _defined(spec, kpi)
            for each in arms
            for spec in members[each]
            if (kpi := _kpi(spec, own or name))
        }
        if not found:
            text = f"{field_}: no WorkloadSLO of the {str(arm).lower()} declares KPI {own or name} in spec.value.kpis"
            raise Unfit("KpiMissing", f"{text}; declare it there, or correct the name")
        for source, defined in found.items():
            if known.setdefault(name, defined) != defined:
                text = f"{field_}: KPI {source.kpi} of {source.workload} has another kind or guard than in other arms"
                raise Unfit("KpiDiffers", f"{text}; declare it alike")
        sources[arm, name] = tuple(found)
    both = set(sources[Arm.BASELINE, name]) & set(sources[Arm.TREATMENT, name])
    if both and plan.design is Design.SIDE_BY_SIDE:
        text = f"{field_}: both arms count the outcomes of KPI {name} of {min(each.workload for each in both)}"
        raise Unfit("SameKpi", f"{text}; give each arm a kpi of its own, such as one by a label of its query")


def _kpi(spec: WorkloadSpec, name: str) -> Kpi | None:
    return next((kpi for kpi in spec.value.kpis if kpi.name == name), None)


def _defined(spec: WorkloadSpec, kpi: Kpi) -> Defined:
    guards: dict[str, Guard] = {guard.name: guard for guard in spec.value.guards}
    return Defined(kpi.kind, guards.get(kpi.guard))
