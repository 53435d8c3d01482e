"""From a declared gateway to the histograms that its objectives are counted from. Pure.

What users wait for is the whole request, so that EndToEnd is the gateway's. The other latencies are the engine's, and
the gateway's only where the engine has none, or where an objective is about a segment, of which engines know nothing.
The wait in a gateway's queue is told by segment in any case, where the traffic is split.
What users name themselves, in `latencies` or `overrides`, stays.
"""

from collections.abc import Iterable
from dataclasses import replace

from flyball.core.names import Indicator
from flyball.core.service.latency import LatencySource
from flyball.core.spec import WorkloadSpec
from flyball.telemetry.profiles import GATEWAYS, EngineProfile

MEASURED_AT_GATEWAYS = (Indicator.TIME_TO_FIRST_TOKEN, Indicator.END_TO_END, Indicator.QUEUE_TIME)


def with_gateway(spec: WorkloadSpec, engines: Iterable[EngineProfile | None]) -> WorkloadSpec:
    """The workload with the latencies that its gateway measures, given the profiles of the engines that it runs."""
    source = spec.telemetry
    profile = GATEWAYS.get(source.gateway)
    if profile is None:
        return spec
    own = {*(indicator for indicator, _ in source.latencies), *(name for name, _ in source.overrides)}
    measured = [set(engine.latencies) if engine else set() for engine in engines]
    added, only_split = [], []
    for indicator in MEASURED_AT_GATEWAYS:
        histograms = profile.latencies.get(indicator, ())
        split = any(o.indicator is indicator and o.segment for o in spec.objectives)
        engines_do = all(indicator in each for each in measured)
        by_engine = engines_do and not split and indicator is not Indicator.END_TO_END
        if not histograms or indicator in own:
            continue
        names = tuple((name, histogram.scale) for histogram in histograms for name in histogram.names)
        found = indicator, LatencySource(names, source.gateway_selector)
        if not by_engine:
            added.append(found)
        elif indicator is Indicator.QUEUE_TIME:
            only_split.append(found)
    if not added and not only_split:
        return spec
    latencies = (*source.latencies, *added)
    return replace(spec, telemetry=replace(source, latencies=latencies, only_split=tuple(only_split)))
