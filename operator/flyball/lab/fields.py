"""Reads the fields of a document that a person wrote; each fault says which field, what value, and what to do."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from flyball.core.units import format_duration, parse_duration_seconds, parse_money, parse_ratio

ValueT = TypeVar("ValueT")
REQUIRED: Any = object()


class FieldError(ValueError):
    """A field that cannot be used; the message names it, its value, and the fix."""


class Fields:
    """One mapping of a document. Take each field with its method, then call `finish`, which refuses what is left."""

    def __init__(self, document: object, path: str = "") -> None:
        self.path = path
        if not isinstance(document, Mapping):
            raise FieldError(f"{path or 'the document'}: is {shown(document)}; write a mapping of fields")
        self._values = dict(document)
        self._known: list[str] = []

    def take(self, name: str, parse: Callable[[Any], ValueT], default: Any = REQUIRED) -> ValueT:
        """The field's value as `parse` makes it; its ValueError becomes a fault of this field. A field that is left
        out has `default`, which is not parsed.
        """
        self._known.append(name)
        if name not in self._values:
            if default is REQUIRED:
                raise FieldError(f"{self._of(name)}: is missing; add it")
            value: ValueT = default
            return value
        value = self._values.pop(name)
        try:
            return parse(value)
        except FieldError:
            raise
        except ValueError as error:
            raise FieldError(f"{self._of(name)}: {error}") from None

    def inner(self, name: str, default: Any = REQUIRED) -> "Fields":
        """A mapping within this one."""
        return Fields(self.take(name, lambda value: value, default), self._of(name))

    def items(self, name: str, default: Any = REQUIRED) -> list["Fields"]:
        """A list of mappings within this one."""
        entries = self.take(name, _list, default)
        return [Fields(entry, f"{self._of(name)}[{index}]") for index, entry in enumerate(entries)]

    def finish(self) -> None:
        """Refuse fields that nothing took."""
        for name in self._values:
            near = difflib.get_close_matches(str(name), self._known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the fields are {', '.join(self._known)}"
            raise FieldError(f"{self._of(str(name))}: there is no such field; {hint}")

    def fault(self, name: str, what: str) -> FieldError:
        """A fault of one field that only shows beside others."""
        return FieldError(f"{self._of(name)}: {what}")

    def _of(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def shown(value: object) -> str:
    """A value as it stands in a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _list(value: object) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"is {shown(value)}; write a list with at least one entry")
    return value


def word(value: object) -> str:
    """Some text."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"is {shown(value)}; write some text")
    return value.strip()


def words(value: object) -> tuple[str, ...]:
    """A list of texts, each once."""
    found = tuple(word(entry) for entry in _list(value))
    if twice := [entry for index, entry in enumerate(found) if entry in found[:index]]:
        raise ValueError(f"{twice[0]!r} stands in it twice; name it once")
    return found


def choice(options: Iterable[str]) -> Callable[[object], str]:
    """One of some words."""
    known = list(options)

    def parse(value: object) -> str:
        if value not in known:
            raise ValueError(f"is {shown(value)}; choose one of {', '.join(known)}")
        return str(value)

    return parse


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f"is {shown(value)}; write true or false")  # noqa: TRY004 - Fields wants ValueError
    return value


def number(least: float = 0.0, most: float = math.inf, *, open_at_least: bool = False) -> Callable[[object], float]:
    """A finite number from `least` to `most`."""
    bounds = f"{'more than' if open_at_least else 'at least'} {least:g}"
    bounds += f" and at most {most:g}" if most < math.inf else ""

    def parse(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"is {shown(value)}; give a number, {bounds}")
        if not least <= value <= most or (open_at_least and value == least):
            raise ValueError(f"is {shown(value)}; give {bounds}")
        return float(value)

    return parse


def whole(least: int = 0, most: int = 1_000_000) -> Callable[[object], int]:
    """A whole number from `least` to `most`."""

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"is {shown(value)}; give a whole number, {least} to {most}")
        return value

    return parse


def duration(least: float = 0.0) -> Callable[[object], float]:
    """Seconds of a duration such as 15s or 1h30m, at least `least`."""

    def parse(value: object) -> float:
        if not isinstance(value, str):
            raise ValueError(f"is {shown(value)}; write a duration such as 15s, 5m or 1h30m")  # noqa: TRY004 - as above
        seconds = parse_duration_seconds(value)
        if not math.isfinite(seconds) or seconds < least:
            raise ValueError(f"is {value!r}; give {format_duration(least)} or more")
        return seconds

    return parse


def duration_or_none(value: object) -> float:
    """Seconds of a duration above 0; infinite for the word none."""
    return math.inf if value is None or value == "none" else duration(least=0.001)(value)


def ratio(value: object) -> float:
    """The ratio of a percentage such as 95%."""
    if not isinstance(value, str):
        raise ValueError(f'is {shown(value)}; write a percentage such as "95%"')  # noqa: TRY004 - as above
    # Rounded, since 999 good requests of 1000 must meet 99.9%, whose float may lie a hair above.
    return round(parse_ratio(value), 12)


def money(value: object) -> Decimal:
    """Dollars, as a decimal string or a plain number."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f'is {shown(value)}; write dollars such as "0.80"')  # noqa: TRY004 - as above
    return parse_money(str(value))
