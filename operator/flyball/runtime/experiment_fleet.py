"""Whom the arms of an experiment are made of, by what is declared now, and whether it can start with these."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from flyball.core.evidence.experiment import Arm, Design, Guard, Metric, Plan
from flyball.core.evidence.experiment_sources import Unfit
from flyball.core.names import WorkloadKey
from flyball.core.spec import WorkloadSpec
from flyball.runtime.experiment_blocks import Members


@dataclass(frozen=True, slots=True)
class Fleet:
    """The workloads of a tick by name, with their labels."""

    specs: Mapping[WorkloadKey, WorkloadSpec]
    labels: Mapping[WorkloadKey, Mapping[str, str]]

    def members(self, plan: Plan) -> Members:
        """Whom both arms of an experiment are made of."""
        return Members(*(self._of(plan, arm) for arm in (Arm.BASELINE, Arm.TREATMENT)))

    def guards(self, plan: Plan) -> tuple[Guard, ...]:
        """The guards with the targets that the treatment's workloads declare: the strictest where they differ."""
        found = []
        for name in plan.guards:
            targets = [
                objective.target
                for key, _ in self._of(plan, Arm.TREATMENT)
                for objective in self.specs[key].objectives
                if objective.name == name
            ]
            found += [Guard(name, max(targets))] if targets else []
        return tuple(found)

    def specs_by_arm(self, plan: Plan) -> dict[Arm, list[WorkloadSpec]]:
        """What the workloads of both arms declare."""
        members = self.members(plan)
        return {arm: [self.specs[key] for key in members.keys(arm)] for arm in Arm}

    def _of(self, plan: Plan, arm: Arm) -> tuple[tuple[WorkloadKey, str], ...]:
        source = plan.source(arm)
        return tuple(
            (key, spec.uid)
            for key, spec in sorted(self.specs.items())
            if key.namespace == plan.key.namespace and source.concerns(key.name, self.labels.get(key, {}))
        )


def check(plan: Plan, fleet: Fleet) -> None:
    """Raise Unfit where an experiment cannot start as it is."""
    members = fleet.members(plan)
    for arm, found in ((Arm.BASELINE, members.baseline), (Arm.TREATMENT, members.treatment)):
        field_ = f"spec.{str(arm).lower()}"
        if not found:
            raise Unfit("NoWorkload", f"{field_} means no valid WorkloadSLO of this namespace; correct it")
        names = {variant.name for key, _ in found for variant in fleet.specs[key].variants}
        missing = [name for name in plan.source(arm).targets if name not in names]
        if missing:
            text = f"{field_}.targets: none of its WorkloadSLOs has a target {missing[0]}; it has {sorted(names)}"
            raise Unfit("TargetMissing", text)
    if plan.design is Design.SIDE_BY_SIDE and plan.baseline == plan.treatment:
        raise Unfit("SameArms", "both arms are the same; name other workloads or targets in one of them")
    known = {guard.objective for guard in fleet.guards(replace(plan, guards=(*plan.guards, plan.objective)))}
    wanted = {*plan.guards, *((plan.objective,) if plan.metric is Metric.MISSED_REQUESTS else ())}
    if wanted - known:
        text = f"no WorkloadSLO of the treatment has an objective {min(wanted - known)}; correct its name"
        raise Unfit("ObjectiveMissing", text)
