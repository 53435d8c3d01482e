"""The report: one HTML file that needs nothing else, with a verdict, tables, pictures, and how to read them."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from flyball.core.units import format_ratio
from flyball.lab.report.plots import frontier_svg, timeline_svg
from flyball.lab.report.sentences import findings, objectives_text, spent
from flyball.lab.report.table import SHORT, equal_attainment, short_duration
from flyball.lab.report.verdict import verdict
from flyball.lab.suite.conclusion import BOUNDS, FLOOR, FLYBALL, Conclusion
from flyball.lab.suite.results import Pooled, knob_text

_HERE = Path(__file__).parent


def page(conclusions: Sequence[Conclusion], command: str, date: str, version: str) -> str:
    """The whole document."""
    played = [conclusion for conclusion in conclusions if conclusion.runs]
    skipped = [conclusion for conclusion in conclusions if not conclusion.runs]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Flyball lab: {escape(_title(conclusions))}</title><style>{_beside('style.css')}</style></head><body>",
        f"<h1>{escape(_title(conclusions))}</h1>",
        f'<p class="quiet">{escape(date)}, Flyball {escape(version)}, <code>{escape(command)}</code></p>',
        "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in verdict(conclusions)) + "</ul>",
        _overview(played) if len(played) > 1 else "",
        f"<details><summary>How to read this</summary>{_beside('reading.html')}</details>",
        *(_section(conclusion) for conclusion in played),
        _left_out(skipped),
        "</body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _beside(name: str) -> str:
    """A part of the page that is kept as a file."""
    return (_HERE / name).read_text(encoding="utf-8")


def _title(conclusions: Sequence[Conclusion]) -> str:
    return conclusions[0].name if len(conclusions) == 1 else f"{len(conclusions)} scenarios"


def _overview(played: Sequence[Conclusion]) -> str:
    """A row for each scenario."""
    rows = []
    for conclusion in played:
        ours = conclusion.line(FLYBALL)
        tuned = [] if ours is None else [r for name, r in ours.cost_ratio.items() if name.endswith("*")]
        cells = [
            f'<a href="#{_anchor(conclusion)}">{escape(conclusion.name)}</a>',
            "" if conclusion.kind is None else escape(conclusion.kind.words),
            "yes" if not conclusion.not_counted else "no",
            "–" if ours is None else "yes" if ours.meets else "NO",
            *(
                ["–"] * 3
                if ours is None
                else [f"{ours.gpu_hours:.1f}", _ratio(ours.floor_ratio), _ratio(ours.oracle_ratio)]
            ),
            f"{min(tuned):.2f}–{max(tuned):.2f}" if tuned else "–",
        ]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    headings = (
        "scenario", "traffic", "counted", "flyball meets", "GPU-h", "÷ floor", "÷ oracle",
        "÷ NAME* at equal<br>attainment, from–to",
    )  # fmt: skip
    return _table(headings, rows)


def _section(conclusion: Conclusion) -> str:
    parts = [
        f'<h2 id="{_anchor(conclusion)}">{escape(conclusion.name)}</h2>',
        f"<p>{escape(conclusion.about)}. Objectives: {escape(objectives_text(conclusion))}. {_kind(conclusion)}</p>",
        "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in findings(conclusion)) + "</ul>",
        f"<p>Not counted: {escape(conclusion.not_counted)}.</p>" if conclusion.not_counted else "",
        "".join(f"<p>Failed: {escape(fault)}</p>" for fault in conclusion.faults),
        _standings(conclusion),
        f"<h3>What each policy attains for what it costs</h3><figure>{frontier_svg(conclusion)}",
        f"<figcaption>{escape(_frontier_caption(conclusion))}</figcaption></figure>",
        *(_timeline(conclusion, policy) for policy in _pictured(conclusion)),
    ]
    return "\n".join(part for part in parts if part)


def _pictured(conclusion: Conclusion) -> list[str]:
    """Policies with a run over time, ours first, then as they stand."""
    order = [FLYBALL, *(line.policy for line in conclusion.standings)]
    return [policy for policy in dict.fromkeys(order) if policy in conclusion.series]


def _timeline(conclusion: Conclusion, policy: str) -> str:
    line = conclusion.line(policy)
    heading = f"{policy} over time" if line is None else f"{policy} over time: {_summary(line, conclusion)}"
    caption = (
        f"Above: the load. In the middle: replicas that {policy} paid for, loading and draining ones among them"
        + (", beside the best plan of a planner that knows every arrival (dashed)" if policy != "oracle" else "")
        + ". Below: the time within which 95% of each step's requests got their first token. Grey: warm-up."
    )
    figure = f"<figure>{timeline_svg(conclusion, policy)}<figcaption>{escape(caption)}</figcaption></figure>"
    if policy == FLYBALL:
        return f"<h3>{escape(heading)}</h3>{figure}"
    return f"<details><summary>{escape(heading)}</summary>{figure}</details>"


def _summary(line: Pooled, conclusion: Conclusion) -> str:
    worst = min(conclusion.objectives, key=lambda objective: line.attainment[objective.indicator] - objective.target)
    share = format_ratio(line.attainment[worst.indicator], 2)
    met = "met" if line.meets else "missed"
    return f"objectives {met} ({share} {worst.indicator}), {spent(line, conclusion)}"


def _frontier_caption(conclusion: Conclusion) -> str:
    floor = conclusion.line(FLOOR)
    text = (
        "Each mark is one setting of a policy over its seeds: the large one as it was played (open: published "
        "defaults; filled: flyball's own default, or knobs tuned in hindsight, NAME*), the small ones with its knobs "
        "turned, where no other of its settings is better and cheaper. Better is up and to the left; below the dashed "
        "line the objectives are missed. "
    )
    if floor is not None:
        text += f"The line at {spent(floor, conclusion)} is the floor. "
    return text + "Settings far beyond the picture are drawn at its edge or left out."


def _kind(conclusion: Conclusion) -> str:
    kind = conclusion.kind
    if kind is None:
        return ""
    text = f"Traffic: {kind.words} (v {kind.variation:.2f}"
    if kind.daily_correlation is not None:
        text += f", correlation from day to day {kind.daily_correlation:.2f}"
    return escape(text + ").")


def _standings(conclusion: Conclusion) -> str:
    names = [objective.indicator for objective in conclusion.objectives]
    ours = conclusion.line(FLYBALL)
    rows = []
    for line in conclusion.standings:
        bound = line.policy == FLOOR
        service = [f"{line.attainment[name] * 100:.2f}" for name in names]
        cells = [
            (escape(line.policy), f' title="{escape(knob_text(line.knobs))}"' if line.knobs else ""),
            ("" if bound else "yes" if line.meets else "NO", "" if line.meets else ' class="missed"'),
            *((("" if bound else share), "") for share in service),
            *((value, "") for value in _costs(line)),
            (equal_attainment(ours, line.policy), ""),
            *((("" if bound else value), "") for value in _behaviour(line)),
        ]
        kind = "ours" if line.policy == FLYBALL else "bound" if line.policy in BOUNDS else ""
        rows.append(f'<tr class="{kind}">' + "".join(f"<td{more}>{cell}</td>" for cell, more in cells) + "</tr>")
    headings = (
        "policy", "meets", *(f"{SHORT[name]}<br>good %" for name in names), "GPU-h", "$", "÷ floor", "÷ oracle",
        "flyball ÷ it, at<br>equal attainment", "TTFT p95", "worst<br>hour %", "5 min<br>met %",
        "largest<br>dip, points", "replicas<br>mean / peak", "scale<br>actions", "of them<br>undone", "cold<br>hits",
    )  # fmt: skip
    tuned = [f"{line.policy}: {knob_text(line.knobs)}" for line in conclusion.standings if line.policy.endswith("*")]
    chosen = f'<p class="quiet">Chosen in hindsight: {escape("; ".join(tuned))}.</p>' if tuned else ""
    return _table(headings, rows) + chosen


def _costs(line: Pooled) -> list[str]:
    return [f"{line.gpu_hours:.2f}", f"{line.cost:.2f}", _ratio(line.floor_ratio), _ratio(line.oracle_ratio)]


def _behaviour(line: Pooled) -> list[str]:
    return [
        "–" if line.ttft_p95 is None else short_duration(line.ttft_p95),
        f"{line.worst_hour * 100:.1f}",
        f"{line.windows_met * 100:.0f}",
        f"{line.worst_dip * 100:.1f}",
        f"{line.mean_replicas:.1f} / {line.peak_replicas}",
        f"{line.actions:.0f}",
        f"{line.undone:.0f}",
        f"{line.cold_hits:.0f}",
    ]


def _left_out(skipped: Sequence[Conclusion]) -> str:
    if not skipped:
        return ""
    lines = "".join(f"<li>{escape(c.name)}: {escape(c.skipped or '; '.join(c.faults))}.</li>" for c in skipped)
    return f"<h2>Not run</h2><ul>{lines}</ul>"


def _table(headings: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _anchor(conclusion: Conclusion) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in conclusion.name)


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
