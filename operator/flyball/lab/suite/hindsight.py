"""NAME*: each rival's best knobs on the very trace that it is judged by."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from flyball.lab.suite.arena import Arena, UnplayableError, ask, survey
from flyball.lab.suite.book import Book
from flyball.lab.suite.choices import Setting, knobs_of
from flyball.lab.suite.pool import Document, Piece, Result
from flyball.lab.suite.results import Role, Run
from flyball.lab.suite.tuning import VERIFIED, cut_to_day, ranked


@dataclass(frozen=True, slots=True)
class Candidate:
    """Knobs of a rival that were played, with the documents of its runs by seed."""

    rival: str
    knobs: Setting
    documents: dict[int, Document]


@dataclass(frozen=True, slots=True)
class Found:
    """`verified` candidates, best first: the first one is NAME*. `searched` are those of the grid that were played on
    the whole part, where it is no longer than a day: points of the rival's frontier.
    """

    verified: list[Candidate]
    searched: list[Candidate]


def tune(arena: Arena, rivals: Sequence[str]) -> Generator[Sequence[Piece], list[Result], dict[str, Found]]:
    """Each rival's best knobs: searched on one seed and the busiest 24 hours, verified on all seeds and the whole."""
    day = cut_to_day(arena.scenario, arena.grounds[arena.seeds[0]]["busiestDay"])
    trial = arena
    if day is not arena.scenario:
        try:
            trial = yield from survey(day, arena.seeds[:1], arena.capacity)
        except UnplayableError as error:
            arena.faults.append(f"{arena.scenario.name}: nothing was tuned, for on its busiest day {error}")
            return {}
    grids = [(name, knobs) for name in rivals for knobs in grid(name)]
    searched = yield from _played(arena, trial, grids, trial.seeds[:1])
    best = [(name, candidate.knobs) for name in rivals for candidate in _ranked(arena, searched, name)[:VERIFIED]]
    verified = yield from _played(arena, arena, best, arena.seeds)
    points = searched if trial is arena else []
    return {
        name: Found(_ranked(arena, verified, name), [each for each in points if each.rival == name]) for name in rivals
    }


def grid(rival: str) -> list[Setting]:
    """The combinations that are searched."""
    choice = knobs_of(rival)
    return list(choice.combinations()) if choice is not None and choice.grid else []


def _played(
    arena: Arena, trial: Arena, settings: Sequence[tuple[str, Setting]], seeds: Sequence[int]
) -> Generator[Sequence[Piece], list[Result], list[Candidate]]:
    """Settings on all of the seeds; one with a fault is left out."""
    candidates = [Candidate(name, knobs, {}) for name, knobs in settings]
    wanted = [(candidate, seed) for candidate in candidates for seed in seeds]
    pieces = [trial.piece(candidate.rival, candidate.knobs, seed) for candidate, seed in wanted]
    for (candidate, seed), document in zip(wanted, (yield from ask(pieces, arena.faults)), strict=True):
        if document is not None:
            candidate.documents[seed] = document
    return [candidate for candidate in candidates if len(candidate.documents) == len(seeds)]


def _ranked(arena: Arena, candidates: Sequence[Candidate], rival: str) -> list[Candidate]:
    book = Book(arena.scenario.name, arena.scenario.objectives)

    def judged(candidate: Candidate) -> tuple[float, float]:
        runs: list[Run] = [
            book.add(rival, Role.SWEEP, None, candidate.knobs, seed, document["figures"])
            for seed, document in candidate.documents.items()
        ]
        point = book.point(runs)
        return point.margin, point.cost

    return ranked([candidate for candidate in candidates if candidate.rival == rival], judged)
