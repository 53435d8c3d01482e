"""What a workload used and cost in one stretch of time, by path, state and component: the rows that the ledger keeps.

Times are whole milliseconds since the epoch, so that sums do not depend on how they are split; money is Decimal
dollars, rounded once, to the billionth, when a stretch ends.
"""

from collections.abc import Sequence
from dataclasses import fields
from decimal import Decimal

from flyball.core.names import WorkloadKey
from flyball.core.spec import Unit
from flyball.core.values import dataclass, replace

FALLBACK_PATH, ALL_PATHS = "(fallback)", "(all)"
"""The path of requests that overflow, and that of what no single path causes. No variant can have these names."""
FALLBACK_KIND, LABOR_KIND = "Fallback", "Labor"
"""The kinds of charges that no component of a price book has."""
NANO, MILLI = Decimal("1e-9"), Decimal("0.001")


@dataclass(frozen=True, slots=True)
class PathUse:
    """What one path (a variant, or the fallback) used, and what its GPUs cost by state.

    `unpriced_ms` are the GPU-milliseconds whose price was not known; they are in their state's too, and in no dollars.
    `measured_ms` says for how long the requests and tokens were measured.
    """

    path: str
    loading_ms: int = 0
    idle_ms: int = 0
    serving_ms: int = 0
    unmeasured_ms: int = 0
    loading: Decimal = Decimal(0)
    idle: Decimal = Decimal(0)
    serving: Decimal = Decimal(0)
    unmeasured: Decimal = Decimal(0)
    unpriced_ms: int = 0
    requests: Decimal = Decimal(0)
    prompt_tokens: Decimal = Decimal(0)
    output_tokens: Decimal = Decimal(0)
    measured_ms: int = 0

    @property
    def dollars(self) -> Decimal:
        """What its GPUs cost in all."""
        return self.loading + self.idle + self.serving + self.unmeasured

    @property
    def gpu_ms(self) -> int:
        """GPU-milliseconds in all."""
        return self.loading_ms + self.idle_ms + self.serving_ms + self.unmeasured_ms

    def plus(self, other: "PathUse") -> "PathUse":
        """Both together."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in _COUNTED}
        return PathUse(self.path, **sums)

    def rounded(self) -> "PathUse":
        """With money to the billionth of a dollar, and counts to the thousandth."""
        money = {name: getattr(self, name).quantize(NANO) for name in _MONEY}
        counts = {name: getattr(self, name).quantize(MILLI) for name in _COUNTS}
        return replace(self, **money, **counts)


_COUNTED = tuple(field.name for field in fields(PathUse) if field.name != "path")
_MONEY = ("loading", "idle", "serving", "unmeasured")
_COUNTS = ("requests", "prompt_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Charge:
    """What a component cost on one path: `quantity` of `unit`; `dollars` is None where its price is not known."""

    component: str
    kind: str
    path: str
    unit: Unit
    quantity: Decimal
    dollars: Decimal | None

    def rounded(self) -> "Charge":
        """With money and quantity to the billionth."""
        dollars = None if self.dollars is None else self.dollars.quantize(NANO)
        return replace(self, quantity=self.quantity.quantize(NANO), dollars=dollars)


@dataclass(frozen=True, slots=True)
class Correction:
    """Dollars by which a workload's cost at a time was found, later, to be more, or less. `note` says why."""

    at: int
    made_at: int
    component: str
    dollars: Decimal
    note: str


@dataclass(frozen=True, slots=True)
class Entry:
    """All that one workload used and cost from `start` to `end`, which lie in one period (milliseconds)."""

    key: WorkloadKey
    uid: str
    start: int
    end: int
    uses: tuple[PathUse, ...] = ()
    charges: tuple[Charge, ...] = ()

    @property
    def dollars(self) -> Decimal:
        """The bill of this stretch, as far as prices are known."""
        return sum((use.dollars for use in self.uses), Decimal(0)) + sum(
            (charge.dollars or Decimal(0) for charge in self.charges), Decimal(0)
        )


def added(before: Sequence[PathUse], more: Sequence[PathUse]) -> tuple[PathUse, ...]:
    """Uses of the same path added up."""
    sums = {use.path: use for use in before}
    for use in more:
        sums[use.path] = sums[use.path].plus(use) if use.path in sums else use
    return tuple(sums.values())


def charged(before: Sequence[Charge], more: Sequence[Charge]) -> tuple[Charge, ...]:
    """Charges of the same thing added up, those without a price apart."""
    sums = {_identity(charge): charge for charge in before}
    for charge in more:
        known = sums.get(_identity(charge))
        if known is not None:
            dollars = None if charge.dollars is None else (known.dollars or Decimal(0)) + charge.dollars
            charge = replace(known, quantity=known.quantity + charge.quantity, dollars=dollars)
        sums[_identity(charge)] = charge
    return tuple(sums.values())


def _identity(charge: Charge) -> tuple[object, ...]:
    return (charge.component, charge.kind, charge.path, charge.unit, charge.dollars is None)
