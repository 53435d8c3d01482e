"""A scenario that can be played: its traffic was looked at, and what a replica carries is known."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from flyball.lab.scenario import Scenario
from flyball.lab.suite.choices import Setting
from flyball.lab.suite.pieces import Capacity, Ground, PlayPiece
from flyball.lab.suite.pool import Document, Piece, Result


@dataclass(frozen=True, slots=True)
class Arena:
    """`grounds` by seed and `capacity` are the documents of their pieces; `faults` collects those of single runs."""

    scenario: Scenario
    grounds: dict[int, Document]
    capacity: Document
    faults: list[str] = field(default_factory=list)

    @property
    def seeds(self) -> list[int]:
        return sorted(self.grounds)

    def initial(self, seed: int) -> tuple[int, ...]:
        """With how many replicas of each variant every policy starts."""
        return tuple(self.grounds[seed]["initial"])

    def piece(self, policy: str, knobs: Setting, seed: int) -> PlayPiece:
        """One run."""
        carried = (tuple(self.capacity["requestsPerSecond"]), tuple(self.capacity["inFlight"]))
        return PlayPiece(self.scenario, seed, self.initial(seed), *carried, policy, knobs)


class UnplayableError(Exception):
    """A scenario in which nothing can be played; the message says why, and what would help."""


def ask(pieces: Sequence[Piece], faults: list[str]) -> Generator[Sequence[Piece], list[Result], list[Document | None]]:
    """Have pieces worked on: their documents, None where there was a fault, which is added to `faults`."""
    if not pieces:
        return []
    results = yield pieces
    faults.extend(
        f"{piece.label}: {result.fault}" for piece, result in zip(pieces, results, strict=True) if result.fault
    )
    return [result.document for result in results]


def survey(
    scenario: Scenario, seeds: Sequence[int], capacity: Document | None = None
) -> Generator[Sequence[Piece], list[Result], Arena]:
    """Look at the traffic of each seed, and test what a replica carries unless it is known. Raises UnplayableError."""
    grounds = [Ground(scenario, seed) for seed in seeds]
    results = yield [*grounds, *([Capacity(scenario)] if capacity is None else [])]
    documents: list[Document] = []
    # Grounds first: of objectives that cannot be met they say more than a test that fails does.
    for result in results:
        if result.document is None:
            raise UnplayableError(result.fault)
        if result.document.get("infeasible"):
            raise UnplayableError(result.document["infeasible"])
        documents.append(result.document)
    return Arena(scenario, dict(zip(seeds, documents, strict=False)), capacity or documents[-1])
