"""Faults that can be switched on and off while the server runs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

LIES = ("zero-queue", "idle-gpu", "busy-gpu", "frozen", "nan")
"""What /metrics can pretend: nobody waits; GPUs idle; GPUs busy; the text of when the lie began; NaN in every gauge."""

_FIELDS = ("slow", "hang", "errorRate", "truncate", "lieMetrics", "stopMetrics")


class InvalidFaultError(ValueError):
    """A field of the request body, `param`, cannot be a fault."""

    def __init__(self, message: str, param: str | None) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults in force; the default is none."""

    slow: float = 1.0
    """Factor on every iteration's time."""
    hang: bool = False
    """No new iterations; requests are still accepted, and /health still answers 200, as a hung engine's does."""
    error_rate: float = 0.0
    """Share of requests that get a 500 at once."""
    truncate: bool = False
    """Connections close after half of the output."""
    lie_metrics: str | None = None
    stop_metrics: bool = False
    """/metrics answers 503."""

    def updated(self, document: object) -> Self:
        """These faults with the fields of a JSON body put over them. Raises InvalidFaultError."""
        if not isinstance(document, Mapping):
            raise InvalidFaultError(f"the body must be a JSON object with any of {', '.join(_FIELDS)}", None)
        if unknown := [str(key) for key in document if key not in _FIELDS]:
            names = ", ".join(unknown)
            raise InvalidFaultError(f"there is no fault {names}; the fields are {', '.join(_FIELDS)}", unknown[0])
        changes: dict[str, Any] = {}
        for key, value in document.items():
            changes[_snake(key)] = _parse(key, value)
        return replace(self, **changes)

    def to_json(self) -> dict[str, object]:
        """The body of GET /faults."""
        return {_camel(name): value for name, value in asdict(self).items()}


def _parse(key: str, value: object) -> float | bool | str | None:
    if key == "slow":
        return _number(key, value, 0.01, 1000.0)
    if key == "errorRate":
        return _number(key, value, 0.0, 1.0)
    if key == "lieMetrics":
        if value is None or (isinstance(value, str) and value in LIES):
            return value
        raise InvalidFaultError(f"lieMetrics is {value!r}; choose one of {', '.join(LIES)}, or null for none", key)
    if isinstance(value, bool):
        return value
    raise InvalidFaultError(f"{key} is {value!r}; give true or false", key)


def _number(key: str, value: object, low: float, high: float) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high:
        return float(value)
    raise InvalidFaultError(f"{key} is {value!r}; give a number between {low:g} and {high:g}", key)


def _snake(key: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)
