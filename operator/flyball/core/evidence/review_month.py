"""A month against what was forecast of it, what the next one is expected to bring, and what its return speaks for."""

from flyball.core.evidence.review_figures import Document, Figures, Known, ratio, shares


def against(known: Known, before: Document | None) -> list[Document]:
    """What was forecast against what came: of cost by the month's own forecast, of the rest by the last review's."""
    now, said = known.figures[-1], (before or {}).get("next", {})
    found = []
    actual = float(now.statement.dollars)
    if known.forecast is not None:
        expected, low, high = known.forecast
        found.append(_compared("cost", expected, actual) | {"low": round(low, 2), "high": round(high, 2)})
    elif "dollarsPerDay" in said:
        found.append(_compared("cost", said["dollarsPerDay"] * now.days, actual))
    if "requestsPerDay" in said:
        found.append(_compared("requests", said["requestsPerDay"] * now.days, float(now.statement.requests)))
    for part, present in (("attained", now.objectives), ("outcomes", shares(now)), ("minutes", now.minutes)):
        for name, expected in said.get(part, {}).items():
            good, all_ = present.get(name, (0.0, 0.0))
            if all_:
                unit = {"unit": "minutes"} if part == "minutes" else {}
                found.append(_compared(name, float(expected), good / all_) | unit)
    return found


def _compared(of: str, forecast: float, actual: float) -> Document:
    found: Document = {"of": of, "forecast": round(forecast, 6), "actual": round(actual, 6)}
    return found | ({"error": round(actual / forecast - 1, 4)} if forecast else {})


def carried_on(now: Figures) -> Document:
    """What the next month is expected to bring, by the day: that it goes on as this one did."""
    found: Document = {
        "dollarsPerDay": round(float(now.statement.dollars) / now.days, 6),
        "requestsPerDay": round(float(now.statement.requests) / now.days, 3),
    }
    for part, counts in (("attained", now.objectives), ("outcomes", shares(now)), ("minutes", now.minutes)):
        found[part] = {name: ratio(good / all_) for name, (good, all_) in sorted(counts.items()) if all_}
    return found


def recommendation(known: Known) -> Document:
    """Scale, re-architect, retire or keep, with the arithmetic."""
    if known.unproven:
        return {"action": "Unproven", "text": known.unproven}
    action, _, text = known.advice.partition(": ")
    if action in ("Scale", "Re-architect", "Retire"):
        return {"action": action, "text": text}
    return {"action": "Keep", "text": "its return speaks for neither more, nor less, nor another way to serve it"}
