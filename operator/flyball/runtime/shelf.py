"""Declared objects of one kind by name, as raw data and as their model: what is invalid is kept with what is wrong."""

from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Any, Generic, TypeVar

from flyball.api.parse import parse_resource
from flyball.api.resource import Resource
from flyball.core.spec import FieldError

Raw = Mapping[str, Any]
NameT = TypeVar("NameT", bound=Hashable)
ResourceT = TypeVar("ResourceT", bound=Resource)


class Shelf(Generic[NameT, ResourceT]):
    """Objects of one kind. `name_of` tells them apart; a change of status or labels alone is no news. `refused` says
    what is wrong with one that is valid by itself.
    """

    def __init__(
        self,
        model: type[ResourceT],
        name_of: Callable[[Raw], NameT],
        refused: Callable[[ResourceT], FieldError | None] = lambda _: None,
    ) -> None:
        self._model = model
        self._name_of = name_of
        self._refused = refused
        self.raw: dict[NameT, Raw] = {}
        self.valid: dict[NameT, ResourceT] = {}
        self.invalid: dict[NameT, tuple[FieldError, ...]] = {}

    def put(self, raw: Raw) -> bool:
        """Take in an object; returns whether anything but its status or labels changed."""
        name = self._name_of(raw)
        before = self.raw.get(name)
        self.raw[name] = raw
        if before is not None and identity(before) == identity(raw):
            return False
        self._forget(name)
        parsed = parse_resource(self._model, raw)
        if isinstance(parsed, tuple):
            self.invalid[name] = parsed
        elif error := self._refused(parsed):
            self.invalid[name] = (error,)
        else:
            self.valid[name] = parsed
        return True

    def remove(self, name: NameT) -> None:
        """Forget an object."""
        self.raw.pop(name, None)
        self._forget(name)

    def reconcile(self, listed: Mapping[NameT, Raw], later: Collection[object]) -> bool:
        """Make the shelf equal to a complete list, but for the names in `later`; returns whether anything changed."""
        gone = [name for name in self.raw if name not in listed and name not in later]
        for name in gone:
            self.remove(name)
        changed = [name for name, raw in listed.items() if name not in later and self.put(raw)]
        return bool(gone or changed)

    def _forget(self, name: NameT) -> None:
        self.valid.pop(name, None)
        self.invalid.pop(name, None)


def identity(raw: Raw) -> tuple[object, ...]:
    """What of an object's metadata changes with everything but its status and labels."""
    metadata = raw["metadata"]
    return (
        metadata.get("uid"),
        metadata.get("generation"),
        metadata.get("deletionTimestamp"),
        tuple(metadata.get("finalizers") or ()),
    )
