"""A review as one HTML page that needs nothing else; small pictures show how figures went."""

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files

from flyball.cli.review_markdown import (
    TITLES,
    amount,
    by_segment,
    day,
    head,
    moving,
    overview,
    sections,
    span,
    summary,
)
from flyball.core.evidence.review_figures import Document
from flyball.ledger.reviews import Decision

WIDTH, HEIGHT, PAD = 220, 56, 6
_STYLE = """
nav a { margin-right: 1em }
.action { font-weight: 600 }
.trend { display: flex; flex-wrap: wrap; gap: 1.5em; margin: 1em 0 }
.trend figure { margin: 0 }
.trend figcaption { max-width: 220px }
td { white-space: normal }
.line { fill: none; stroke: #0072B2; stroke-width: 2 }
.last { fill: #0072B2 }
.limit { stroke: #a33c00; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) {
  :root { color-scheme: dark }
  body { color: #e6e6e6; background: #16181c }
  h2 { border-color: #4a4d55 }
  th { border-color: #c8c8c8 }
  td { border-color: #33363d }
  .quiet, figcaption { color: #a9adb5 }
  a { color: #7cc4f5 }
  .line { stroke: #56B4E9 }
  .last { fill: #56B4E9 }
  .limit { stroke: #ff9d6b }
}
ul.proposals { padding-left: 1.2em }
"""


def page(document: Document, decided: Sequence[Decision]) -> str:
    """The whole document."""
    title = f"{TITLES[document['kind']]} {document['id']}"
    style = files("flyball.lab.report").joinpath("style.css").read_text(encoding="utf-8")
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{escape(title)}</title><style>{style}{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="quiet">{escape(span(document))}</p>',
        f"<p>{escape(summary(document))}</p>",
        _table(head(document), overview(document), links=document),
        *(
            f"<h2>{escape(title)}</h2>{_table(columns, rows)}"
            for title, columns, rows in by_segment(document, document)
        ),
        *(_workload(document, each) for each in document["workloads"]),
        _decided(document, decided),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _workload(document: Document, each: Document) -> str:
    parts = [f'<h2 id="{_anchor(each)}">{escape(each["namespace"])}/{escape(each["name"])}</h2>']
    if "recommendation" in each:
        found = each["recommendation"]
        parts.append(f'<p><span class="action">{escape(found["action"])}</span>: {escape(found["text"])}.</p>')
    if "routes" in each:
        parts.append(f'<p class="quiet">By route: {escape(each["routes"]["note"])}.</p>')
    if each["proposals"]:
        parts.append('<ul class="proposals">')
        for found in each["proposals"]:
            dollars = f" ({escape(amount(document, found['dollars']))})" if "dollars" in found else ""
            parts.append(
                f'<li><span class="action">{escape(found["action"])}</span>: {escape(found["text"])}{dollars}</li>'
            )
        parts.append("</ul>")
    parts.append(f'<div class="trend">{"".join(_pictures(document, each))}</div>')
    parts.append(f'<p class="quiet">{escape(moving(document, each))}</p>')
    for title, columns, rows in sections(document, each):
        if rows and title == "Trend":
            parts.append(f"<details><summary>{escape(title)}</summary>{_table(columns, rows)}</details>")
        elif rows:
            parts.append(f"<h3>{escape(title)}</h3>{_table(columns, rows)}")
    return "\n".join(parts)


def _pictures(document: Document, each: Document) -> Iterator[str]:
    """Cost, cost per request, how busy GPUs were, and each objective, over the periods."""
    trend = each["trend"]
    yield _picture("cost", [float(part["dollars"]) for part in trend], amount(document, each["dollars"]))
    units = [float(part["perRequest"]) if part.get("perRequest") else None for part in trend]
    said = amount(document, f"{units[-1]:.4g}") if units[-1] is not None else ""
    yield _picture("cost per request", units, said)
    busy = [part.get("utilization") for part in trend]
    yield _picture("GPUs busy", busy, f"{busy[-1]:.0%}" if busy[-1] is not None else "")
    for objective in each["objectives"]:
        shares = [part["attained"].get(objective["name"]) for part in trend]
        said = f"{objective['attained']:.2%}"
        yield _picture(objective["name"], shares, said, limit=objective.get("target"))


def _picture(name: str, values: Sequence[float | None], said: str, limit: float | None = None) -> str:
    """A line through the values that are known, the last one marked; `limit` is a dashed line."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ""
    low, high = (
        min([*known, *([limit] if limit is not None else [])]),
        max([*known, *([limit] if limit is not None else [])]),
    )
    low, high = (low - 1.0, high + 1.0) if low == high else (low, high)
    step = (WIDTH - 2 * PAD) / (len(values) - 1)

    def at(index: int, value: float) -> tuple[float, float]:
        return PAD + index * step, HEIGHT - PAD - (value - low) / (high - low) * (HEIGHT - 2 * PAD)

    points = [at(index, value) for index, value in enumerate(values) if value is not None]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashed = ""
    if limit is not None:
        y = at(0, limit)[1]
        dashed = f'<line x1="0" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" class="limit"/>'
    x, y = points[-1]
    label = escape(f"{name}: {said}")
    return (
        f'<figure><svg role="img" aria-label="{label}" width="{WIDTH}" height="{HEIGHT}">'
        f'{dashed}<polyline points="{path}" class="line"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="last"/></svg><figcaption>{label}</figcaption></figure>'
    )


def _decided(document: Document, decided: Sequence[Decision]) -> str:
    rows = [[day(document, m.made_at), m.decision, m.workload or "all", m.who, m.note] for m in decided]
    if not rows:
        return f"<h2>Decided</h2><p>Nothing yet: <code>flyball review decide {escape(document['id'])} …</code></p>"
    return f"<h2>Decided</h2>{_table(['day', 'decision', 'workload', 'who', 'why'], rows)}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], links: Document | None = None) -> str:
    first = "".join(f"<th>{escape(column)}</th>" for column in columns)
    shown = []
    for index, row in enumerate(rows):
        cells = [escape(cell) for cell in row]
        if links is not None:
            cells[0] = f'<a href="#{_anchor(links["workloads"][index])}">{cells[0]}</a>'
        shown.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return f'<div class="wide"><table><thead><tr>{first}</tr></thead><tbody>{"".join(shown)}</tbody></table></div>'


def _anchor(each: Document) -> str:
    return escape(f"{each['namespace']}-{each['name']}")
