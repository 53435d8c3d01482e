"""Who plays a recorded past: Flyball as its manifest declares it, and the replicas that really ran."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from flyball.core.names import Mode
from flyball.core.spec import WorkloadSpec
from flyball.lab.fleet.model import FleetVariant
from flyball.lab.policies.flyball import TICK_SECONDS, Flyball
from flyball.lab.policies.model import View

Watch = Callable[[float], None]
"""Told how far a run has come, in seconds of the past."""


class Recommended(Flyball):
    """The operator's own decision with the user's own manifest; no route is moved and no other autoscaler stands by."""

    def __init__(self, spec: WorkloadSpec, fleet: tuple[FleetVariant, ...], watch: Watch) -> None:
        variants = tuple(
            replace(variant, startup_seconds=one.startup_seconds, gpus_per_replica=one.gpus_per_replica)
            for variant, one in zip(spec.variants, fleet, strict=True)
        )
        super().__init__(replace(spec, mode=Mode.AUTO, fallback=None, variants=variants))
        self._watch = watch

    def decide(self, view: View) -> Mapping[int, int]:
        """What a tick would write."""
        self._watch(view.now)
        return super().decide(view)


class AsItRan:
    """Replicas as they were measured, one row per variant and one column per step; each ordered so long before it was
    ready as a start takes.
    """

    name = "as it ran"
    period_seconds = TICK_SECONDS
    collector_seconds: float | None = None

    def __init__(
        self,
        replicas: npt.NDArray[np.float64],
        step_seconds: float,
        fleet: tuple[FleetVariant, ...],
        watch: Watch,
    ) -> None:
        self._replicas = replicas
        self._step_seconds = step_seconds
        self._fleet = fleet
        self._watch = watch

    def decide(self, view: View) -> Mapping[int, int]:
        """The larger of what ran now and what ran a start later."""
        self._watch(view.now)
        wanted = {}
        for index, variant in enumerate(self._fleet):
            now, later = self._at(index, view.now), self._at(index, view.now + variant.startup_seconds)
            if not math.isnan(now):
                wanted[index] = int(now if math.isnan(later) else max(now, later))
        return wanted

    def _at(self, variant: int, at: float) -> float:
        row = self._replicas[variant]
        return float(row[min(len(row) - 1, int(at // self._step_seconds))])
