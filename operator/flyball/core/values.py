"""How core's values are made: the standard library's dataclasses, frozen for the type checker and cheap at run time.

A tick makes some hundred small values for every workload. The guard that refuses assignments at run time makes each of
them up to ten times dearer (20 fields: 3.7 µs instead of 0.4), and so does a copy by `dataclasses.replace` (7.2 µs
instead of 1.2). mypy reads every line of the project and refuses the same assignments, so it alone keeps them frozen:
to it, `dataclass` and `replace` are the standard library's.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass, replace
else:
    import dataclasses
    from functools import cache
    from operator import attrgetter

    def dataclass(*, frozen, slots, order=False):
        """A class decorator as of the standard library, for values: they are compared and hashed by their fields."""
        if not (frozen and slots):
            raise TypeError("core's values are frozen and slotted; what changes is the standard library's dataclass")
        return dataclasses.dataclass(slots=True, order=order, unsafe_hash=True)

    @cache
    def _values_of(kind):
        """What gives all fields of a value of that class, as a tuple in their order."""
        names = [field.name for field in dataclasses.fields(kind)]
        return attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, names[0]),)

    def replace(value, /, **changes):
        """A copy of the value with other fields."""
        kind = type(value)
        copy = kind(*_values_of(kind)(value))
        for name, changed in changes.items():
            object.__setattr__(copy, name, changed)
        return copy


__all__ = ["dataclass", "replace"]
