"""A scenario: which traffic meets which fleet under which policies, as EVALUATION's YAML files say.

Times in seconds, shares 0 to 1, money in dollars. `parse_scenario` reads a document; every fault names its field, the
value and the fix. Traces are opened by `Scenario.load_trace`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from flyball.core.units import format_duration
from flyball.lab.engine import EngineParameters
from flyball.lab.fields import (
    FieldError,
    Fields,
    choice,
    duration,
    duration_or_none,
    flag,
    money,
    number,
    ratio,
    shown,
    whole,
    word,
    words,
)
from flyball.lab.fleet.model import Fallback, FleetOptions, FleetVariant, Routing
from flyball.lab.policies.model import Objective
from flyball.lab.presets import parse_parameters, preset
from flyball.lab.score import INDICATORS
from flyball.lab.trace import InvalidTraceError, Trace
from flyball.lab.traffic import TraceSource, parse_traffic

HINDSIGHT = "hindsight"
HOLD = "hold"
MOST_SEEDS = 100


@dataclass(frozen=True, slots=True)
class Scenario:
    """One question: this traffic, these replicas, these objectives, which policy."""

    name: str
    trace: TraceSource
    variants: tuple[FleetVariant, ...]
    objectives: tuple[Objective, ...]
    options: FleetOptions = field(default_factory=FleetOptions)
    history: TraceSource | None = None
    tick_seconds: float = 15.0
    seeds: int = 3
    policies: tuple[str, ...] = ()
    """Empty where the file names none: the lab's own choice then."""
    hindsight: bool = False
    prior_factor: float = 1.0
    """How many times too much capacity the engine prior that Flyball is given promises."""

    def load_trace(self, seed: int) -> Trace:
        """The traffic of one seed. Raises InvalidTraceError, also where nothing would count."""
        trace = self.trace.load(seed)
        warmup = self.trace.warmup_seconds
        if not len(trace) or trace.t_seconds[-1] < warmup:
            raise InvalidTraceError(
                f"{self.name}: trace.warmup: is {format_duration(warmup)}, and no request comes after it; "
                "give a shorter warmup, or a longer duration"
            )
        slowest = max(self.variants, key=lambda variant: variant.startup_seconds)
        if slowest.startup_seconds >= trace.span_seconds:
            raise InvalidTraceError(
                f"{self.name}: variants.startup: is {format_duration(slowest.startup_seconds)} for {slowest.name}, "
                f"and the whole run lasts {format_duration(trace.span_seconds)}: no order could ever help; "
                "give a shorter startup, or a longer trace"
            )
        return trace


def read_scenario(
    path: Path, overrides: Mapping[str, Any] | None = None, known_policies: Sequence[str] = ()
) -> Scenario:
    """Read a scenario file. `overrides` are single fields by their dotted names, such as trace.path or
    variants.startup. Raises FieldError.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FieldError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FieldError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    try:
        return parse_scenario(overridden(document, overrides or {}), path.parent, known_policies)
    except FieldError as error:
        raise FieldError(f"{path}: {error}") from None


def overridden(document: object, overrides: Mapping[str, Any]) -> object:
    """The document with single fields replaced; `variants.x` sets x of the only variant."""
    if not isinstance(document, dict):
        return document
    changed = dict(document)
    for name, value in overrides.items():
        section, _, inner = name.partition(".")
        if not inner:
            changed[section] = value
        elif section == "variants":
            variants = changed.get("variants")
            if not isinstance(variants, list) or len(variants) != 1 or not isinstance(variants[0], dict):
                raise FieldError(f"{name}: the scenario has not exactly one variant; change the file instead")
            changed["variants"] = [{**variants[0], inner: value}]
        else:
            held = changed.get(section)
            changed[section] = {**(held if isinstance(held, dict) else {}), inner: value}
    return changed


def parse_scenario(document: object, folder: Path, known_policies: Sequence[str] = ()) -> Scenario:
    """A scenario from its document; relative paths are looked for from `folder` upwards. Raises FieldError."""
    fields = Fields(document)
    name = fields.take("name", word)
    failures = fields.inner("failures", {})
    telemetry = fields.inner("telemetry", {})
    variants = _variants(fields, failures)
    timeout = fields.take("clientTimeout", duration_or_none, math.inf)
    options = FleetOptions(
        routing=Routing(fields.take("routing", choice(Routing), Routing.LEAST_OUTSTANDING)),
        gateway_queue=fields.take("gatewayQueue", flag, False),
        client_timeout_seconds=timeout,
        scrape_seconds=telemetry.take("scrape", duration(least=1.0), 15.0),
        scrape_delay_seconds=telemetry.take("delay", duration(), 5.0),
        scrape_gaps=_gaps(failures),
        gpus=fields.take("gpus", whole(1), None),
        fallback=_fallback(fields),
    )
    history = fields.take("history", lambda value: value, None)
    telemetry.take("buckets", choice(("VLLM",)), "VLLM")
    scenario = Scenario(
        name=name,
        trace=parse_traffic(fields.inner("trace"), folder),
        variants=variants,
        objectives=_objectives(fields),
        options=options,
        history=None if history is None else parse_traffic(Fields(history, "history"), folder),
        tick_seconds=fields.take("tick", duration(least=1.0), 15.0),
        seeds=fields.take("seeds", whole(1, MOST_SEEDS), 3),
        policies=_policies(fields, known_policies, elsewhere=options.fallback is not None),
        hindsight=fields.take("tune", choice((HINDSIGHT, "none")), "none") == HINDSIGHT,
        prior_factor=fields.take("priorFactor", number(open_at_least=True), 1.0),
    )
    for part in (failures, telemetry, fields):
        part.finish()
    return scenario


def _engine(value: object) -> EngineParameters:
    return preset(value).parameters if isinstance(value, str) else parse_parameters(value)


def _variants(fields: Fields, failures: Fields) -> tuple[FleetVariant, ...]:
    failed = failures.take("failedStartShare", number(0.0, 0.99), 0.0)
    slow = failures.take("slowShare", number(0.0, 1.0), 0.0)
    slow_factor = failures.take("slowPrefillFactor", number(1.0), 1.0)
    reclaim = failures.take("reclaimMean", duration(least=1.0), None)
    variants: list[FleetVariant] = []
    for entry in fields.items("variants"):
        variant = FleetVariant(
            name=entry.take("name", word),
            engine=entry.take("engine", _engine),
            startup_seconds=entry.take("startup", duration()),
            startup_jitter=entry.take("startupJitter", number(0.0, 2.0), 0.0),
            price_per_gpu_hour=entry.take("pricePerGpuHour", money, Decimal(1)),
            gpus_per_replica=entry.take("gpusPerReplica", whole(1, 1024), 1),
            min_replicas=entry.take("minReplicas", whole(0, 10_000), 1),
            max_replicas=entry.take("maxReplicas", whole(1, 10_000), 60),
            failed_start_share=failed,
            slow_share=slow,
            slow_prefill_factor=slow_factor,
            reclaim_mean_seconds=entry.take("reclaimMean", _life, reclaim),
        )
        if variant.min_replicas > variant.max_replicas:
            raise entry.fault(
                "minReplicas",
                f"is {variant.min_replicas}, more than maxReplicas, {variant.max_replicas}; give less of it",
            )
        if variant.price_per_gpu_hour == 0:
            raise entry.fault("pricePerGpuHour", "is 0: costs could not be compared; give what a GPU hour costs")
        if any(variant.name == other.name for other in variants):
            raise entry.fault("name", f"{variant.name!r} is a variant already; give each its own name")
        entry.finish()
        variants.append(variant)
    return tuple(variants)


def _life(value: object) -> float | None:
    """Seconds that a spot replica lives on average; None for the word none: it is not on spot capacity."""
    return None if value == "none" else duration(least=1.0)(value)


def _objectives(fields: Fields) -> tuple[Objective, ...]:
    found: list[Objective] = []
    for entry in fields.items("objectives"):
        indicator = entry.take("indicator", choice(INDICATORS))
        if any(indicator == other.indicator for other in found):
            raise entry.fault("indicator", f"{indicator} has an objective already; give one for each indicator")
        found.append(Objective(indicator, entry.take("threshold", duration(least=0.001)), entry.take("target", _share)))
        entry.finish()
    return tuple(found)


def _share(value: object) -> float:
    share = ratio(value)
    if not 0 < share < 1:
        raise ValueError(f"is {value!r}; give more than 0% and less than 100%: no fleet of finite size promises all")
    return share


def _gaps(failures: Fields) -> tuple[tuple[float, float], ...]:
    gaps = []
    for entry in failures.items("scrapeGaps", []):
        start = entry.take("start", duration())
        gaps.append((start, start + entry.take("duration", duration(least=1.0))))
        entry.finish()
    return tuple(gaps)


def _fallback(fields: Fields) -> Fallback | None:
    """What becomes of requests that come while no replica is ready: `hold`, or how a fallback answers them."""
    answer = fields.take("atZero", lambda value: value, HOLD)
    if answer == HOLD:
        return None
    if not isinstance(answer, Mapping):
        raise fields.fault("atZero", f"is {shown(answer)}; write hold, or firstToken and perToken of a fallback")
    entry = Fields(answer, "atZero")
    fallback = Fallback(
        first_token_seconds=entry.take("firstToken", duration()),
        token_seconds=entry.take("perToken", duration()),
        price_per_request=entry.take("pricePerRequest", money, Decimal(0)),
    )
    entry.finish()
    return fallback


def _policies(fields: Fields, known: Sequence[str], *, elsewhere: bool) -> tuple[str, ...]:
    named: tuple[str, ...] = fields.take("policies", words, ())
    if elsewhere and (not named or {"floor", "oracle"} & set(named)):
        raise fields.fault(
            "policies",
            f"{', '.join(named) or 'none'}: with a fallback at zero the floor and the oracle bound nothing; name the "
            "policies to play, without them",
        )
    for name in named:
        if known and name not in known:
            raise fields.fault("policies", f"there is no policy {name!r}; choose of {', '.join(known)}")
    return named
