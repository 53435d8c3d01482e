"""What a workload's answers cost in full, by path, and that it adds up: segments + idle = bill.

    bill = Σ paths (serving + components + share of what all paths cause) + idle + loading + unmeasured + corrections

What no single path causes, such as a component priced by the hour, is shared by requests. A path's cost per request
takes all of it: what its GPUs held while idle or loading, too.
"""

from collections.abc import Sequence
from decimal import Decimal

from flyball.core.money.bill import ALL_PATHS, Charge, Correction, PathUse
from flyball.core.money.prices import MILLION
from flyball.core.values import dataclass

NOTHING = Decimal(0)
MS_PER_HOUR = Decimal(3_600_000)


@dataclass(frozen=True, slots=True)
class PathCost:
    """Dollars of one path: what it used, its own components, and its share of what all paths cause."""

    use: PathUse
    components: Decimal
    shared: Decimal

    @property
    def path(self) -> str:
        """A variant's name, or the fallback's."""
        return self.use.path

    @property
    def dollars(self) -> Decimal:
        """All that it cost."""
        return self.use.dollars + self.components + self.shared

    @property
    def segment(self) -> Decimal:
        """What serving it cost: all but what its GPUs held while idle, loading or unmeasured."""
        return self.use.serving + self.components + self.shared

    @property
    def per_request(self) -> Decimal | None:
        """Dollars per request; None where none was measured."""
        return self.dollars / self.use.requests if self.use.requests else None

    @property
    def per_million_tokens(self) -> Decimal | None:
        """Dollars per million tokens in and out; None where none was measured."""
        tokens = self.use.prompt_tokens + self.use.output_tokens
        return self.dollars / tokens * MILLION if tokens else None


@dataclass(frozen=True, slots=True)
class Statement:
    """One workload's bill. `by_component` are the charges beside GPUs; `unshared` is what there was no request for.

    `unpriced_gpu_hours` and `unpriced` (component and quantity) are in no dollars.
    """

    paths: tuple[PathCost, ...]
    by_component: tuple[tuple[str, Decimal], ...]
    unshared: Decimal
    corrected: Decimal
    unpriced_gpu_hours: Decimal
    unpriced: tuple[tuple[str, Decimal], ...]

    @property
    def serving(self) -> Decimal:
        """Dollars of all segments."""
        return sum((path.segment for path in self.paths), NOTHING)

    @property
    def idle(self) -> Decimal:
        """Dollars of GPUs that were ready and did nothing."""
        return sum((path.use.idle for path in self.paths), NOTHING)

    @property
    def loading(self) -> Decimal:
        """Dollars of GPUs that were held by pods not ready yet."""
        return sum((path.use.loading for path in self.paths), NOTHING)

    @property
    def unmeasured(self) -> Decimal:
        """Dollars of ready GPUs of which nobody knows whether they served."""
        return sum((path.use.unmeasured for path in self.paths), NOTHING)

    @property
    def dollars(self) -> Decimal:
        """The bill."""
        return self.serving + self.idle + self.loading + self.unmeasured + self.unshared + self.corrected

    @property
    def requests(self) -> Decimal:
        """Requests measured on all paths."""
        return sum((path.use.requests for path in self.paths), NOTHING)

    @property
    def per_request(self) -> Decimal | None:
        """Dollars per request in full; None where none was measured."""
        return self.dollars / self.requests if self.requests else None


def state(uses: Sequence[PathUse], charges: Sequence[Charge], corrections: Sequence[Correction]) -> Statement:
    """The statement of one workload's lines."""
    paths = dict.fromkeys((use.path for use in uses), NOTHING)
    shared, unpriced, components = NOTHING, dict[str, Decimal](), dict[str, Decimal]()
    for charge in charges:
        if charge.dollars is None:
            unpriced[charge.component] = unpriced.get(charge.component, NOTHING) + charge.quantity
            continue
        components[charge.component] = components.get(charge.component, NOTHING) + charge.dollars
        if charge.path == ALL_PATHS:
            shared += charge.dollars
        else:
            paths[charge.path] = paths.get(charge.path, NOTHING) + charge.dollars
    shares = _shares(uses, shared)
    used = {use.path: use for use in uses}
    return Statement(
        paths=tuple(
            PathCost(used.get(path, PathUse(path)), own, shares.get(path, NOTHING)) for path, own in paths.items()
        ),
        by_component=tuple(sorted(components.items())),
        unshared=shared - sum(shares.values(), NOTHING),
        corrected=sum((each.dollars for each in corrections), NOTHING),
        unpriced_gpu_hours=sum((use.unpriced_ms for use in uses), NOTHING) / MS_PER_HOUR,
        unpriced=tuple(sorted(unpriced.items())),
    )


def _shares(uses: Sequence[PathUse], shared: Decimal) -> dict[str, Decimal]:
    """What all paths cause, shared by requests to the billionth; the last path takes what rounding leaves."""
    requests = sum((use.requests for use in uses), NOTHING)
    if not requests:
        return {}
    shares = {use.path: (shared * use.requests / requests).quantize(Decimal("1e-9")) for use in uses if use.requests}
    last = next(reversed(shares))
    shares[last] += shared - sum(shares.values(), NOTHING)
    return shares
