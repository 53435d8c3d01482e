"""Series drawn at random, for what no policy of the lab sets and no fleet of it meets.

Every kind of metric and several at once, rate limits in both directions, windows that end on a reconciliation and
between two, status that lags, targets scaled by hand, metrics and reports that fail. Loads lie around the target, where
tolerances and roundings decide. What a step finds as asked for is what the restated rival left, or now and then another
count.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from e2e.rivals import replay
from e2e.rivals.manifests import (
    CPU_REQUEST,
    Series,
    annotations_of,
    flags_of,
    manifest_of,
    reading_of,
    scaled_object_of,
)

from flyball.lab.policies.hpa import Behavior, HpaSpec, RateLimit, ScalingRules, Select, Unit
from flyball.lab.policies.hpa_metrics import ExternalAverage, ExternalValue, Metric, PodsMetric, UtilizationMetric
from flyball.lab.policies.keda import Activation
from flyball.lab.policies.kpa import KpaOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HPA, _KPA, _KEDA = 120, 16, 24
_HPA_STEPS, _KPA_SECONDS, _KEDA_STEPS = 40, 600, 120
_WINDOWS = (0, 15, 20, 30, 60, 100, 180, 300)
_PERIODS = (15, 20, 30, 60, 100, 180, 300)
_TARGETS = (1000, 5000, 700, 16_000, 80_000)
_PERCENT = 80


def drawn() -> Iterator[tuple[str, Series]]:
    """The same series every time, each with the name of the program that replays it."""
    for rival, count, draw in (("hpa", _HPA, _hpa), ("kpa", _KPA, _kpa), ("keda", _KEDA, _keda)):
        for index in range(count):
            yield rival, {"name": f"drawn {index}"} | draw(random.Random(f"{rival} {index}"))


def _hpa(chance: random.Random) -> Series:
    least = chance.choice((1, 1, 2, 5))
    # Without windows a target swings, and meets its rate limits in both directions.
    windows = chance.choice((_WINDOWS, (0,)))
    behavior = Behavior(_rules(chance, windows), _rules(chance, windows)) if chance.random() < 0.75 else None
    spec = HpaSpec(least, least + chance.choice((3, 15, 95)), behavior, chance.choice((0.1, 0.1, 0.05)))
    metrics = [chance.choice((_average, _value))] * chance.choice((1, 2))
    metrics += chance.choice(([], [_pods], [_utilization]))
    chance.shuffle(metrics)
    targets = [chance.choice(_TARGETS) for _ in metrics]
    series: Series = {"spec": None, "flags": flags_of(spec), "steps": []}
    replicas = chance.randint(1, spec.max_replicas + 3)
    for _ in range(_HPA_STEPS):
        present = max(1, replicas)
        load = chance.choice((0.0, 0.3, 0.89, 0.9, 0.95, 1.0, 1.0, 1.1, 1.11, 1.3, 2.2))
        load *= chance.choice((1.0, chance.uniform(0.97, 1.03)))
        read = [draw(chance, target, present, load) for draw, target in zip(metrics, targets, strict=True)]
        series["spec"] = series["spec"] or manifest_of(spec, read)
        per_pod = [each for each in read if isinstance(each, (PodsMetric, UtilizationMetric))]
        # Where pods are told apart there are some.
        status = max(len(per_pod), replicas + chance.choice((0, 0, 0, -1, 2, -100)))
        ready = len(per_pod[0].samples) if per_pod else status
        ready = ready if chance.random() < 0.6 else chance.randint(0, ready)
        series["steps"].append([replicas, status, ready, [reading_of(each) for each in read]])
        replicas = _next(chance, series, "hpa", spec.max_replicas + 2)
    return series


def _next(chance: random.Random, series: Series, rival: str, most: int) -> int:
    """What the next step finds: mostly what the restated rival left."""
    left = replay.RESTATED[rival](series)[-1]
    if left is None or chance.random() < 0.04:
        return chance.randint(0, most)
    return left


def _rules(chance: random.Random, windows: Sequence[int]) -> ScalingRules:
    limits = tuple(
        RateLimit(unit, chance.choice((1, 4, 10, 25, 50, 100, 150)), float(chance.choice(_PERIODS)))
        for unit in chance.choices(list(Unit), k=chance.randint(1, 3))
    )
    select = chance.choice((Select.MAX, Select.MAX, Select.MIN, Select.MIN, Select.DISABLED))
    return ScalingRules(limits, float(chance.choice(windows)), select, chance.choice((None, None, 0.0, 0.05, 0.25)))


def _average(chance: random.Random, target: int, present: int, load: float) -> Metric:
    return ExternalAverage(target, None if chance.random() < 0.08 else round(target * present * load))


def _value(chance: random.Random, target: int, present: int, load: float) -> Metric:
    return ExternalValue(target, None if chance.random() < 0.08 else round(target * load))


def _counts(chance: random.Random, present: int) -> tuple[int, int, int]:
    """Pods with a sample, running without one, and pending."""
    pods = min(present, 8)
    missing = chance.choice((0, 0, 0, 1, 3, pods))
    return max(0, pods - missing), missing, chance.choice((0, 0, 0, 1, 4))


def _pods(chance: random.Random, target: int, present: int, load: float) -> Metric:
    sampled, missing, pending = _counts(chance, present)
    spread = chance.choice(((1,), (1, 1, 0.5, 1.5)))
    # A thousandth more decides nothing until it fills up a whole one in the mean.
    samples = tuple(round(target * load * chance.choice(spread)) + chance.choice((0, 0, 1)) for _ in range(sampled))
    return PodsMetric(target, samples, missing, pending)


def _utilization(chance: random.Random, target: int, present: int, load: float) -> Metric:
    sampled, missing, pending = _counts(chance, present)
    use = CPU_REQUEST * _PERCENT / 100 * load
    samples = tuple(round(use * chance.choice((1, 1, 0.5, 1.5))) for _ in range(sampled))
    return UtilizationMetric(_PERCENT, samples, CPU_REQUEST, missing, pending)


def _kpa(chance: random.Random) -> Series:
    options = KpaOptions(
        target=chance.choice((0.7, 4.0, 7.0, 33.6, 70.0)),
        stable_seconds=float(chance.choice((6, 20, 45, 60, 60, 120))),
        panic_share=chance.choice((0.1, 0.1, 0.25, 0.5, 1.0)),
        panic_threshold=chance.choice((2.0, 2.0, 1.1, 3.0)),
        scale_down_delay_seconds=float(chance.choice((0, 0, 1, 7, 30, 61))),
    )
    ready, level = chance.randint(0, 6), 1.0
    in_flight: list[float | None] = []
    readies: list[int] = []
    silent_until = -1
    for second in range(_KPA_SECONDS + 1):
        if chance.random() < 0.02:
            level = chance.choice((0.0, 0.5, 1.0, 2.0, 5.0, 9.0))
        if chance.random() < 0.01:
            silent_until = second + chance.choice((1, 3, 10, 70, 150))
        load = round(options.target * level * chance.choice((1.0, 1.0, 0.9, 1.2, chance.random())), 3)
        in_flight.append(None if second < silent_until else load)
        if second > 0 and second % 2 == 0:
            ready = max(0, ready + chance.choice((0, 0, 0, 0, 1, -1))) if chance.random() < 0.97 else round(level)
            readies.append(ready)
    return {"annotations": annotations_of(options), "inFlight": in_flight, "ready": readies}


def _keda(chance: random.Random) -> Series:
    activation = Activation(
        min_replicas=chance.choice((0, 0, 0, 2)),
        polling_seconds=float(chance.choice((30, 30, 15, 60))),
        cooldown_seconds=float(chance.choice((300, 300, 60, 0, 45))),
        initial_cooldown_seconds=float(chance.choice((0, 0, 100))),
        threshold=chance.choice((0.0, 0.0, 5.0)),
    )
    series: Series = {
        "spec": scaled_object_of(activation),
        "activationThreshold": activation.threshold,
        "steps": [],
    }
    replicas, busy, value = chance.randint(0, 3), False, 0.0
    for step in range(_KEDA_STEPS):
        busy = busy if chance.random() < 0.93 else not busy
        value = chance.choice((activation.threshold, activation.threshold + 0.5, 40.0)) if busy else 0.0
        series["steps"].append([15.0 * step, replicas, None if chance.random() < 0.08 else value])
        replicas = _next(chance, series, "keda", 6)
    return series
