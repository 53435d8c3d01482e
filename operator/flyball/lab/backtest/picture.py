"""A backtest as one page of HTML that needs nothing else: load, replicas, and what users got, over the same time."""

import io
import math
from datetime import UTC, datetime, tzinfo
from html import escape
from typing import Any

import matplotlib as mpl
import matplotlib.dates as mdates
import numpy as np
from matplotlib.figure import Figure

from flyball.lab.backtest.compare import AS_IT_RAN, FLYBALL, HAPPENED, Backtest

MOST_POINTS = 2_000
"""More than a page is wide: steps are averaged to at most so many."""
_COLOURS = {HAPPENED: "#8a8f98", AS_IT_RAN: "#8a8f98", FLYBALL: "#0b6e99"}


def page(found: Backtest, heading: str, table: str, zone: tzinfo = UTC) -> str:
    """The whole document; `table` is the text that the terminal shows."""
    notes = "".join(f"<li>{escape(note)}</li>" for note in found.notes)
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
            f"<title>Backtest of {escape(heading)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>Backtest of {escape(heading)}</h1>",
            f"<pre>{escape(table)}</pre>",
            picture(found, zone),
            f"<h2>What to know of it</h2><ul>{notes}</ul>",
            "</body></html>\n",
        )
    )


def picture(found: Backtest, zone: tzinfo = UTC) -> str:
    """The plots as an SVG element."""
    measured = found.measured
    every = max(1, math.ceil(len(measured.ends) / MOST_POINTS))
    times = [datetime.fromtimestamp(at, zone) for at in _thinned(measured.ends, every)]
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "flyball", "font.size": 9}):
        figure = Figure(figsize=(10, 6), layout="constrained")
        load, replicas = figure.subplots(2, 1, sharex=True)
        per_minute = measured.arrivals / measured.step_seconds * 60
        load.plot(times, _thinned(per_minute, every), color="#c2571a", linewidth=1)
        load.set_ylabel("requests per minute")
        for name in (HAPPENED, FLYBALL):
            replicas.plot(
                times,
                _thinned(found.column(name).replicas.astype(float), every),
                color=_COLOURS[name],
                linewidth=1.2,
                drawstyle="steps-post",
                label=name,
            )
        replicas.set_ylabel("replicas")
        replicas.set_ylim(bottom=0)
        load.set_ylim(bottom=0)
        replicas.legend(loc="upper right", frameon=False)
        locator: Any = mdates.AutoDateLocator(tz=zone)  # type: ignore[no-untyped-call]
        replicas.xaxis.set_major_locator(locator)
        replicas.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator, tz=zone))  # type: ignore[no-untyped-call]
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def _thinned(values: np.ndarray, every: int) -> np.ndarray:
    """Means of so many neighbours each; NaN where one is unknown."""
    whole = len(values) // every * every
    return np.asarray(values[:whole].reshape(-1, every).mean(axis=1))


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #1c2024; }
pre { background: #f4f5f6; padding: 1rem; overflow-x: auto; } svg { max-width: 100%; height: auto; }
"""
