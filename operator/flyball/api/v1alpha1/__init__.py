"""The resources of `flyball.dev/v1alpha1`. These models are the one source: CRDs and reference are made from them."""

from flyball.api.v1alpha1.budget import Budget, BudgetSpec, BudgetStatus
from flyball.api.v1alpha1.demandevent import DemandEvent, DemandEventSpec, DemandEventStatus
from flyball.api.v1alpha1.gpupool import GPUPool, GPUPoolSpec, GPUPoolStatus
from flyball.api.v1alpha1.pricebook import PriceBook, PriceBookSpec, PriceBookStatus
from flyball.api.v1alpha1.roiexperiment import ROIExperiment, ROIExperimentSpec, ROIExperimentStatus
from flyball.api.v1alpha1.status import (
    CostStatus,
    FallbackStatus,
    GpuStatus,
    LastDecision,
    ObjectiveStatus,
    OriginalWeights,
    RoiStatus,
    SignalStatus,
    StatusCondition,
    StatusSummary,
    TargetStatus,
    WorkloadSLOStatus,
)
from flyball.api.v1alpha1.words import WorkloadType
from flyball.api.v1alpha1.workloadslo import WorkloadSLO, WorkloadSLOSpec

__all__ = [
    "Budget",
    "BudgetSpec",
    "BudgetStatus",
    "CostStatus",
    "DemandEvent",
    "DemandEventSpec",
    "DemandEventStatus",
    "FallbackStatus",
    "GPUPool",
    "GPUPoolSpec",
    "GPUPoolStatus",
    "GpuStatus",
    "LastDecision",
    "ObjectiveStatus",
    "OriginalWeights",
    "PriceBook",
    "PriceBookSpec",
    "PriceBookStatus",
    "ROIExperiment",
    "ROIExperimentSpec",
    "ROIExperimentStatus",
    "RoiStatus",
    "SignalStatus",
    "StatusCondition",
    "StatusSummary",
    "TargetStatus",
    "WorkloadSLO",
    "WorkloadSLOSpec",
    "WorkloadSLOStatus",
    "WorkloadType",
]
