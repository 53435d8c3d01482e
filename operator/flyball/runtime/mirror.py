"""The mirror of what users declared: fed by the watch, corrected by a periodic LIST, read once per tick.

A watch-fed cache alone keeps ghosts (a relist never says what is gone), so `reconcile` drops what a LIST does not hold.
What the watch said since that LIST began is newer than the LIST, and stays.
Nothing in here raises for a bad object: it is kept as `Invalid`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flyball.api.convert import read_workload
from flyball.api.pricing import wrong_currency
from flyball.api.v1alpha1 import Budget, DemandEvent, GPUPool, PriceBook, ROIExperiment
from flyball.core.money.currency import DEFAULT_CURRENCY
from flyball.core.names import WorkloadKey
from flyball.core.spec import FieldError, Invalid, WorkloadSpec
from flyball.runtime.shelf import Raw, Shelf, identity

FINALIZER = "flyball.dev/restore-routes"


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
    def labels(self) -> Mapping[str, str]:
        """Its labels, by which DemandEvents may name it."""
        return self.raw["metadata"].get("labels") or {}

    @property
    def created(self) -> tuple[str, str]:
        """Sort key of its age; the name breaks ties."""
        return (str(self.raw["metadata"].get("creationTimestamp", "")), str(self.key))


class Mirror:
    """Everything declared, by name. `synced` is set by the first reconcile: before it nothing is decided.

    A PriceBook, GPUPool, DemandEvent or ROIExperiment that is invalid counts as absent; workloads that name such a book
    say so. Money in another currency than `currency` is refused.
    """

    def __init__(self, currency: str = DEFAULT_CURRENCY) -> None:
        self.currency = currency
        self._declared: dict[WorkloadKey, Declared] = {}
        self.books: Shelf[str, PriceBook] = Shelf(PriceBook, _name)
        self.pools: Shelf[str, GPUPool] = Shelf(GPUPool, _name)
        self.demand_events: Shelf[WorkloadKey, DemandEvent] = Shelf(DemandEvent, _key)
        self.budgets: Shelf[WorkloadKey, Budget] = Shelf(Budget, _key, self._refused)
        self.experiments: Shelf[WorkloadKey, ROIExperiment] = Shelf(ROIExperiment, _key)
        self._moves = 0
        self._moved: dict[tuple[str, object], int] = {}
        self.synced = False

    def put(self, raw: Raw) -> bool:
        """Take in a WorkloadSLO; returns whether anything but its status changed."""
        self._note("WorkloadSLO", _key(raw))
        return self._put(raw)

    def remove(self, raw: Raw) -> None:
        """Forget a WorkloadSLO."""
        self._note("WorkloadSLO", _key(raw))
        self._declared.pop(_key(raw), None)

    def put_book(self, raw: Raw) -> bool:
        """Take in a PriceBook; returns whether it changed."""
        self._note("PriceBook", _name(raw))
        changed = self.books.put(raw)
        if changed:
            self._convert_all()
        return changed

    def remove_book(self, raw: Raw) -> None:
        """Forget a PriceBook."""
        self._note("PriceBook", _name(raw))
        self.books.remove(_name(raw))
        self._convert_all()

    def put_pool(self, raw: Raw) -> bool:
        """Take in a GPUPool; returns whether it changed."""
        self._note("GPUPool", _name(raw))
        return self.pools.put(raw)

    def remove_pool(self, raw: Raw) -> None:
        """Forget a GPUPool."""
        self._note("GPUPool", _name(raw))
        self.pools.remove(_name(raw))

    def put_demand_event(self, raw: Raw) -> bool:
        """Take in a DemandEvent; returns whether it changed."""
        self._note("DemandEvent", _key(raw))
        return self.demand_events.put(raw)

    def remove_demand_event(self, raw: Raw) -> None:
        """Forget a DemandEvent."""
        self._note("DemandEvent", _key(raw))
        self.demand_events.remove(_key(raw))

    def put_budget(self, raw: Raw) -> bool:
        """Take in a Budget; returns whether it changed."""
        self._note("Budget", _key(raw))
        return self.budgets.put(raw)

    def remove_budget(self, raw: Raw) -> None:
        """Forget a Budget."""
        self._note("Budget", _key(raw))
        self.budgets.remove(_key(raw))

    def put_experiment(self, raw: Raw) -> bool:
        """Take in an ROIExperiment; returns whether it changed."""
        self._note("ROIExperiment", _key(raw))
        return self.experiments.put(raw)

    def remove_experiment(self, raw: Raw) -> None:
        """Forget an ROIExperiment."""
        self._note("ROIExperiment", _key(raw))
        self.experiments.remove(_key(raw))

    def mark(self) -> int:
        """The present moment, for `reconcile`: take it before the lists are asked for."""
        return self._moves

    def reconcile(
        self,
        workloads: Iterable[Raw],
        books: Iterable[Raw],
        mark: int,
        pools: Iterable[Raw] | None = None,
        demand_events: Iterable[Raw] | None = None,
        experiments: Iterable[Raw] | None = None,
        budgets: Iterable[Raw] | None = None,
    ) -> None:
        """Make the mirror equal to complete lists, but for what moved since `mark`; None keeps what is known."""
        self._moved = {name: moved for name, moved in self._moved.items() if moved > mark}
        if self.books.reconcile({_name(raw): raw for raw in books}, self._later("PriceBook")):
            self._convert_all()
        if pools is not None:
            self.pools.reconcile({_name(raw): raw for raw in pools}, self._later("GPUPool"))
        if demand_events is not None:
            self.demand_events.reconcile({_key(raw): raw for raw in demand_events}, self._later("DemandEvent"))
        if budgets is not None:
            self.budgets.reconcile({_key(raw): raw for raw in budgets}, self._later("Budget"))
        if experiments is not None:
            self.experiments.reconcile({_key(raw): raw for raw in experiments}, self._later("ROIExperiment"))
        listed, later = {_key(raw): raw for raw in workloads}, self._later("WorkloadSLO")
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
            declared.spec = self._converted(declared.raw, declared.accelerators)
        found = declared.spec
        return found if isinstance(found, WorkloadSpec) and found.generation == spec.generation else spec

    def workload(self, key: WorkloadKey) -> WorkloadSpec | None:
        """The valid spec of that name; None where there is none."""
        found = self._declared.get(key)
        return found.spec if found is not None and isinstance(found.spec, WorkloadSpec) else None

    def declared(self) -> tuple[Declared, ...]:
        """Everything declared now, oldest first: where two claim one target, the older keeps it."""
        return tuple(sorted(self._declared.values(), key=lambda declared: declared.created))

    def _note(self, kind: str, name: object) -> None:
        self._moves += 1
        self._moved[kind, name] = self._moves

    def _later(self, kind: str) -> set[object]:
        """The names of that kind that moved since the mark of the present reconcile."""
        return {name for moved, name in self._moved if moved == kind}

    def _put(self, raw: Raw) -> bool:
        key = _key(raw)
        known = self._declared.get(key)
        if known is not None and identity(known.raw) == identity(raw):
            known.raw = raw
            return False
        same = known is not None and known.uid == str(raw["metadata"].get("uid", ""))
        accelerators = known.accelerators if known is not None and same else {}
        self._declared[key] = Declared(key, raw, self._converted(raw, accelerators), accelerators)
        return True

    def _convert_all(self) -> None:
        for declared in self._declared.values():
            declared.spec = self._converted(declared.raw, declared.accelerators)

    def _converted(self, raw: Raw, accelerators: Mapping[str, str]) -> WorkloadSpec | Invalid:
        return read_workload(raw, self.books.valid, accelerators, self.currency)

    def _refused(self, budget: Budget) -> FieldError | None:
        return wrong_currency("spec.currency", budget.spec.currency, self.currency)


def _key(raw: Raw) -> WorkloadKey:
    return WorkloadKey(str(raw["metadata"]["namespace"]), str(raw["metadata"]["name"]))


def _name(raw: Raw) -> str:
    return str(raw["metadata"]["name"])
