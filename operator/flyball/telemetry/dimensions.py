"""Words for what traffic is split by, and the labels that mean it: those of gateways' profiles, and the plain ones."""

from collections.abc import Mapping
from types import MappingProxyType

from flyball.telemetry.profiles import GATEWAYS

_PLAIN: Mapping[str, tuple[str, ...]] = {
    "model": ("model", "model_name"),
    "tenant": ("tenant", "tenant_id", "customer"),
    "template": ("template", "prompt_template"),
    "route": ("route",),
    "tier": ("tier",),
    "version": ("version", "deployment_version"),
}

DIMENSIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        word: tuple(
            dict.fromkeys((*labels, *(name for each in GATEWAYS.values() for name in each.segments.get(word, ()))))
        )
        for word, labels in _PLAIN.items()
    }
)


ROUTES = (*DIMENSIONS["route"], *DIMENSIONS["version"])
"""The labels that tell the routes and versions of a workload apart."""


def labels_of(by: str) -> tuple[str, ...]:
    """The labels that a word means, the first counting where there are several; of any other word the label itself."""
    return DIMENSIONS.get(by, (by,))
