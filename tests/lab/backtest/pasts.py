"""Pasts that are known in every detail: a simulated fleet, looked at as the operator's Prometheus would have been."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from flyball.core.names import Indicator, Mode, Precedence, WorkloadKey
from flyball.core.spec import EnginePrior, Objective, TargetRef, Variant, WorkloadSpec
from flyball.lab.engine import EngineParameters
from flyball.lab.fleet.model import FleetOptions, FleetVariant
from flyball.lab.generate import generate_trace, parse_profile
from flyball.lab.observe import EPOCH, LabTelemetry
from flyball.lab.play import Game, play
from flyball.lab.policies.model import View
from flyball.telemetry.history import Step, WorkloadHistory

STEP = 60.0
ENGINE = EngineParameters(
    base_ms=20.0,
    per_sequence_ms=0.5,
    per_context_token_ms=0.0005,
    per_prefill_token_ms=0.1,
    request_overhead_ms=0.0,
    kv_tokens=100_000,
    max_batch=64,
    max_batched_tokens=2048,
)
PRIOR = EnginePrior(0.02, 0.0005, 5e-7, 1e-4, 100_000, 64)
FLEET = FleetVariant("gpu", ENGINE, startup_seconds=60.0, price_per_gpu_hour=Decimal(2), max_replicas=12)
SPEC = WorkloadSpec(
    key=WorkloadKey("team", "chat"),
    uid="1",
    generation=1,
    workload_type="Assistant",
    mode=Mode.RECOMMEND,
    precedence=Precedence.SLO,
    priority=0,
    variants=(
        Variant(
            "gpu",
            TargetRef("apps/v1", "Deployment", "chat"),
            1,
            12,
            gpus_per_replica=1,
            price_per_gpu_hour=Decimal(2),
            startup_seconds=60.0,
            engine=PRIOR,
        ),
    ),
    objectives=(
        Objective("first-token", Indicator.TIME_TO_FIRST_TOKEN, 1.0, 0.95, 86400.0),
        Objective("token-time", Indicator.INTER_TOKEN_LATENCY, 0.1, 0.95, 86400.0),
    ),
)


class Watched:
    """A policy that keeps so many replicas at each hour, and what it saw at the end of each step."""

    name = "watched"
    period_seconds = STEP
    collector_seconds = 15.0

    def __init__(self, replicas: Mapping[float, int]) -> None:
        self._replicas = replicas
        self._telemetry = LabTelemetry(SPEC)
        self.steps: list[Step] = []

    def decide(self, view: View) -> Mapping[int, int]:
        self.steps.append(Step(EPOCH + view.now, self._telemetry.read(view.history)))
        return {0: next(count for until, count in self._replicas.items() if view.now < until)}


def past(
    profile: str = "generate:conversation?rate=4&duration=2h&daily=0.0&seed=3",
    replicas: Mapping[float, int] | None = None,
    initial: int = 6,
) -> tuple[WorkloadHistory, int]:
    """A past, and how many requests came in it."""
    trace = generate_trace(parse_profile(profile))
    policy = Watched(replicas or {float("inf"): initial})
    play(Game(trace, (FLEET,), FleetOptions(), (initial,), 5), policy, end=trace.span_seconds)
    return WorkloadHistory(SPEC, STEP, tuple(policy.steps), 0.0), len(trace)


def blind(history: WorkloadHistory, first: int, last: int) -> WorkloadHistory:
    """The same past with nothing measured in some steps."""
    steps = [
        replace(step, signals=type(step.signals)()) if first <= index < last else step
        for index, step in enumerate(history.steps)
    ]
    return replace(history, steps=tuple(steps))
