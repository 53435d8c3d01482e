"""A fleet that is never scaled."""

from collections.abc import Mapping

from flyball.lab.policies.model import Setting, View


class Static:
    """A constant count: the initial one, or `replicas` of the first variant beside the others' initial ones."""

    name = "static"
    period_seconds = 60.0
    collector_seconds: float | None = None

    def __init__(self, setting: Setting, *, replicas: int | None = None) -> None:
        self._replicas = dict(enumerate(setting.initial_replicas))
        if replicas is not None:
            self._replicas[0] = replicas

    def decide(self, view: View) -> Mapping[int, int]:
        return {variant: self._replicas[variant] for variant in range(len(view.counts))}
