"""What `make bench-simulator` found, for people: lines for the terminal, every row, and Markdown for the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e.bench import validate_prose as prose

from flyball.lab.validation.judgement import TPOT_TARGET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flyball.lab.validation.results import Found


_LATENCIES = {
    "first_token": "time to first token",
    "per_output_token": "time per output token",
    "end_to_end": "end to end",
}


def percent(value: float | None, *, signed: bool = False) -> str:
    """A share as a percentage."""
    if value is None:
        return "-"
    return f"{value:+.1%}" if signed else f"{value:.1%}"


def seconds(value: float) -> str:
    """Seconds, or below one a smaller unit."""
    if value >= 1:
        return f"{value:.2f} s"
    return f"{value * 1000:.1f} ms" if value >= 1e-3 else f"{value * 1e6:.0f} µs"


def server_lines(found: Found) -> list[str]:
    """For the terminal."""
    lines = [prose.TITLES["server"], f"  trace {found['trace']}, {found['minutes']:g} minutes of each case"]
    for case in found["cases"]:
        lines.append(f"  {_case(case)}")
        lines.append(f"    {'':24}{'':11}" + "".join(f"{name:>11}" for name in ("mean", "p50", "p95", "p99")))
        for key, name in _LATENCIES.items():
            one = case["latencies"][key]
            for side in ("measured", "simulated"):
                figures = "".join(f"{seconds(one[side][q]):>11}" for q in ("mean", "p50", "p95", "p99"))
                lines.append(f"    {name if side == 'measured' else '':24}{side:11}{figures}")
            lines.append(f"    {'':24}{_distances(one)}")
        lines.append(f"    {_noise(case)}")
    return lines


def server_markdown(found: Found) -> list[str]:
    """For the report."""
    heads = ["latency", "", "mean", "p50", "p95", "p99", "Kolmogorov-Smirnov", "Wasserstein", "median difference"]
    lines = [f"Trace {found['trace']}, {found['minutes']:g} minutes of each case.", "", prose.SERVER]
    for case in found["cases"]:
        lines += ["", f"{_case(case)}. {_noise(case)}", "", *_head(heads)]
        for key, name in _LATENCIES.items():
            one = case["latencies"][key]
            for side in ("measured", "simulated"):
                cells = [name if side == "measured" else "", side]
                cells += [seconds(one[side][q]) for q in ("mean", "p50", "p95", "p99")]
                cells += [f"{one['kolmogorov_smirnov']:.3f}", _shift(one), seconds(one["typical_difference_seconds"])]
                lines.append(_cells(cells if side == "simulated" else [*cells[:6], "", "", ""]))
    return lines


def rows_lines(found: Found) -> list[str]:
    """For the terminal: every row."""
    if "skipped" in found:
        return [prose.TITLES["rows"], f"  skipped: {found['skipped']}"]
    lines = [prose.TITLES["rows"], f"  {found['file']}; each row predicted by coefficients fitted to other rows"]
    lines += _every_row(found["engines"])
    if found["notJudged"]:
        named = "; ".join(f"{one['engine']} ({one['rows']})" for one in found["notJudged"])
        lines.append(f"  too few rows to hold any out: {named}")
    return [*lines, *(f"  {sentence}" for sentence in _verdict(found))]


def rows_markdown(found: Found) -> list[str]:
    """For the report: every engine."""
    left_out = sum(one["rows"] for one in found["notJudged"])
    return [
        prose.ROWS,
        "",
        *(f"- {sentence}" for sentence in _verdict(found)),
        "",
        *_engine_table(found["engines"]),
        "",
        f"Not judged, for too few rows to hold any out: {left_out} rows of {len(found['notJudged'])} engines.",
        "",
        prose.READING,
    ]


def published_lines(found: Found) -> list[str]:
    """For the terminal: every row."""
    lines = [prose.TITLES["published"], "  each row predicted by coefficients fitted to other rows of the same page"]
    lines += _every_row(found["engines"])
    lines += [f"  {sentence}" for sentence in _verdict(found)]
    for one in found["acrossSources"]:
        lines += [f"  {one['engine']}, by coefficients from elsewhere: {one['source']}", *_row_table(one["rows"])]
        lines.append(f"    {_across(one)}")
    return lines


def published_markdown(found: Found) -> list[str]:
    """For the report."""
    heads = ["clients", "in", "out", "TPOT, ms", "predicted", "error", "TTFT, ms", "in step", "cache"]
    lines = [
        prose.PUBLISHED,
        "",
        *(f"- {sentence}" for sentence in _verdict(found)),
        "",
        *_engine_table(found["engines"]),
        "",
        "The same law with coefficients that owe nothing to these measurements:",
        "",
        *(f"- {one['engine']}, {one['source']}: {_across(one)}." for one in found["acrossSources"]),
    ]
    for one in found["engines"]:
        lines += ["", f"{one['engine']}, each row unseen:", "", *_head(heads)]
        lines += [_cells(_row_cells(row)) for row in one["rows"]]
    return lines


def _verdict(found: Found) -> list[str]:
    met = "met" if found["tpotMedianError"] <= TPOT_TARGET else "MISSED"
    out_of_step, in_step = (percent(found[f"ttftMedianError{start}"], signed=True) for start in ("OutOfStep", "InStep"))
    prompt, concurrency = (percent(found[f"unseen{what}MedianError"]) for what in ("Prompt", "Concurrency"))
    tpot = [
        f"Time per output token, {found['judgedRows']} unseen rows: median error {percent(found['tpotMedianError'])}",
        f"asked for: under 5%, {met}",
        *(f"{percent(found[f'tpotUnder{limit}Percent'])} of rows within {limit}%" for limit in (5, 10)),
        f"{found['enginesUnder5Percent']} of {len(found['engines'])} engines have a median under 5%",
    ]
    ttft = [
        f"Time to first token: median error {out_of_step} with clients out of step, {in_step} in step",
        f"{percent(found['ttftBetween'])} of the measured lie between the two",
    ]
    sentences = [
        "; ".join(tpot),
        f"Extrapolated: {prompt} to a prompt length not fitted, {concurrency} to a concurrency not fitted",
        "; ".join(ttft),
    ]
    if found["shortOfCacheCount"]:
        short = [percent(found[f"shortOfCache{what}MedianError"]) for what in ("Tpot", "Ttft")]
        sentences.append(
            f"KV cache short, {found['shortOfCacheCount']} rows: time per output token off by {short[0]}, time to "
            f"first token (in step) by {short[1]}"
        )
    return [f"{sentence}." for sentence in sentences]


def _engine_table(engines: Sequence[Found]) -> list[str]:
    heads = [
        "engine", "rows", "base, per sequence, per context token, per prefill token (ms)", "seen", "unseen", "largest",
        "prompt unseen", "concurrency unseen", "TTFT out of step", "in step", "cache short: rows", "TPOT", "TTFT",
    ]  # fmt: skip
    return [*_head(heads), *(_cells(_engine_cells(one)) for one in engines)]


def _engine_cells(one: Found) -> list[str]:
    short = one["shortOfCacheCount"]
    return [
        one["engine"],
        str(one["judgedCount"]),
        ", ".join(f"{value:.3g}" for value in one["coefficients"].values()),
        percent(one["seenMedianError"]),
        percent(one["judgedTpotMedianError"]),
        percent(one["judgedTpotLargestError"]),
        percent(one["unseenPromptMedianError"]),
        percent(one["unseenConcurrencyMedianError"]),
        percent(one["ttftMedianErrorOutOfStep"], signed=True),
        percent(one["ttftMedianErrorInStep"], signed=True),
        str(short or ""),
        percent(one["shortOfCacheTpotMedianError"]) if short else "",
        percent(one["shortOfCacheTtftMedianError"]) if short else "",
    ]


def _every_row(engines: Sequence[Found]) -> list[str]:
    lines = []
    for one in engines:
        values = ", ".join(f"{value:.3g}" for value in one["coefficients"].values())
        lines += [f"  {one['engine']}: {values} ms (base, sequence, context token, prefill token)"]
        lines += _row_table(one["rows"])
        lines.append(
            f"    median of {one['judgedCount']} unseen rows {percent(one['judgedTpotMedianError'])}, largest "
            f"{percent(one['judgedTpotLargestError'])}"
        )
    return lines


def _row_table(rows: Sequence[Found]) -> list[str]:
    heads = ("clients", "in", "out", "TPOT ms", "predicted", "error", "TTFT ms", "out of step", "in step", "")
    return ["    " + "".join(f"{head:>12}" for head in heads), *("    " + _row_line(row) for row in rows)]


def _row_line(row: Found) -> str:
    cells = _row_cells(row)
    cells.insert(7, _number(row["outOfStepTtftMs"], 0))
    return "".join(f"{cell:>12}" for cell in cells)


def _row_cells(row: Found) -> list[str]:
    return [
        str(row["concurrency"]),
        str(row["promptTokens"]),
        str(row["outputTokens"]),
        _number(row["tpotMs"], 2),
        _number(row["predictedTpotMs"], 2),
        percent(row["tpotError"], signed=True),
        _number(row["ttftMs"], 0),
        _number(row["inStepTtftMs"], 0),
        "" if row["fitsCache"] else "short",
    ]


def _across(one: Found) -> str:
    sentence = f"median error {percent(one['fittingTpotMedianError'])} on {one['fittingCount']} rows"
    if one["shortOfCacheCount"]:
        sentence += f", {percent(one['shortOfCacheTpotMedianError'])} on {one['shortOfCacheCount']} short of KV cache"
    return sentence


def _case(case: Found) -> str:
    return (
        f"{case['replicas']} × {case['engine']}, {case['requests']} requests at {case['requestsPerSecond']:g}/s, "
        f"{case['failed']} failed"
    )


def _noise(case: Found) -> str:
    late, lag = seconds(case["sendLagP99Seconds"]), seconds(case["serverPeakLagSeconds"])
    return (
        f"The machine: requests left up to {late} late (p99), a server's iteration ended up to {lag} late, load "
        f"average {case['loadAverage']:.1f}."
    )


def _distances(one: Found) -> str:
    return (
        f"Kolmogorov-Smirnov {one['kolmogorov_smirnov']:.3f}, Wasserstein {_shift(one)}, median difference "
        f"{seconds(one['typical_difference_seconds'])}, {one['count']} requests"
    )


def _shift(one: Found) -> str:
    return f"{seconds(one['wasserstein_seconds'])} ({one['wasserstein_seconds'] / one['measured']['mean']:.1%})"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _head(heads: Sequence[str]) -> list[str]:
    return [_cells(heads), f"|{' --- |' * len(heads)}"]


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


LINES = {"server": server_lines, "rows": rows_lines, "published": published_lines}
MARKDOWN = {"server": server_markdown, "rows": rows_markdown, "published": published_markdown}
