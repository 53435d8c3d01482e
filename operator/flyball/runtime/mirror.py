"""The mirror of what users declared: fed by the watch, corrected by a periodic LIST, read once per tick.

A watch-fed cache alone keeps ghosts (a relist never says what is gone), so `reconcile` drops what a LIST does not hold.
What the watch said since that LIST began is newer than the LIST, and stays.
Nothing in here raises for a bad object: it is kept as `Invalid`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flyball.api.convert import read_workload
from flyball.api.parse import parse_resource
from flyball.api.v1alpha1 import PriceBook
from flyball.core.names import WorkloadKey
from flyball.core.spec import Invalid, WorkloadSpec

FINALIZER = "flyball.dev/restore-routes"

Raw = Mapping[str, Any]


@dataclass(slots=True)
class Declared:
    """One WorkloadSLO as last seen. `spec` is what it converts to with the prices and accelerators known now."""

    key: WorkloadKey
    raw: Raw
    spec: WorkloadSpec | Invalid
    accelerators: Mapping[str, str] = field(default_factory=dict)

    @property
    def uid(self) -> str:
        """The object's own, which no later one of its name shares."""
        return str(self.raw["metadata"].get("uid", ""))

    @property
    def deleting(self) -> bool:
        """Whether its deletion was asked for."""
        return bool(self.raw["metadata"].get("deletionTimestamp"))

    @property
    def has_finalizer(self) -> bool:
        """Whether Flyball's finalizer holds it back."""
        return FINALIZER in (self.raw["metadata"].get("finalizers") or ())

    @property
    def created(self) -> tuple[str, str]:
        """Sort key of its age; the name breaks ties."""
        return (str(self.raw["metadata"].get("creationTimestamp", "")), str(self.key))


class Mirror:
    """WorkloadSLOs and PriceBooks by name. `synced` is set by the first reconcile: before it nothing is decided."""

    def __init__(self) -> None:
        self._declared: dict[WorkloadKey, Declared] = {}
        self._books: dict[str, PriceBook] = {}
        self._raw_books: dict[str, Raw] = {}
        self._moves = 0
        self._moved: dict[WorkloadKey | str, int] = {}
        self.synced = False

    def put(self, raw: Raw) -> bool:
        """Take in a WorkloadSLO; returns whether anything but its status changed."""
        self._note(_key(raw))
        return self._put(raw)

    def remove(self, raw: Raw) -> None:
        """Forget a WorkloadSLO."""
        self._note(_key(raw))
        self._declared.pop(_key(raw), None)

    def put_book(self, raw: Raw) -> bool:
        """Take in a PriceBook; an invalid one counts as absent, and the workloads that name it say so.

        Returns whether it changed.
        """
        self._note(_name(raw))
        changed = self._put_book(raw)
        if changed:
            self._convert_all()
        return changed

    def remove_book(self, raw: Raw) -> None:
        """Forget a PriceBook."""
        self._note(_name(raw))
        self._drop_book(_name(raw))
        self._convert_all()

    def mark(self) -> int:
        """The present moment, for `reconcile`: take it before the lists are asked for."""
        return self._moves

    def reconcile(self, workloads: Iterable[Raw], books: Iterable[Raw], mark: int) -> None:
        """Make the mirror equal to two complete lists, but for what moved since `mark`."""
        later = {name for name, moved in self._moved.items() if moved > mark}
        self._moved = {name: self._moved[name] for name in later}
        listed_books = {_name(raw): raw for raw in books}
        gone = self._raw_books.keys() - listed_books.keys() - later
        for name in gone:
            self._drop_book(name)
        changed = [name for name in listed_books.keys() - later if self._put_book(listed_books[name])]
        if gone or changed:
            self._convert_all()
        listed = {_key(raw): raw for raw in workloads}
        for missing in self._declared.keys() - listed.keys() - later:
            del self._declared[missing]
        for key in listed.keys() - later:
            self._put(listed[key])
        self.synced = True

    def learn_accelerators(self, spec: WorkloadSpec, accelerators: Mapping[str, str]) -> WorkloadSpec:
        """Say which accelerator each variant was seen on; returns the spec with the prices that are found by it.

        What was learned is kept while no pod shows it.
        """
        declared = self._declared.get(spec.key)
        if declared is None or declared.uid != spec.uid:
            return spec
        if not accelerators.items() <= declared.accelerators.items():
            declared.accelerators = {**declared.accelerators, **accelerators}
            declared.spec = read_workload(declared.raw, self._books, declared.accelerators)
        found = declared.spec
        return found if isinstance(found, WorkloadSpec) and found.generation == spec.generation else spec

    def declared(self) -> tuple[Declared, ...]:
        """Everything declared now, oldest first: where two claim one target, the older keeps it."""
        return tuple(sorted(self._declared.values(), key=lambda declared: declared.created))

    def _note(self, name: WorkloadKey | str) -> None:
        self._moves += 1
        self._moved[name] = self._moves

    def _put(self, raw: Raw) -> bool:
        key = _key(raw)
        known = self._declared.get(key)
        if known is not None and _identity(known.raw) == _identity(raw):
            known.raw = raw
            return False
        same = known is not None and known.uid == str(raw["metadata"].get("uid", ""))
        accelerators = known.accelerators if known is not None and same else {}
        self._declared[key] = Declared(key, raw, read_workload(raw, self._books, accelerators), accelerators)
        return True

    def _put_book(self, raw: Raw) -> bool:
        name = _name(raw)
        before = self._raw_books.get(name)
        if before is not None and _identity(before) == _identity(raw):
            return False
        self._raw_books[name] = raw
        parsed = parse_resource(PriceBook, raw)
        if isinstance(parsed, PriceBook):
            self._books[name] = parsed
        else:
            self._books.pop(name, None)
        return True

    def _drop_book(self, name: str) -> None:
        self._raw_books.pop(name, None)
        self._books.pop(name, None)

    def _convert_all(self) -> None:
        for declared in self._declared.values():
            declared.spec = read_workload(declared.raw, self._books, declared.accelerators)


def _key(raw: Raw) -> WorkloadKey:
    return WorkloadKey(str(raw["metadata"]["namespace"]), str(raw["metadata"]["name"]))


def _name(raw: Raw) -> str:
    return str(raw["metadata"]["name"])


def _identity(raw: Raw) -> tuple[object, ...]:
    metadata = raw["metadata"]
    return (
        metadata.get("uid"),
        metadata.get("generation"),
        metadata.get("deletionTimestamp"),
        tuple(metadata.get("finalizers") or ()),
    )
