"""The mirror of what users declared: fed by the watch, corrected by a periodic LIST, read once per tick.

A watch-fed cache alone keeps ghosts (a relist never says what is gone), so `reconcile` drops what a LIST does not hold.
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
        self.synced = False

    def put(self, raw: Raw) -> bool:
        """Take in a WorkloadSLO; returns whether anything but its status changed."""
        key = _key(raw)
        known = self._declared.get(key)
        if known is not None and _identity(known.raw) == _identity(raw):
            known.raw = raw
            return False
        accelerators = known.accelerators if known is not None else {}
        self._declared[key] = Declared(key, raw, read_workload(raw, self._books, accelerators), accelerators)
        return True

    def remove(self, raw: Raw) -> None:
        """Forget a WorkloadSLO."""
        self._declared.pop(_key(raw), None)

    def put_book(self, raw: Raw) -> None:
        """Take in a PriceBook; an invalid one counts as absent, and the workloads that name it say so."""
        name = str(raw["metadata"]["name"])
        parsed = parse_resource(PriceBook, raw)
        if isinstance(parsed, PriceBook):
            self._books[name] = parsed
        else:
            self._books.pop(name, None)
        self._convert_all()

    def remove_book(self, raw: Raw) -> None:
        """Forget a PriceBook."""
        self._books.pop(str(raw["metadata"]["name"]), None)
        self._convert_all()

    def reconcile(self, workloads: Iterable[Raw], books: Iterable[Raw]) -> None:
        """Make the mirror equal to two complete lists."""
        listed_books = list(books)
        names = {str(raw["metadata"]["name"]) for raw in listed_books}
        for gone in set(self._books) - names:
            del self._books[gone]
        for raw in listed_books:
            self.put_book(raw)
        listed = {_key(raw): raw for raw in workloads}
        for missing in set(self._declared) - set(listed):
            del self._declared[missing]
        for raw in listed.values():
            self.put(raw)
        self.synced = True

    def learn_accelerators(self, key: WorkloadKey, accelerators: Mapping[str, str]) -> None:
        """Say which accelerator each variant was seen on, so that its price can be found."""
        declared = self._declared.get(key)
        if declared is not None and dict(declared.accelerators) != dict(accelerators):
            declared.accelerators = dict(accelerators)
            declared.spec = read_workload(declared.raw, self._books, declared.accelerators)

    def declared(self) -> tuple[Declared, ...]:
        """Everything declared now, oldest first: where two claim one target, the older keeps it."""
        return tuple(sorted(self._declared.values(), key=lambda declared: declared.created))

    def _convert_all(self) -> None:
        for declared in self._declared.values():
            declared.spec = read_workload(declared.raw, self._books, declared.accelerators)


def _key(raw: Raw) -> WorkloadKey:
    return WorkloadKey(str(raw["metadata"]["namespace"]), str(raw["metadata"]["name"]))


def _identity(raw: Raw) -> tuple[object, ...]:
    metadata = raw["metadata"]
    return (
        metadata.get("uid"),
        metadata.get("generation"),
        metadata.get("deletionTimestamp"),
        tuple(metadata.get("finalizers") or ()),
    )
