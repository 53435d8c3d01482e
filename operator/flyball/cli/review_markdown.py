"""A review as Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from flyball.cli.markdown import escaped, table
from flyball.core.evidence.review_figures import Document
from flyball.core.money.currency import DEFAULT_CURRENCY, labelled, symbol
from flyball.core.units import format_ratio
from flyball.ledger.reviews import Decision

TITLES = {"weekly": "Weekly review of operations", "monthly": "Monthly review"}


def span(document: Document) -> str:
    """From when to when, in the ledger's days."""
    begin, end = (day(document, document[side]) for side in ("from", "to"))
    return f"{begin} to {end} {document['zone']}"


def day(document: Document, at: int) -> str:
    """A day of the ledger."""
    return f"{datetime.fromtimestamp(at / 1000, ZoneInfo(document['zone'])):%Y-%m-%d}"


def change(part: Mapping[str, Any], name: str = "change") -> str:
    """A relative change with its sign; empty where there is none."""
    value = part.get(name)
    return "" if value is None else f"{value * 100:+.1f}%"


def share(value: float | None, digits: int = 1) -> str:
    """A share as a percentage; empty where it is not known."""
    return "" if value is None else format_ratio(value, digits)


def amount(document: Document, dollars: str) -> str:
    """An amount of the review's money."""
    return labelled(dollars, document.get("currency", DEFAULT_CURRENCY))


def sign_of(document: Document) -> str:
    """What stands for the review's currency in a heading."""
    return symbol(document.get("currency", DEFAULT_CURRENCY))


def unit(part: Mapping[str, Any]) -> str:
    """Dollars per request, with as many digits as say something."""
    return f"{float(part['perRequest']):.4g}" if part.get("perRequest") else ""


def summary(document: Document) -> str:
    """The whole in a sentence."""
    moved = change(document)
    against = f", {moved} against the period before" if moved else ""
    return (
        f"{amount(document, document['dollars'])} for {document['requests']:,.0f} requests{against}; "
        f"{amount(document, document['waste'])} went to GPUs that idled or loaded."
    )


def moving(document: Document, each: Document) -> str:
    """The moving average of a workload, in a sentence."""
    span_ = "week" if document["kind"] == "weekly" else "month"
    found = each["moving"]
    dollars = amount(document, found["dollars"])
    each_ = f", {amount(document, unit(found))} each" if unit(found) else ""
    return f"Mean of the last {found['periods']} {span_}s: {dollars}, {found['requests']:,.0f} requests{each_}."


def overview(document: Document) -> list[list[str]]:
    """A row for each workload."""
    rows = []
    for each in document["workloads"]:
        missed = [part["name"] for part in each["objectives"] if part.get("met") is False]
        judged = any("met" in part for part in each["objectives"])
        rows.append(
            [
                f"{each['namespace']}/{each['name']}", each["dollars"], change(each["change"], "dollars"),
                f"{each['requests']:,.0f}", unit(each), change(each["change"], "perRequest"),
                share(each.get("utilization")), f"missed: {', '.join(missed)}" if missed else "met" if judged else "",
                each.get("recommendation", {}).get("action", str(len(each["proposals"]) or "")),
            ]
        )  # fmt: skip
    return rows


def head(document: Document) -> list[str]:
    """The columns of `overview`."""
    last = "return" if document["kind"] == "monthly" else "proposals"
    sign = sign_of(document)
    return ["workload", sign, "change", "requests", f"{sign}/request", "change", "GPUs busy", "objectives", last]


def lines(document: Document, decided: Sequence[Decision]) -> Iterator[str]:
    """The whole review."""
    yield f"# {TITLES[document['kind']]} {escaped(document['id'])}"
    yield from ("", escaped(span(document)), "", escaped(summary(document)), "")
    yield from table(head(document), overview(document))
    for title, columns, rows in by_segment(document, document):
        yield from ("", f"## {escaped(title)}", "", *table(columns, rows))
    for each in document["workloads"]:
        yield from ("", *_workload(document, each))
    yield from ("", "## Decided", "")
    if not decided:
        yield f"Nothing yet. `flyball review decide {document['id']} DECISION --note WHY` records it."
    for made in decided:
        about = f" for {escaped(made.workload)}" if made.workload else ""
        yield f"- {day(document, made.made_at)}: {made.decision}{about}, {escaped(made.who)}: {escaped(made.note)}"


def _workload(document: Document, each: Document) -> Iterator[str]:
    yield f"## {escaped(each['namespace'])}/{escaped(each['name'])}"
    if "recommendation" in each:
        found = each["recommendation"]
        yield from ("", f"**{found['action']}**: {escaped(found['text'])}.")
    if "routes" in each:
        yield from ("", f"By route: {escaped(each['routes']['note'])}.")
    if each["proposals"]:
        yield ""
        for found in each["proposals"]:
            dollars = f" ({amount(document, found['dollars'])})" if "dollars" in found else ""
            yield f"- {found['action']}: {escaped(found['text'])}{dollars}"
    yield from ("", escaped(moving(document, each)))
    for title, columns, rows in sections(document, each):
        if rows:
            yield from ("", f"### {escaped(title)}", "", *table(columns, rows))


def sections(document: Document, each: Document) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """The tables of one workload: title, columns and rows."""
    sign = sign_of(document)
    yield (
        "Objectives",
        ["objective", "attained", "wanted", "before"],
        [
            [part["name"], share(part["attained"], 2), share(part.get("target"), 2), share(part.get("before"), 2)]
            for part in each["objectives"]
        ],
    )
    yield (
        "Outcomes",
        ["KPI", "outcomes", "cases", "share or minutes", "change"],
        [
            [
                part["kpi"],
                f"{part['outcomes']:,.10g}",
                f"{part['cases']:,.10g}",
                f"{part['minutes']:.3g} min" if "minutes" in part else share(part.get("rate"), 1),
                change(part),
            ]
            for part in each["outcomes"]
        ],
    )
    yield (
        "What each route's return speaks for",
        ["label", "route", "requests", f"worth {sign}", f"caused {sign}", f"in full {sign}", "", "why"],
        [
            [
                part["label"], part["route"], f"{part['requests']:,.0f}", part["worth"], part["caused"], part["inFull"],
                part["action"], part["text"],
            ]
            for part in each.get("routes", {}).get("rows", ())
        ],
    )  # fmt: skip
    yield (
        "By version and route",
        ["path", sign, "requests", "share", f"{sign}/request", "change", f"{sign}/request, moving"],
        [
            [
                part["path"],
                part["dollars"],
                f"{part['requests']:,.0f}",
                share(part.get("share")),
                unit(part),
                change(part),
                unit({"perRequest": part.get("movingPerRequest")}),
            ]
            for part in each["cohorts"]
        ],
    )
    yield from by_segment(document, each)
    yield "Waste", ["GPUs", sign, "what"], [[part["kind"], part["dollars"], part["what"]] for part in each["waste"]]
    yield (
        "Forecast and actual",
        ["of", "forecast", "actual", "off by"],
        [
            [part["of"], _figure(part, "forecast"), _figure(part, "actual"), change(part, "error")]
            for part in each.get("forecast", ())
        ],
    )
    yield "Trend", ["from", sign, "requests", f"{sign}/request", "GPUs busy"], [
        [
            day(document, part["from"]), part["dollars"], f"{part['requests']:,.0f}", unit(part),
            share(part.get("utilization")),
        ]
        for part in each["trend"]
    ]  # fmt: skip


def by_segment(document: Document, of: Document) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Where the money went by each label, of a review or of one workload: title, columns and rows that add up."""
    sign = sign_of(document)
    for part in of.get("segments", ()):
        columns = [part["label"], f"caused {sign}", "share", f"in full {sign}", "requests", f"{sign}/request", "change"]
        rows = [
            [
                row["name"], row["dollars"], share(row.get("share")), row.get("inFull", ""),
                f"{row['requests']:,.0f}" if "requests" in row else "", unit(row), change(row),
            ]
            for row in part["rows"]
        ]  # fmt: skip
        yield f"Where it went, by {part['label']}", columns, [*rows, ["(bill)", part["dollars"], "", "", "", "", ""]]


def _figure(part: Mapping[str, Any], side: str) -> str:
    value = part[side]
    if part["of"] == "cost":
        return f"{value:,.2f}"
    if part.get("unit") == "minutes":
        return f"{value:.3g} min"
    return f"{value:,.0f}" if part["of"] == "requests" else format_ratio(value, 2)
