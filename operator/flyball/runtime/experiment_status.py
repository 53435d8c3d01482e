"""What an ROIExperiment's status says. Pure."""

from collections.abc import Mapping
from typing import Any

from flyball.core.decision import Condition
from flyball.core.evidence.experiment import Block, Plan
from flyball.core.names import ConditionType
from flyball.core.units import format_ratio
from flyball.ledger.experiments import Decided, Registered
from flyball.runtime.status import rfc3339

PENDING, RUNNING, DECIDED = "Pending", "Running", "Decided"


def pending(reason: str, text: str) -> tuple[dict[str, Any], list[Condition]]:
    """The status of an experiment that has not started, and why."""
    return {"phase": PENDING, "summary": text[:1024]}, [_ready(ok=False, reason=reason, text=text)]


def waiting(plan: Plan, text: str) -> tuple[dict[str, Any], list[Condition]]:
    """The status of an experiment whose start is ahead."""
    return (
        {"phase": PENDING, "evidence": str(plan.evidence), "summary": text},
        [_ready(ok=True, reason="Reconciled", text=text)],
    )


def running(
    known: Registered, block: Block | None, judgement: Mapping[str, Any], problem: str
) -> tuple[dict[str, Any], list[Condition]]:
    """The status of an experiment that is under way. `problem` says why its route could not be moved."""
    parts = {"phase": RUNNING, **_registered(known), **_found(judgement)}
    if block is not None:
        parts |= {"arm": str(block.arm), "armUntil": rfc3339(block.end / 1000)}
    if problem:
        return parts, [_ready(ok=False, reason="RouteNotMoved", text=problem)]
    return parts, [_ready(ok=True, reason="Reconciled", text="the experiment runs as it was registered")]


def decided(known: Registered, found: Decided) -> tuple[dict[str, Any], list[Condition]]:
    """The status of an experiment that is over."""
    parts = {"phase": DECIDED, **_registered(known), **_found(found.judgement)}
    parts["decidedAt"] = rfc3339(found.decided_at / 1000)
    return parts, [_ready(ok=True, reason="Decided", text="the experiment is over; what was decided stays")]


def change(ratio: float, points: bool) -> str:
    """A change with its sign: relative as `-18.2%`, or as `+3.1 points`."""
    return f"{ratio * 100:+.1f}{' points' if points else '%'}"


def _registered(known: Registered) -> dict[str, Any]:
    return {
        "startedAt": rfc3339(known.registered_at / 1000),
        "specHash": known.spec_hash,
        "firstBlockAt": rfc3339(known.start / 1000),
    }


def _found(judgement: Mapping[str, Any]) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "pairs": judgement["pairs"],
        "unusablePairs": judgement["unusable"],
        "evidence": str(judgement["evidence"]),
        "verdict": str(judgement["verdict"]),
        "reason": str(judgement["reason"]),
        "summary": judgement["text"][:1024],
        "guards": [_guard(each) for each in judgement["guards"]],
    }
    if judgement["effect"] is not None:
        parts["effect"] = effect(judgement)
    if judgement.get("kpi_guards"):
        parts["kpiGuards"] = [kpi_guard(each) for each in judgement["kpi_guards"]]
    if judgement.get("quality"):
        parts["quality"] = kpi_guard(judgement["quality"])
    return parts


def effect(judgement: Mapping[str, Any]) -> dict[str, str]:
    """The effect and its interval, as far as anything was ruled out."""
    points = bool(judgement.get("points"))
    found = {"estimate": change(judgement["effect"], points)}
    if judgement["low"] > -1.0:
        found["low"] = change(judgement["low"], points)
    if judgement["high"] < (1.0 if points else 1e6):
        found["high"] = change(judgement["high"], points)
    return found


def kpi_guard(each: Mapping[str, Any]) -> dict[str, str]:
    """How a KPI stands by its guard."""
    found = {"kpi": each["kpi"], "state": str(each["state"]), "wanted": each["wanted"]}
    for arm in ("treatment", "baseline"):
        if each[arm] is not None:
            found[arm] = f"{each[arm]:.3g} min" if each["minutes"] else format_ratio(each[arm])
    return found


def _guard(each: Mapping[str, Any]) -> dict[str, str]:
    found = {"objective": each["objective"], "state": str(each["state"]), "target": format_ratio(each["target"], 2)}
    for arm, share in (("treatment", each["attained"]), ("baseline", each["baseline"])):
        if share is not None:
            found[arm] = format_ratio(share, 2)
    return found


def _ready(*, ok: bool, reason: str, text: str) -> Condition:
    return Condition(ConditionType.READY, ok, reason, text[:1024])
