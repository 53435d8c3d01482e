"""Parsing of the units that users write: durations, percentages and money.

In: strings as they stand in a manifest. Out: float seconds, a ratio between 0 and 1, Decimal dollars.
Everything that is not plainly one of these is refused with a message that says what is accepted.
"""

import math
import re
from collections.abc import Sequence
from decimal import Decimal

_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_PERCENT = re.compile(r"\d{1,3}(?:\.\d+)?%", re.ASCII)
_MONEY = re.compile(r"\d{1,12}(?:\.\d{1,9})?", re.ASCII)


def parse_duration_seconds(text: str) -> float:
    """Seconds of a duration such as `800ms`, `15s`, `5m`, `1h30m` or `28d`.

    Raises ValueError when the text is no duration.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration; write for example 800ms, 15s, 5m, 1h30m or 28d")
    return math.fsum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(text))


def format_duration(seconds: float) -> str:
    """A duration for people, to the millisecond below a minute, else in its two largest units: `800ms`, `1h30m`."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    if milliseconds < 60_000 and milliseconds % 1000:
        return f"{milliseconds / 1000:g}s"
    left, parts = milliseconds // 1000, []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, int(_UNIT_SECONDS[unit]))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2])


def parse_ratio(text: str) -> float:
    """The ratio of a percentage such as `95%` or `99.5%`: 0.95, 0.995. Raises ValueError outside 0% to 100%."""
    if not _PERCENT.fullmatch(text) or not 0 <= (ratio := float(Decimal(text[:-1]) / 100)) <= 1:
        raise ValueError(f"{text!r} is not a percentage between 0% and 100%; write for example 95% or 99.5%")
    return ratio


def parse_change(text: str) -> tuple[float, bool]:
    """The ratio of a percentage or of percentage points such as `3 points` (0.03), and whether it is points."""
    number, points, _ = text.partition(" point")
    return parse_ratio(f"{number}%" if points else text), bool(points)


def format_ratio(ratio: float, digits: int = 1) -> str:
    """A ratio as a percentage: 0.953 → `95.3%`."""
    return f"{ratio * 100:.{digits}f}%"


def parse_money(text: str) -> Decimal:
    """Dollars of a decimal string such as `12.50`. Raises ValueError for signs, exponents, NaN and anything else."""
    if not _MONEY.fullmatch(text):
        raise ValueError(f"{text!r} is not an amount of money; write a decimal string such as '12.50', without a sign")
    return Decimal(text)


def format_money(amount: Decimal, digits: int = 2) -> str:
    """Dollars with a fixed number of digits; small amounts keep three significant ones: 0.00123 → `0.00123`."""
    if amount and abs(amount) < Decimal(10) ** -digits:
        return f"{amount:.3g}" if abs(amount) >= Decimal("0.000001") else f"{amount:.2E}"
    return f"{amount:.{digits}f}"


def counted(count: int, noun: str) -> str:
    """A count with its noun in the right number: `1 replica`, `3 replicas`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def conjoin(words: Sequence[str]) -> str:
    """Words as a list in a sentence: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
