"""How old what users' own queries give is: known where the query is a plain selector, such as `queue_length{app="a"}`.

Of those, the time of the oldest sample is asked for in the same query. Of any other expression it cannot be known: the
samples behind `sum(rate(x[5m]))`, `x offset 1h` or `x or vector(0)` are not in its answer. Pure.
"""

import math
import re
from dataclasses import replace

from flyball.telemetry.answers import Answer
from flyball.telemetry.promql import SERIES_LABEL, either, tagged

SAMPLED = "oldest sample"
"""The tag of the row that holds the time (epoch seconds)."""

_STRING = r"""(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)"""
_MATCHER = rf"\s*[a-zA-Z_]\w*\s*(?:=~|!~|!=|=)\s*{_STRING}\s*"
# A name is a must: `timestamp` drops it, and series of several names may be the same without. Inf and NaN are numbers.
_SELECTOR = re.compile(
    rf"\s*(?!(?:inf|nan)\b)[a-zA-Z_:][\w:]*\s*(?:\{{(?:{_MATCHER}(?:,{_MATCHER})*,?\s*|\s*)\}}\s*)?",
    re.ASCII | re.IGNORECASE,
)


def plain(query: str) -> bool:
    """Whether the query is a selector of one metric's series and nothing else."""
    return _SELECTOR.fullmatch(query) is not None


def with_time(query: str, asked: str = "") -> str:
    """A user's query, or what is `asked` of it, with the time of its oldest sample where that can be known."""
    asked = asked or query
    return either((asked, tagged(f"min(timestamp({query}))", SAMPLED))) if plain(query) else asked


def told_apart(answer: Answer) -> tuple[Answer, float | None]:
    """The answer to what was asked, and the time (epoch seconds) of its oldest sample; None where it is not known."""
    rows = tuple(row for row in answer.rows if row.labels.get(SERIES_LABEL) != SAMPLED)
    times = [row.value for row in answer.rows if row.labels.get(SERIES_LABEL) == SAMPLED and math.isfinite(row.value)]
    return replace(answer, rows=rows), min(times, default=None)
