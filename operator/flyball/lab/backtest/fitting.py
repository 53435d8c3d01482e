"""The replicas of a simulated past: the workload's own engine model, fitted to its own past."""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from flyball.core.fleet.capacity import CapacityFit, RequestShape, learn, start_fit
from flyball.core.fleet.sizing import ASSUMED_STARTUP_SECONDS
from flyball.core.spec import Variant
from flyball.core.units import format_duration, format_ratio
from flyball.lab.backtest.measured import Measured
from flyball.lab.engine import EngineParameters
from flyball.lab.fleet.model import FleetVariant

BATCHED_TOKENS = 2048
"""Tokens of one iteration: vLLM's default for its API server on most GPUs (max_num_batched_tokens)."""
LEAST_KV_USAGE = 0.05
"""Below this share the rounding of blocks hides how large the cache is."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """One variant as it is simulated, and the fit that it is made of."""

    fleet: FleetVariant
    fit: CapacityFit
    notes: tuple[str, ...]


def fit_variants(measured: Measured, startup_seconds: float | None = None) -> tuple[Fitted, ...]:
    """Every variant's engine, learned step by step as the operator learns it. `startup_seconds` are else the spec's."""
    return tuple(_fit(measured, index, startup_seconds) for index in range(len(measured.spec.variants)))


def _fit(measured: Measured, index: int, startup_seconds: float | None) -> Fitted:
    variant = measured.spec.variants[index]
    fit = start_fit(variant.engine)
    caches = []
    for step, signals in enumerate(measured.signals):
        one, replicas = signals.variant(variant.name), measured.replicas[index, step]
        if not (measured.known[step] and replicas > 0 and one.running.ok):
            continue
        prompt, output = measured.prompt_tokens[step], measured.output_tokens[step]
        shape = RequestShape(prompt * (1 - measured.cached_share[step]), prompt, output)
        batch = one.running.value / replicas
        if batch >= 1 and one.seconds_per_output_token.ok:
            fit = learn(fit, shape, batch, one.seconds_per_output_token.value)
        if one.kv_cache_usage.ok and one.kv_cache_usage.value >= LEAST_KV_USAGE:
            caches.append(batch * shape.context_tokens / one.kv_cache_usage.value)
    kv_tokens = float(np.median(caches)) if caches else fit.prior.kv_cache_tokens
    startup = startup_seconds if startup_seconds is not None else variant.startup_seconds
    return Fitted(
        fleet=FleetVariant(
            name=variant.name,
            engine=engine_of(fit, kv_tokens),
            startup_seconds=ASSUMED_STARTUP_SECONDS if startup is None else startup,
            price_per_gpu_hour=variant.price_per_gpu_hour or Decimal(0),
            gpus_per_replica=variant.gpus_per_replica or 1,
            min_replicas=variant.min_replicas,
            max_replicas=variant.max_replicas,
        ),
        fit=fit,
        notes=tuple(_notes(variant, fit, startup)),
    )


def engine_of(fit: CapacityFit, kv_tokens: float) -> EngineParameters:
    """An engine with these fitted terms and a KV cache of so many tokens."""
    base, per_sequence, per_context_token, per_prefill_token = (1000.0 * term for term in fit.terms)
    return EngineParameters(
        base_ms=base,
        per_sequence_ms=per_sequence,
        per_context_token_ms=per_context_token,
        per_prefill_token_ms=per_prefill_token,
        request_overhead_ms=0.0,
        kv_tokens=max(BATCHED_TOKENS, int(kv_tokens)),
        max_batch=fit.prior.max_sequences,
        max_batched_tokens=max(BATCHED_TOKENS, fit.prior.max_sequences),
    )


def _notes(variant: Variant, fit: CapacityFit, startup: float | None) -> list[str]:
    notes = []
    if not fit.samples:
        notes.append(
            f"target {variant.name}: no step could teach its engine's speed: the declared or generic prior is used"
        )
    elif not fit.confident:
        error = format_ratio(fit.mean_error, 0)
        notes.append(
            f"target {variant.name}: its engine's speed is uncertain ({fit.samples} steps, off by {error} lately)"
        )
    if startup is None:
        assumed = format_duration(ASSUMED_STARTUP_SECONDS)
        notes.append(f"target {variant.name}: a start is taken as {assumed}: set startupTime, or give --startup")
    if variant.gpus_per_replica is None:
        notes.append(f"target {variant.name}: gpusPerReplica is not set: one GPU each is reckoned with")
    if variant.price_per_gpu_hour is None:
        notes.append(f"target {variant.name}: no price is known, so that no cost is: {variant.price_source}")
    return notes
