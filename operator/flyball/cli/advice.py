"""The parts of a status that nobody acts on, in words: the capacity plan, and what rivals would have done."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flyball.cli.columns import aligned
from flyball.core.money.currency import labelled

Part = Mapping[str, Any]


def plan_lines(plan: Part, currency: str) -> Iterator[str]:
    """The plan: load, growth, needs by day, limits, and buying against scaling."""
    if plan["state"] != "Known":
        yield f"plan: {plan['state']}: {plan.get('message', '')}"
        return
    load = plan["load"]
    yield f"plan from {plan['history']} until {plan['asOf']}:"
    yield (
        f"  load: {load['mean']} requests/s in the mean, {load['steady']} in the median hour, {load['busy']} in the "
        f"busiest 20th, {load['peak']} in the highest five minutes"
    )
    for label, name in (("growth", "growthPerDay"), ("prompt length", "promptDriftPerDay")):
        if name in plan:
            yield f"  {label} a day: {plan[name]}"
    yield from (f"  {pattern}" for pattern in plan.get("patterns", ()))
    yield from (f"  {line}" for line in aligned([_HEADER, *(_row(need, currency) for need in plan.get("needs", ()))]))
    for limit in plan.get("limits", ()):
        expected = f"expected {limit['expected']}" if "expected" in limit else "not expected within 90 days"
        yield f"  {limit['target']}: maxReplicas will no longer do: {expected}, {limit['earliest']} at the earliest"
    if "purchase" in plan:
        yield f"  {_purchase(plan['purchase'], currency)}"
    if "message" in plan:
        yield f"  note: {plan['message']}"


_HEADER = ("day", "why", "target", "peak requests/s", "replicas", "GPUs", "30 days")


def _row(need: Part, currency: str) -> tuple[str, ...]:
    kind = f"{need['target']} ({need['accelerator']})" if "accelerator" in need else need["target"]
    cost = labelled(need["costPerMonth"], currency) if "costPerMonth" in need else "unknown"
    return (need["day"], need["why"], kind, need["requestsPerSecond"], need["replicas"], need["gpus"], cost)


def _purchase(found: Part, currency: str) -> str:
    buying, scaling = (
        f", {labelled(found[name], currency)}" if name in found else "" for name in ("buying", "scaling")
    )
    saved = ""
    if buying and scaling and float(found["buying"]) > 0:
        saved = f" ({1 - float(found['scaling']) / float(found['buying']):.0%} less)"
    return (
        f"30 days on {found['target']}: bought for the peak {found['peakReplicas']} replicas{buying}; "
        f"scaled to each hour's peak {found['scaledReplicas']} in the mean{scaling}{saved}"
    )


def shadow_lines(rivals: Sequence[Part], currency: str) -> Iterator[str]:
    """What each rival would have done, and at what cost."""
    yield "rivals, asked and not obeyed:"
    rows: list[tuple[str, ...]] = [("", "now", "last hour", "flyball", "last day", "flyball", "asked since")]
    rows += [_standing(rival, currency) for rival in rivals if rival["state"] == "Running"]
    if len(rows) > 1:
        yield from (f"  {line}" for line in aligned(rows))
    for rival in rivals:
        if rival["state"] != "Running":
            yield f"  {rival['name']}: {rival['state']}: {rival.get('message', '')}"
        elif "message" in rival:
            yield f"  {rival['name']}: {rival['message']}"


def _standing(rival: Part, currency: str) -> tuple[str, ...]:
    now = ", ".join(f"{target['name']} {target['desired']}" for target in rival.get("targets", ()))
    hour, day = (_bill(rival.get(window), currency) for window in ("lastHour", "lastDay"))
    return (rival["name"], now, *hour, *day, rival.get("since", ""))


def _bill(bill: Part | None, currency: str) -> tuple[str, str]:
    """Replica-hours and dollars of the rival and of Flyball in the same time."""
    if bill is None:
        return "", ""
    pairs = (("replicaHours", "cost"), ("flyballReplicaHours", "flyballCost"))
    mine, ours = (_spent(bill[hours], bill.get(cost), currency) for hours, cost in pairs)
    return mine, ours


def _spent(hours: str, dollars: str | None, currency: str) -> str:
    return f"{hours} h" + (f" {labelled(dollars, currency)}" if dollars is not None else "")
