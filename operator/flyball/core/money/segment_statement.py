"""A workload's bill by one label of its traffic, and that it adds up: segments + idle + loading = bill.

    bill = Σ named segments + other + unattributed + idle + loading + unmeasured + corrections

What the ledger has not split (hours that are too new, or that were not measured) is `unattributed`. Beside what a
segment caused stands what it costs in full: with a share of idle, loading and all else, by what each caused.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from flyball.core.money.prices import MILLION
from flyball.core.money.segment_bill import NOTHING, Basis, Segment, SegmentKind, SegmentUse
from flyball.core.money.statement import Statement
from flyball.core.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class SegmentCost:
    """What one segment caused, and `full`: with its share of what no segment causes."""

    use: SegmentUse
    full: Decimal

    @property
    def name(self) -> str:
        """Its value, or what it is in place of one. No name of ours is taken for a value: they stand in brackets."""
        kind, value = self.use.segment.kind, self.use.segment.value
        if kind is not SegmentKind.NAMED:
            return f"({kind.lower()})"
        return f"'{value}'" if value.startswith(("(", "'")) else value

    @property
    def per_request(self) -> Decimal | None:
        """Dollars per request in full; None where none was counted."""
        return self.full / self.use.requests if self.use.requests else None

    @property
    def per_million_tokens(self) -> Decimal | None:
        """Dollars per million tokens in and out, in full; None where none was counted."""
        tokens = self.use.prompt_tokens + self.use.output_tokens
        return self.full / tokens * MILLION if tokens else None


@dataclass(frozen=True, slots=True)
class SegmentStatement:
    """One workload's bill by a label: the dearest segment first, `other` and `unattributed` last."""

    label: str
    segments: tuple[SegmentCost, ...]
    whole: Statement
    by_requests: bool

    @property
    def beside(self) -> tuple[tuple[str, Decimal], ...]:
        """What is of no segment, by what it is."""
        parts = ("idle", "loading", "unmeasured", "corrected")
        return tuple((part, getattr(self.whole, part)) for part in parts)

    @property
    def dollars(self) -> Decimal:
        """The bill, as the segments and what is beside them add up to it."""
        caused = sum((each.use.dollars for each in self.segments), NOTHING)
        return caused + sum((dollars for _, dollars in self.beside), NOTHING)


def by_segment(statement: Statement, label: str, uses: Iterable[SegmentUse]) -> SegmentStatement:
    """The statement of one workload's window by a label. `uses` are what the ledger holds of it in that window."""
    known = _merged(uses)
    by_requests = any(use.segment.basis is Basis.REQUESTS and use.dollars for use in known)
    named = sorted(
        (use for use in known if use.segment.kind is SegmentKind.NAMED), key=lambda use: (-use.dollars, use.segment)
    )
    found = [*named, *(use for use in known if use.segment.kind is SegmentKind.OTHER)]
    found += _unattributed(statement, label, known)
    caused = sum((use.dollars for use in found), NOTHING)
    return SegmentStatement(
        label, tuple(SegmentCost(use, _full(use, caused, statement)) for use in found), statement, by_requests
    )


def _full(use: SegmentUse, caused: Decimal, statement: Statement) -> Decimal:
    return use.dollars if not caused else use.dollars * statement.dollars / caused


def _merged(uses: Iterable[SegmentUse]) -> list[SegmentUse]:
    """One of each segment, whatever its hours were split by; it is by requests where any of them was."""
    found: dict[tuple[str, SegmentKind], SegmentUse] = {}
    for use in uses:
        place = (use.segment.value, use.segment.kind)
        known = found.get(place)
        if known is None:
            found[place] = use
            continue
        weaker = Basis.REQUESTS if Basis.REQUESTS in (known.segment.basis, use.segment.basis) else Basis.WORK
        found[place] = replace(known.plus(use), segment=replace(known.segment, basis=weaker))
    return list(found.values())


def _unattributed(statement: Statement, label: str, known: Sequence[SegmentUse]) -> list[SegmentUse]:
    """What has no value for the label, and all that was served beside what the segments hold."""
    blank = SegmentUse(Segment(label, "", SegmentKind.UNATTRIBUTED, Basis.WORK))
    found = next((use for use in known if use.segment.kind is SegmentKind.UNATTRIBUTED), blank)
    held = sum((use.dollars for use in known), NOTHING)
    counted = sum((use.requests for use in known), NOTHING)
    rest = SegmentUse(
        found.segment,
        max(NOTHING, statement.requests - counted),
        _beyond(statement, known, "prompt_tokens"),
        _beyond(statement, known, "output_tokens"),
        statement.serving + statement.unshared - held,
    )
    whole = found.plus(rest)
    return [whole] if whole.dollars or whole.requests else []


def _beyond(statement: Statement, known: Sequence[SegmentUse], count: str) -> Decimal:
    """What the paths counted beyond what the segments hold."""
    served = sum((getattr(path.use, count) for path in statement.paths), NOTHING)
    return max(NOTHING, served - sum((getattr(use, count) for use in known), NOTHING))
