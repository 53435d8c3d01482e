"""The report's pictures, as SVG: attainment against cost, and a run over time.

Colours are of the Okabe-Ito palette, which the colour-blind can tell apart; every line and mark also differs in shape
or stands in its own panel.
"""

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from flyball.core.units import format_duration
from flyball.lab.suite.conclusion import BOUNDS, FLOOR, FLYBALL, ORACLE, STATIC_PEAK, Conclusion, Series
from flyball.lab.suite.frontier import Point, frontier
from flyball.lab.suite.results import Pooled, Role

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000",
)  # fmt: skip
GREY = "#767676"
_RIVAL_COLOURS = (ORANGE, GREEN, VERMILION, PURPLE, SKY, GREY)
_MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "d")
_BOUND_MARKERS = {ORACLE: "*", STATIC_PEAK: "+"}
_BEST_BURN, _WORST_BURN = 0.05, 30.0
_HOUR, _DAY = 3600.0, 86_400.0


def frontier_svg(conclusion: Conclusion) -> str:
    """Every policy's settings: cost on one axis, lateness on the other, the floor as a line."""
    figure, axes = _figure(conclusion.name + "frontier", 1, 9.6, 5.6)
    panel = axes[0]
    lines = [line for line in conclusion.settings if line.policy != FLOOR]
    names = sorted({line.policy for line in lines}, key=lambda name: (name != FLYBALL, name not in BOUNDS, name))
    families = list(dict.fromkeys(name.removesuffix("*") for name in names if name not in (FLYBALL, *BOUNDS)))
    for name in names:
        place = families.index(name.removesuffix("*")) if name.removesuffix("*") in families else 0
        _draw_frontier(panel, name, place, [line for line in lines if line.policy == name], conclusion)
    floor = conclusion.line(FLOOR)
    if floor is not None:
        panel.axvline(cost(floor, conclusion), color=BLACK, linewidth=1.2)
        panel.annotate(
            "floor: no policy can be left of this", (cost(floor, conclusion), 0.02), xycoords=("data", "axes fraction"),
            xytext=(3, 0), textcoords="offset points", rotation=90, fontsize=8, ha="left", va="bottom",
        )  # fmt: skip
    panel.axhspan(1.0, _WORST_BURN, color=VERMILION, alpha=0.07, linewidth=0)
    panel.axhline(1.0, color=BLACK, linewidth=0.9, linestyle=(0, (4, 3)))
    panel.annotate(
        "objectives just met", (0.995, 1.0), xycoords=("axes fraction", "data"), xytext=(0, 3),
        textcoords="offset points", fontsize=8, ha="right",
    )  # fmt: skip
    panel.set_yscale("log")
    panel.set_ylim(_WORST_BURN, _BEST_BURN)
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} ×"))
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.set_ylabel("late requests ÷ late requests allowed\n(worst objective, log scale; up is better)")
    panel.set_xlabel("dollars" if conclusion.by_cost else "GPU-hours (left is cheaper)")
    least, most = _cost_limits(lines, floor, conclusion)
    panel.set_xlim(least, most)
    panel.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8, frameon=False, handlelength=1.6)
    return _svg(figure, conclusion.name + "frontier")


def timeline_svg(conclusion: Conclusion, policy: str) -> str:
    """One run: the load, the replicas beside those of the clairvoyant plan, and the wait for the first token."""
    series = conclusion.series[policy]
    figure, axes = _figure(conclusion.name + policy, 3, 9.6, 5.2)
    load, replicas, latency = axes
    unit, unit_name = (_HOUR, "hours") if conclusion.span_seconds > 3 * _HOUR else (60.0, "minutes")
    hours = np.array(series["seconds"], float) / unit
    load.fill_between(hours, _floats(series["requestsPerSecond"]), step="post", color=SKY, alpha=0.6, linewidth=0)
    load.set_ylabel("requests/s")
    load.set_ylim(bottom=0)
    plan = conclusion.series.get(ORACLE)
    if plan is not None and policy != ORACLE:
        at = np.array(plan["seconds"], float) / unit
        replicas.step(at, _floats(plan["replicas"]), where="post", color=GREY, linewidth=1.0, linestyle="--",
                      label="clairvoyant plan")  # fmt: skip
    replicas.step(hours, _floats(series["replicas"]), where="post", color=BLUE, linewidth=1.6, label=policy)
    replicas.set_ylabel("replicas paid")
    replicas.set_ylim(bottom=0)
    replicas.legend(loc="lower right", bbox_to_anchor=(1.0, 0.97), fontsize=8, frameon=False, ncols=2)
    _draw_latency(latency, hours, series, conclusion)
    latency.set_xlabel(f"{unit_name} since the beginning of the trace's part")
    for panel in axes:
        panel.axvspan(0, conclusion.warmup_seconds / unit, color=GREY, alpha=0.15, linewidth=0)
        panel.set_xlim(0, conclusion.span_seconds / unit)
    return _svg(figure, conclusion.name + policy)


def burn(line: Pooled, conclusion: Conclusion) -> float:
    """Late requests as a multiple of what the worst objective allows."""
    return max((1 - line.attainment[o.indicator]) / (1 - o.target) for o in conclusion.objectives)


def cost(line: Pooled, conclusion: Conclusion) -> float:
    """What is on the axis: GPU-hours, or dollars where variants differ in price."""
    return line.cost if conclusion.by_cost else line.gpu_hours


def _draw_frontier(panel: Axes, name: str, place: int, lines: Sequence[Pooled], conclusion: Conclusion) -> None:
    """One policy's settings; those that none of its own dominates are joined, the one it was played with stands out."""
    tuned, ours, bound = name.endswith("*"), name == FLYBALL, name in BOUNDS
    colour = BLUE if ours else BLACK if bound else _RIVAL_COLOURS[place % len(_RIVAL_COLOURS)]
    marker = "o" if ours else _BOUND_MARKERS[name] if bound else _MARKERS[place % len(_MARKERS)]
    efficient = frontier(Point(-burn(line, conclusion), cost(line, conclusion)) for line in lines)
    xs, ys = [point.cost for point in efficient], [_shown(-point.margin) for point in efficient]
    panel.plot(
        xs, ys, color=colour, linewidth=2.4 if ours else 1.0, linestyle="-" if ours or tuned else ":",
        alpha=1.0 if ours else 0.8, zorder=4 if ours else 2,
    )  # fmt: skip
    for line in lines:
        chief = line.role is not Role.SWEEP
        kept = Point(-burn(line, conclusion), cost(line, conclusion)) in efficient
        if not chief and not kept:
            continue
        panel.plot(
            [cost(line, conclusion)], [_shown(burn(line, conclusion))], marker=marker, color=colour,
            markersize=(12 if bound or ours else 8) if chief else 3.5, linestyle="none",
            markerfacecolor=colour if tuned or ours or bound else "white",
            markeredgewidth=1.6 if bound else 1.1, zorder=5 if ours else 3, label=name if chief else None,
        )  # fmt: skip


def _draw_latency(panel: Axes, hours: np.ndarray, series: Series, conclusion: Conclusion) -> None:
    values = _floats(series["ttftP95Seconds"])
    rates = _floats(series["requestsPerSecond"])
    # None where requests came: 5% and more of them never got a first token.
    lost = np.isnan(values) & (rates > 0)
    panel.plot(hours, values, color=BLUE, linewidth=1.2)
    panel.set_yscale("log")
    known = values[~np.isnan(values) & (values > 0)]
    top = float(known.max()) * 1.5 if len(known) else 1.0
    if lost.any():
        panel.plot(hours[lost], np.full(int(lost.sum()), top), "x", color=VERMILION, markersize=4, label="never came")
        panel.legend(loc="upper right", fontsize=8, frameon=False)
    for objective in conclusion.objectives:
        if objective.indicator == "TimeToFirstToken":
            limit = objective.threshold_seconds
            panel.axhline(limit, color=VERMILION, linewidth=1.0, linestyle=(0, (4, 3)))
            panel.annotate(
                f"objective {format_duration(limit)}", (0.995, limit), xycoords=("axes fraction", "data"),
                xytext=(0, 3), textcoords="offset points", fontsize=8, color=VERMILION, ha="right",
            )  # fmt: skip
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_duration(value)))
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.set_ylabel("first token,\np95 (log)")


def _shown(value: float) -> float:
    return min(max(value, _BEST_BURN * 1.1), _WORST_BURN / 1.1)


def _cost_limits(lines: Sequence[Pooled], floor: Pooled | None, conclusion: Conclusion) -> tuple[float, float]:
    """From a little below the floor to twice what the dearest standing costs that still matters."""
    chief = [cost(line, conclusion) for line in lines if line.role is not Role.SWEEP]
    least = min([*chief, *([cost(floor, conclusion)] if floor is not None else [])])
    median = float(np.median(chief))
    most = max(value for value in chief if value <= 3 * median)
    room = max(most - least, 0.2 * most)
    return least - room * 0.03, most + room * 0.05


def _floats(values: Sequence[float | None]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in values], float)


def _figure(salt: str, rows: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    with rc_context(_style(salt)):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0].tolist()
        for panel in axes:
            panel.grid(visible=True, color="#DDDDDD", linewidth=0.6)
            panel.set_axisbelow(True)
            panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _style(salt: str) -> Any:
    return {
        "font.size": 9.5,
        "font.family": "sans-serif",
        "path.simplify_threshold": 0.5,
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
    }


def _svg(figure: Figure, salt: str) -> str:
    """The figure as an SVG element. Its ids begin with its own salt, for several stand in one page."""
    content = io.StringIO()
    with rc_context(_style(salt)):
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    text = content.getvalue()
    return text[text.index("<svg") :]
