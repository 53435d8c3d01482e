"""Why a figure of a workload moved from one window to another: volume, mix, cost and value, adding up exactly.

    cost  = fixed + N × (Σ s_p × c_p + labour per request)          worth = N × worth per request

N requests, of which the share s_p took path p at c_p dollars each; `fixed` is what no request causes. A path that only
one of the windows knows is priced as there in both, so that its coming or going is mix. Each of the four moves the
figure by its Shapley value, the mean over all orders in which they can be changed one after the other: no order is
preferred, what did not change moves nothing, and together they are the whole move. In fractions, so to the last digit.
"""

from collections.abc import Callable
from enum import StrEnum
from fractions import Fraction
from itertools import combinations
from math import factorial

from flyball.core.money.books import Account
from flyball.core.values import dataclass


class Factor(StrEnum):
    """What may have moved a figure."""

    VOLUME = "Volume"
    MIX = "Mix"
    COST = "Cost"
    VALUE = "Value"


@dataclass(frozen=True, slots=True)
class Drivers:
    """One window's drivers: the number of requests, their shares by path, dollars, and worth per request."""

    volume: Fraction
    mix: dict[str, Fraction]
    cost: tuple[dict[str, Fraction], Fraction, Fraction]
    value: Fraction

    @property
    def full(self) -> Fraction:
        """Dollars in full."""
        each, fixed, labor = self.cost
        return fixed + self.volume * (sum((self.mix[p] * each[p] for p in self.mix), Fraction(0)) + labor)

    @property
    def worth(self) -> Fraction:
        """Dollars of worth."""
        return self.volume * self.value


Figure = Callable[[Drivers], Fraction]


def value_per_dollar(drivers: Drivers) -> Fraction:
    """Worth per dollar in full."""
    return drivers.worth / drivers.full


def dollars_per_request(drivers: Drivers) -> Fraction:
    """Dollars in full per request."""
    return drivers.full / drivers.volume


def decompose(before: Account, after: Account, figure: Figure, *, labor: bool = True) -> dict[Factor, Fraction] | None:
    """By how much each factor moved the figure; without `labor`, people's work is left out of the cost. What happened
    in a longer or shorter time than the other is taken at its pace.

    None where one of the windows had no requests or cost nothing: nothing can be divided then.
    """
    if min(before.requests, after.requests, before.dollars, after.dollars) <= 0:
        return None
    pace = Fraction(after.end - after.begin, before.end - before.begin)
    old, new = _drivers(before, after, labor=labor, pace=pace), _drivers(after, before, labor=labor)

    def at(changed: frozenset[Factor]) -> Fraction:
        def pick(factor: Factor) -> Drivers:
            return new if factor in changed else old

        return figure(
            Drivers(pick(Factor.VOLUME).volume, pick(Factor.MIX).mix, pick(Factor.COST).cost, pick(Factor.VALUE).value)
        )

    values = {
        subset: at(subset) for size in range(len(Factor) + 1) for subset in map(frozenset, combinations(Factor, size))
    }
    return {factor: _shapley(factor, values) for factor in Factor}


def _shapley(factor: Factor, values: dict[frozenset[Factor], Fraction]) -> Fraction:
    count, total = len(Factor), Fraction(0)
    for subset, value in values.items():
        if factor not in subset:
            weight = Fraction(factorial(len(subset)) * factorial(count - len(subset) - 1), factorial(count))
            total += weight * (values[subset | {factor}] - value)
    return total


def _drivers(account: Account, other: Account, *, labor: bool, pace: Fraction = Fraction(1)) -> Drivers:
    requests = Fraction(account.requests)
    own = {path.path: path for path in account.paths}
    theirs = {path.path: path for path in other.paths}
    mix, each, fixed = {}, {}, Fraction(account.fixed)
    for name in dict.fromkeys((*own, *theirs)):
        path, known = own.get(name), theirs.get(name)
        if path is not None and path.requests:
            mix[name], each[name] = Fraction(path.requests) / requests, Fraction(path.dollars) / Fraction(path.requests)
            continue
        mix[name] = Fraction(0)
        each[name] = Fraction(known.dollars) / Fraction(known.requests) if known and known.requests else Fraction(0)
        fixed += Fraction(path.dollars) if path is not None else 0
    work = Fraction(account.worth.labor) / requests if labor else Fraction(0)
    return Drivers(pace * requests, mix, (each, pace * fixed, work), Fraction(account.value) / requests)
