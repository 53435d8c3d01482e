"""Who governs each target, where several WorkloadSLOs name it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from flyball.core.names import WorkloadKey
from flyball.core.observation import WorkloadState
from flyball.core.spec import TargetRef, WorkloadSpec

Claims = Mapping[tuple[str, TargetRef], WorkloadKey]
"""Who governs each target, by namespace and target."""


def claims_of(specs: Sequence[WorkloadSpec]) -> dict[tuple[str, TargetRef], WorkloadKey]:
    """Who governs each target: the oldest of those that claim it."""
    claims: dict[tuple[str, TargetRef], WorkloadKey] = {}
    for spec in specs:
        for variant in spec.variants:
            claims.setdefault((spec.key.namespace, variant.target), spec.key)
    return claims


def contended(spec: WorkloadSpec, state: WorkloadState, claims: Claims) -> WorkloadState:
    """The state in which targets that an older WorkloadSLO governs are contended."""
    owners = {v.name: claims[spec.key.namespace, v.target] for v in spec.variants}
    variants = tuple(
        replace(found, contender=f"WorkloadSLO/{owners[found.name].name}")
        if owners.get(found.name, spec.key) != spec.key
        else found
        for found in state.variants
    )
    return replace(state, variants=variants)
