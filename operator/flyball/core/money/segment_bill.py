"""What each segment of the traffic caused of an hour's bill: by tenant, or by model, template, route, tier, version.

    serving (GPUs at work, components, fallback)  =  Σ named segments + other + unattributed,  to the last digit

GPUs at work are split by the time that each segment's tokens take (core/traffic/work.py), or by requests where only
those are counted by segment; what is charged by the request, by requests; by tokens, by tokens; by the hour, by
requests. GPUs that idle or load are of no segment. Requests whose label has no value, and those that the paths served
and nobody counted by that label, are `unattributed` with what they took. A segment is one label with one value:
labels are split each for itself, and each adds up to the whole. Money is Decimal dollars, rounded once, to the
billionth.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b

from flyball.core.money.bill import MILLI, NANO, Charge, PathUse
from flyball.core.spec import Unit
from flyball.core.traffic.work import Work
from flyball.core.values import dataclass, replace

NOTHING = Decimal(0)
MOST_NAMED_IN_ALL = 15_000
"""Segments that are named in one hour or day, all workloads together: what bounds the ledger."""
FEWEST_NAMED, MOST_NAMED = 1, 100
"""Segments that are named of one label of one workload, whatever that bound says."""
LONGEST_VALUE = 128
"""Longer values are cut, and what was cut stands for itself as a hash."""


class SegmentKind(StrEnum):
    """Whether a segment has a name, is all that the cap leaves, or is what has no value for the label."""

    NAMED = "Named"
    OTHER = "Other"
    UNATTRIBUTED = "Unattributed"


class Basis(StrEnum):
    """What GPUs at work were split by."""

    WORK = "Work"
    REQUESTS = "Requests"


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One label with one value. Those that are not named have none."""

    label: str
    value: str
    kind: SegmentKind
    basis: Basis


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests, and their tokens; None where nobody counts those."""

    requests: float = 0.0
    prompt_tokens: float | None = 0.0
    output_tokens: float | None = 0.0

    @property
    def tokens(self) -> tuple[float, float] | None:
        """Prompt and output tokens; None where either is not known."""
        if self.prompt_tokens is None or self.output_tokens is None:
            return None
        return self.prompt_tokens, self.output_tokens


@dataclass(frozen=True, slots=True)
class LabelTraffic:
    """An hour's traffic by one label: values told apart, the `rest` of those that have one, and what has none."""

    label: str
    named: tuple[tuple[str, Traffic], ...]
    rest: Traffic = Traffic()
    missing: Traffic = Traffic()

    @property
    def parts(self) -> tuple[Traffic, ...]:
        """All of it."""
        return (*(traffic for _, traffic in self.named), self.rest, self.missing)


@dataclass(frozen=True, slots=True)
class SegmentUse:
    """What one segment asked for, and the dollars that it caused."""

    segment: Segment
    requests: Decimal = NOTHING
    prompt_tokens: Decimal = NOTHING
    output_tokens: Decimal = NOTHING
    dollars: Decimal = NOTHING

    def plus(self, other: "SegmentUse") -> "SegmentUse":
        """Both together, as this one."""
        return SegmentUse(
            self.segment,
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.output_tokens + other.output_tokens,
            self.dollars + other.dollars,
        )


def clean(value: str) -> str:
    """A label's value as it is kept: printable, and not too long. Others stay others."""
    printable = "".join(each if each.isprintable() else "?" for each in value)
    if printable == value and len(value) <= LONGEST_VALUE:
        return value
    own = blake2b(value.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return f"{printable[: LONGEST_VALUE - 9]}~{own}"


def most_named(workloads: int, labels: int) -> int:
    """How many segments may be named of each label of a workload, where so many workloads are split by so many labels
    at most.
    """
    return max(FEWEST_NAMED, min(MOST_NAMED, MOST_NAMED_IN_ALL // max(1, workloads * labels)))


def split(
    traffic: LabelTraffic, uses: Sequence[PathUse], charges: Sequence[Charge], works: Mapping[str, Work], most: int
) -> tuple[SegmentUse, ...]:
    """What the segments of one label caused of one hour. `works` are those of the paths that have GPUs, and `most` how
    many segments are named: those that caused most.
    """
    basis = Basis.WORK if works and all(part.tokens is not None for part in traffic.parts) else Basis.REQUESTS
    parts = [*(part for _, part in traffic.named), traffic.rest, _unattributed(traffic, uses, basis)]
    dollars = [NOTHING] * len(parts)
    for amount, weights in _causes(parts, uses, charges, works, basis):
        dollars = [sum_ + share for sum_, share in zip(dollars, parted(amount, weights), strict=True)]
    found = [
        _use(segment, part, cost) for segment, part, cost in zip(_segments(traffic, basis), parts, dollars, strict=True)
    ]
    return tuple(use for use in capped(found, most) if use.requests or use.dollars)


def capped(uses: Sequence[SegmentUse], most: int) -> list[SegmentUse]:
    """The same, of one label, with so many named segments at most; what the others have is added to `other`."""
    named = [use for use in uses if use.segment.kind is SegmentKind.NAMED]
    named.sort(key=lambda use: (-use.dollars, -use.requests, use.segment))
    found = {use.segment: use for use in uses if use.segment.kind is not SegmentKind.NAMED}
    for use in named[most:]:
        other = replace(use.segment, value="", kind=SegmentKind.OTHER)
        found[other] = found.get(other, SegmentUse(other)).plus(use)
    return [*named[:most], *found.values()]


def parted(amount: Decimal, weights: Sequence[float]) -> list[Decimal]:
    """An amount in parts of the billionth that add up to it; where nothing has a weight the last takes all."""
    whole = sum(weights)
    if not whole > 0:
        return [*([NOTHING] * (len(weights) - 1)), amount]
    shares, passed, given = [], 0.0, NOTHING
    for weight in weights[:-1]:
        passed += weight
        upto = (amount * Decimal(min(1.0, passed / whole))).quantize(NANO)
        shares.append(upto - given)
        given = upto
    if weights[-1] > 0:
        return [*shares, amount - given]
    last = max(index for index, weight in enumerate(weights) if weight > 0)
    shares[last] += amount - given
    return [*shares, NOTHING]


def _segments(traffic: LabelTraffic, basis: Basis) -> list[Segment]:
    found = [Segment(traffic.label, value, SegmentKind.NAMED, basis) for value, _ in traffic.named]
    return [
        *found,
        *(Segment(traffic.label, "", kind, basis) for kind in (SegmentKind.OTHER, SegmentKind.UNATTRIBUTED)),
    ]


def _unattributed(traffic: LabelTraffic, uses: Sequence[PathUse], basis: Basis) -> Traffic:
    """What has no value for the label, and what the paths served beyond all that was counted by it."""

    def beyond(served: Decimal, counted: float) -> float:
        return max(0.0, float(served) - counted)

    requests = traffic.missing.requests + beyond(
        sum((use.requests for use in uses), NOTHING), sum(part.requests for part in traffic.parts)
    )
    if basis is Basis.REQUESTS:
        return Traffic(requests, *(traffic.missing.tokens or (0.0, 0.0)))
    tokens = [part.tokens or (0.0, 0.0) for part in traffic.parts]
    prompt = beyond(sum((use.prompt_tokens for use in uses), NOTHING), sum(each for each, _ in tokens))
    output = beyond(sum((use.output_tokens for use in uses), NOTHING), sum(each for _, each in tokens))
    missing = traffic.missing.tokens or (0.0, 0.0)
    return Traffic(requests, missing[0] + prompt, missing[1] + output)


def _causes(
    parts: Sequence[Traffic],
    uses: Sequence[PathUse],
    charges: Sequence[Charge],
    works: Mapping[str, Work],
    basis: Basis,
) -> list[tuple[Decimal, list[float]]]:
    """Each amount of dollars with what it is split by."""
    requests = [part.requests for part in parts]
    tokens = requests if basis is Basis.REQUESTS else [sum(part.tokens or (0.0, 0.0)) for part in parts]
    found = []
    for use in uses:
        weights = requests
        if basis is Basis.WORK:
            of_path = works.get(use.path) or next(iter(works.values()))
            weights = [of_path.seconds(part.requests, *(part.tokens or (0.0, 0.0))) for part in parts]
        found.append((use.serving, weights))
    found += [
        (charge.dollars, tokens if charge.unit is Unit.MILLION_TOKENS else requests)
        for charge in charges
        if charge.dollars
    ]
    return [(amount, weights) for amount, weights in found if amount]


def _use(segment: Segment, part: Traffic, dollars: Decimal) -> SegmentUse:
    prompt, output = part.tokens or (0.0, 0.0)
    return SegmentUse(segment, _count(part.requests), _count(prompt), _count(output), dollars)


def _count(value: float) -> Decimal:
    return Decimal(str(round(value, 3))).quantize(MILLI)
