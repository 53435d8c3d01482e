"""Series from the lab: its rivals play generated traffic on a simulated fleet, and what each of them read is kept.

The fleets have what makes the rules differ: replicas that load, fail to start, wait for a GPU or are reclaimed, scrapes
that are lost for longer than Prometheus looks back, requests held at the gateway, variants that share traffic, and
fleets that sleep.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from e2e.rivals.manifests import Json, Series, annotations_of, flags_of, manifest_of, reading_of, scaled_object_of

from flyball.lab.play import Game, play
from flyball.lab.policies.hpa import SYNC_SECONDS, Hpa, scale_of
from flyball.lab.policies.keda import Executor
from flyball.lab.policies.kpa import Revision
from flyball.lab.policies.model import Setting
from flyball.lab.policies.registry import build
from flyball.lab.scenario import parse_scenario

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from flyball.lab.policies.hpa_metrics import Metric
    from flyball.lab.policies.keda import Activation
    from flyball.lab.policies.kpa import KpaOptions

_Calls = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Fleet:
    """One scenario's fields beside its traffic and policies. The load that a replica takes is declared, not measured:
    any will do for the series.
    """

    trace: str
    variants: Sequence[Mapping[str, Any]]
    initial: tuple[int, ...]
    concurrency: float = 24.0
    fields: Mapping[str, Any] = field(default_factory=dict)


def _variant(name: str = "a100", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "engine": "a100_8b",
        "startup": "2m",
        "startupJitter": 0.2,
        "pricePerGpuHour": "1.80",
        "minReplicas": 1,
        "maxReplicas": 40,
    } | changes


FLEETS: Mapping[str, Fleet] = {
    "bursts": Fleet("generate:code?rate=8&duration=60m&burst=0.9&window=120s&seed=3", [_variant()], (3,)),
    "steps-and-lost-scrapes": Fleet(
        "generate:conversation?rate=6&duration=60m&step=15m:5&step=40m:0.3&burst=0.3&seed=5",
        [_variant(maxReplicas=12)],
        (2,),
        fields={"failures": {"scrapeGaps": [{"start": "18m", "duration": "7m"}, {"start": "50m", "duration": "90s"}]}},
    ),
    "restarts-and-short-of-gpus": Fleet(
        "generate:conversation?rate=10&duration=60m&ramp=10m-35m:4&burst=0.5&seed=7",
        [_variant(startup="90s", minReplicas=2)],
        (4,),
        fields={"gpus": 9, "failures": {"failedStartShare": 0.2, "reclaimMean": "12m"}},
    ),
    "two-kinds-and-sleep": Fleet(
        "generate:conversation?rate=0.3&duration=80m&step=12m:0&step=40m:30&step=60m:0.01&burst=0.6&seed=11",
        [_variant(minReplicas=0), _variant("l4", engine="l4_8b", startup="40s", minReplicas=0)],
        (1, 1),
        concurrency=9.0,
        fields={"gatewayQueue": True},
    ),
}

POLICIES: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("hpa-gpu", {}),
    ("hpa-queue", {"stabilization_seconds": 60.0}),
    ("keda-concurrency", {}),
    ("llmd-keda", {}),
    ("llmd-queue", {}),
    ("wva-fixed", {}),
    ("kpa", {}),
    ("kpa", {"stable_seconds": 180.0, "scale_down_delay_seconds": 300.0}),
)


def recorded() -> Iterator[tuple[str, Series]]:
    """Every rival's series of every fleet, each with the name of the program that replays it."""
    for fleet_name, fleet in FLEETS.items():
        for policy, knobs in POLICIES:
            settings = "".join(f" {knob}={value:g}" for knob, value in knobs.items())
            for index, (rival, series) in enumerate(_listened(fleet, policy, knobs)):
                yield rival, {"name": f"{fleet_name}: {policy}{settings} {index}"} | series


def _listened(fleet: Fleet, policy: str, knobs: Mapping[str, Any]) -> Iterator[tuple[str, Series]]:
    with (
        _heard(Hpa, "step") as steps,
        _heard(Revision, "record") as reports,
        _heard(Revision, "want") as ticks,
        _heard(Executor, "poll") as polls,
    ):
        _play(fleet, policy, knobs)
    for hpa, calls in steps.items():
        yield "hpa", _autoscaler(hpa, calls)
    for revision, calls in ticks.items():
        yield "kpa", _revision(revision.options, reports.get(revision, []), calls)
    for executor, calls in polls.items():
        yield "keda", _scaled_object(executor.activation, calls)


def _play(fleet: Fleet, policy: str, knobs: Mapping[str, Any]) -> None:
    document = {
        "name": "recorded",
        "trace": {"path": fleet.trace},
        "variants": list(fleet.variants),
        "objectives": [
            {"indicator": "TimeToFirstToken", "threshold": "2s", "target": "95%"},
            {"indicator": "InterTokenLatency", "threshold": "100ms", "target": "95%"},
        ],
        **fleet.fields,
    }
    scenario = parse_scenario(document, Path())
    several = len(scenario.variants)
    setting = Setting(
        scenario.variants,
        scenario.objectives,
        fleet.initial,
        (fleet.concurrency / 8,) * several,
        (fleet.concurrency,) * several,
        seed=1,
    )
    game = Game(scenario.load_trace(1), scenario.variants, scenario.options, fleet.initial, seed=1)
    play(game, build(policy, setting, knobs), end=float(game.trace.t_seconds[-1]))


def _autoscaler(hpa: Hpa, calls: _Calls) -> Series:
    """One reconciliation each sync period. Where nothing was asked the target slept, and its autoscaler with it."""
    metrics: Sequence[Metric] = calls[0][1]
    steps: dict[int, list[Json]] = {}
    for counts, read, now in calls:
        scale = scale_of(counts)
        steps[round(now / SYNC_SECONDS)] = [scale.spec, scale.status, scale.ready, [reading_of(each) for each in read]]
    asleep = [0, 0, 0, [None] * len(metrics)]
    return {
        "spec": manifest_of(hpa.spec, metrics),
        "flags": flags_of(hpa.spec),
        "steps": [steps.get(at, asleep) for at in range(1, max(steps) + 1)],
    }


def _revision(options: KpaOptions, reports: _Calls, ticks: _Calls) -> Series:
    """Shares of requests that are held have no end of digits, which a fixture need not carry."""
    in_flight = {round(at): round(load, 3) for at, load in reports}
    seconds = range(round(ticks[-1][1]) + 1)
    return {
        "annotations": annotations_of(options),
        "inFlight": [_short(in_flight.get(second)) for second in seconds],
        "ready": [ready for ready, _ in ticks],
    }


def _scaled_object(activation: Activation, polls: _Calls) -> Series:
    first = polls[0][2]
    return {
        "spec": scaled_object_of(activation),
        "activationThreshold": activation.threshold,
        "steps": [[_short(now - first), replicas, _short(value)] for replicas, value, now in polls],
    }


def _short(value: float | None) -> Json:
    if value is None:
        return None
    rounded = round(value, 3)
    return int(rounded) if rounded == int(rounded) else rounded


@contextmanager
def _heard(kind: type, method: str) -> Iterator[dict[Any, _Calls]]:
    """The arguments of every call of a method, by object."""
    calls: dict[Any, _Calls] = {}
    original = getattr(kind, method)

    def listen(self: object, *arguments: Any) -> Any:
        calls.setdefault(self, []).append(arguments)
        return original(self, *arguments)

    with patch.object(kind, method, listen):
        yield calls
