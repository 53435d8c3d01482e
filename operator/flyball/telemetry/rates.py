"""The rates of one workload's targets, each summed once however many signals are made of it. Pure."""

from collections.abc import Iterable, Mapping

from flyball.core.observation import Reading, SignalState
from flyball.core.spec import Variant, WorkloadSpec
from flyball.telemetry import queries
from flyball.telemetry.answers import Table
from flyball.telemetry.freshness import total
from flyball.telemetry.profiles import EngineProfile


def lacking_rates(workloads: Iterable[WorkloadSpec], profile: EngineProfile, first: Mapping[str, Table]) -> bool:
    """Whether the pods of some workload do not export what `queries.RATES` names where the profile knows more."""
    named = [f"{queries.DECODE}_sum"] if profile.decode_seconds and profile.seconds_per_output_token else []
    named += [queries.cached(0, "part")] if len(profile.cached_prompt_share) > 1 else []
    return any(
        first[queries.GAUGES].of_workload(spec, queries.SAMPLED_AT)
        and not all(first[queries.RATES].of_workload(spec, part) for part in named)
        for spec in workloads
    )


class Rates:
    """Rates per second over the rate window, by part. `first` are the answers over that window, by query name."""

    __slots__ = ("_found", "_spec", "_tables")

    def __init__(self, spec: WorkloadSpec, first: Mapping[str, Table]) -> None:
        self._spec = spec
        self._tables = [first[name] for name in (queries.RATES, queries.LATER_RATES) if name in first]
        self._found: dict[tuple[str, str], Reading] = {}

    def of(self, variant: Variant, part: str) -> Reading:
        """That of one target's pods."""
        place = variant.name, part
        if place not in self._found:
            rows = (row for table in self._tables for row in table.of_variant(self._spec, variant, part))
            self._found[place] = total(row.value for row in rows)
        return self._found[place]

    def whole(self, part: str) -> Reading:
        """That of all targets."""
        found = [self.of(variant, part) for variant in self._spec.variants]
        there = [reading for reading in found if reading.state is not SignalState.ABSENT]
        return total(reading.value for reading in there)
