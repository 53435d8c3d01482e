"""What a workload runs on: the variants that can serve its traffic, their bounds, prices and engine priors."""

from typing import Annotated

from pydantic import Field

from flyball.api.model import ApiModel, rule
from flyball.api.presets import EnginePreset
from flyball.api.scalars import (
    Accelerator,
    ApiVersion,
    Count,
    Duration,
    Int32,
    ItemName,
    Kind,
    Money,
    Number,
    ObjectName,
    Replicas,
    WholePercent,
    cel_is_positive,
    is_positive,
)
from flyball.api.v1alpha1.words import CapacityType


class ScaleTargetRef(ApiModel):
    """An object in the WorkloadSLO's namespace that has a `scale` subresource."""

    api_version: ApiVersion = "apps/v1"
    """API version of the object: `apps/v1` for a Deployment."""
    kind: Kind = "Deployment"
    """Kind of the object: Deployment, StatefulSet, LeaderWorkerSet or any other with a `scale` subresource."""
    name: ObjectName
    """Name of the object."""


class EnginePrior(ApiModel):
    """A guess at one replica's speed, from which fitting on live metrics starts.

    One iteration of the engine takes baseMs + perSequenceMs × sequences + perContextTokenMs × context tokens held +
    perPrefillTokenMs × prefill tokens in it.
    """

    base_ms: Number
    """Milliseconds of an iteration that decodes next to nothing: reading the weights once."""
    per_sequence_ms: Number
    """Milliseconds that each sequence of the batch adds to an iteration."""
    per_context_token_ms: Number
    """Milliseconds that each token of context held by the batch adds to an iteration."""
    per_prefill_token_ms: Number
    """Milliseconds that each prompt token prefilled in an iteration adds to it."""
    kv_cache_tokens: Annotated[Int32, Field(ge=1, le=1_000_000_000)]
    """Tokens of context that one replica's KV cache holds."""
    max_sequences: Count
    """Most sequences in one batch (vLLM: --max-num-seqs)."""

    @rule(
        cel=cel_is_positive("self.baseMs"),
        field=".baseMs",
        problem="baseMs is zero",
        fix="write the milliseconds of one decoding step at batch size 1, such as '6.4'",
    )
    def _base_takes_time(self) -> bool:
        return is_positive(self.base_ms)


class Target(ApiModel):
    """One variant that can serve the workload's traffic, scaled as one object."""

    name: ItemName | None = None
    """Name of the variant in status, Events and metrics. Defaults to the name of the target object."""
    target_ref: ScaleTargetRef
    """The object whose replicas are scaled."""
    min_replicas: Replicas = 1
    """Fewest replicas. With 0, scaling.scaleToZero may take the last one; without that, one stays, and a target that
    people scaled to zero is left alone."""
    max_replicas: Count
    """Most replicas."""
    accelerator: Accelerator | None = None
    """Accelerator of each replica, as the node label `nvidia.com/gpu.product` names it. Read from the cluster when left
    out."""
    gpus_per_replica: Annotated[Int32, Field(ge=1, le=1024)] | None = None
    """GPUs that one replica occupies. Read from the pod template when left out."""
    capacity_type: CapacityType | None = None
    """How the GPUs are paid for, which chooses the price in the PriceBook. Defaults to OnDemand."""
    price_per_gpu_hour: Money | None = None
    """Dollars per GPU and hour, all included. Taken from the PriceBook when left out; never assumed."""
    startup_time: Duration | None = None
    """Time from creation of a replica until it serves. Measured when left out."""
    spot_risk: WholePercent | None = None
    """Share of this variant's replicas that is expected to be missing at any time, since spot capacity was taken back
    and the replacement is still starting. Where reclaims that were seen amount to more, that is reckoned with."""
    engine_preset: EnginePreset | None = None
    """A published engine prior to start from, by model and GPU."""
    engine_prior: EnginePrior | None = None
    """An engine prior of your own to start from."""

    @property
    def effective_name(self) -> str:
        """The declared name, or else the target object's."""
        return self.name or self.target_ref.name

    @rule(
        cel="self.minReplicas <= self.maxReplicas",
        field=".minReplicas",
        problem="minReplicas is greater than maxReplicas",
        fix="lower minReplicas or raise maxReplicas",
    )
    def _min_within_max(self) -> bool:
        return self.min_replicas <= self.max_replicas

    @rule(
        cel=f"!has(self.pricePerGpuHour) || {cel_is_positive('self.pricePerGpuHour')}",
        field=".pricePerGpuHour",
        problem="pricePerGpuHour is zero, which would make every cost and ratio meaningless",
        fix="write what a GPU hour costs, or leave it out to take the PriceBook's price",
    )
    def _price_is_positive(self) -> bool:
        return self.price_per_gpu_hour is None or is_positive(self.price_per_gpu_hour)

    @rule(
        cel="!(has(self.enginePreset) && has(self.enginePrior))",
        field=".enginePrior",
        problem="both enginePreset and enginePrior are set",
        fix="keep one of them",
        reason="FieldValueForbidden",
    )
    def _one_engine_prior(self) -> bool:
        return self.engine_preset is None or self.engine_prior is None

    @rule(
        cel="!has(self.spotRisk) || (has(self.capacityType) && self.capacityType == 'Spot')",
        field=".spotRisk",
        problem="spotRisk is set on a target that is not on spot capacity",
        fix="set capacityType to Spot or remove spotRisk",
        reason="FieldValueForbidden",
    )
    def _risk_only_on_spot(self) -> bool:
        return self.spot_risk is None or self.capacity_type is CapacityType.SPOT
