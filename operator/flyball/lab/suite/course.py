"""The course of one scenario: bounds, every policy with its defaults, hindsight, frontiers, and the conclusion."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from flyball.core.units import counted, format_duration
from flyball.lab.presets import PRESETS
from flyball.lab.scenario import Scenario
from flyball.lab.suite.arena import Arena, UnplayableError, ask, survey
from flyball.lab.suite.book import Book
from flyball.lab.suite.choices import Setting, knobs_of, main_value
from flyball.lab.suite.conclusion import BOUNDS, FLOOR, FLYBALL, ORACLE, STATIC_PEAK, Conclusion, Series
from flyball.lab.suite.hindsight import grid, tune
from flyball.lab.suite.pieces import FloorPiece, OraclePiece, StaticPeak
from flyball.lab.suite.pool import Course, Document, Piece, Result
from flyball.lab.suite.results import Role
from flyball.lab.suite.traffic_kind import TrafficKind
from flyball.lab.suite.tuning import around, thinned

Steps = Generator[Sequence[Piece], list[Result], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is played beside the policies themselves: so many points at most for each frontier (0 draws none), on
    the first so many seeds; the clairvoyant plan is searched for so many core seconds.
    """

    sweep_points: int = 5
    sweep_seeds: int = 1
    oracle_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A run: of which policy with which knobs and seed, and in which role it is entered under which name."""

    policy: str
    knobs: Setting
    seed: int
    role: Role
    name: str


def scenario_course(scenario: Scenario, effort: Effort) -> Course[Conclusion]:
    """Everything that is asked about one scenario."""
    try:
        arena = yield from survey(scenario, range(1, scenario.seeds + 1))
    except UnplayableError as error:
        return Conclusion(scenario.name, about(scenario), scenario.objectives, scenario.seeds, skipped=str(error))
    course = _Course(arena, effort)
    yield from course.bounds_and_defaults()
    if scenario.hindsight:
        yield from course.hindsight()
    return course.conclusion()


class _Course:
    def __init__(self, arena: Arena, effort: Effort) -> None:
        self._arena, self._effort = arena, effort
        self._book = Book(arena.scenario.name, arena.scenario.objectives)
        self._series: dict[str, Series] = {}
        self._least_constant: float | None = None
        self._rivals = [name for name in arena.scenario.policies if name not in BOUNDS]

    def bounds_and_defaults(self) -> Steps:
        bounds = self._bounds()
        wanted = [_Wanted(name, {}, seed, Role.DEFAULT, name) for name in self._rivals for seed in self._arena.seeds]
        wanted += [run for name in self._rivals for run in self._swept(name, name, {})]
        played = [self._arena.piece(run.policy, run.knobs, run.seed) for run in wanted]
        documents = yield from ask([*bounds, *played], self._arena.faults)
        for bound, found in zip(bounds, documents, strict=False):
            if found is not None:
                self._take_bound(bound, found)
        self._take(wanted, documents[len(bounds) :])

    def hindsight(self) -> Steps:
        tuned = yield from tune(self._arena, [name for name in self._rivals if grid(name)])
        wanted: list[_Wanted] = []
        for name, found in tuned.items():
            if not found.verified:
                continue
            known = [candidate.knobs for candidate in found.verified]
            for candidate in [*found.verified, *(each for each in found.searched if each.knobs not in known)]:
                role = Role.TUNED if candidate is found.verified[0] else Role.SWEEP
                for seed, document in candidate.documents.items():
                    self._enter(f"{name}*", role, candidate.knobs, seed, document)
            wanted += self._swept(name, f"{name}*", found.verified[0].knobs)
        yield from self._play(wanted)

    def _play(self, wanted: Sequence[_Wanted]) -> Steps:
        pieces = [self._arena.piece(run.policy, run.knobs, run.seed) for run in wanted]
        self._take(wanted, (yield from ask(pieces, self._arena.faults)))

    def _take(self, wanted: Sequence[_Wanted], documents: Sequence[Document | None]) -> None:
        for run, document in zip(wanted, documents, strict=True):
            if document is not None:
                self._enter(run.name, run.role, run.knobs, run.seed, document)

    def _bounds(self) -> list[FloorPiece | OraclePiece | StaticPeak]:
        arena, policies = self._arena, self._arena.scenario.policies
        pieces: list[FloorPiece | OraclePiece | StaticPeak] = []
        if STATIC_PEAK in policies:
            pieces.append(StaticPeak(arena.scenario, tuple(arena.seeds), tuple(map(arena.initial, arena.seeds))))
        for seed in arena.seeds:
            if FLOOR in policies:
                pieces.append(FloorPiece(arena.scenario, seed, arena.initial(seed)))
            if ORACLE in policies:
                pieces.append(OraclePiece(arena.scenario, seed, arena.initial(seed), self._effort.oracle_seconds))
        return pieces

    def _take_bound(self, piece: FloorPiece | OraclePiece | StaticPeak, document: Document) -> None:
        if isinstance(piece, FloorPiece):
            self._book.add_floor(piece.seed, document["gpuHours"], document["cost"], document["meanReplicas"])
        elif isinstance(piece, OraclePiece):
            self._enter(ORACLE, Role.DEFAULT, {}, piece.seed, document)
        else:
            self._least_constant = document["replicas"] if document["meets"] else None
            for seed, run in zip(piece.seeds, document["runs"], strict=True):
                self._enter(STATIC_PEAK, Role.DEFAULT, {"replicas": document["replicas"]}, seed, run)

    def _swept(self, policy: str, name: str, fixed: Setting) -> list[_Wanted]:
        """The frontier along the main knob, the others as they are fixed."""
        choice = knobs_of(policy)
        if choice is None or not self._effort.sweep_points:
            return []
        # Ours is compared with every other one, and has one knob.
        most = len(choice.sweep) if policy == FLYBALL else self._effort.sweep_points
        chosen = main_value(policy, fixed)
        numbers = [float(value) for value in choice.sweep if isinstance(value, (int, float))]
        if fixed and isinstance(chosen, (int, float)) and len(numbers) == len(choice.sweep):
            values: Sequence[object] = around(numbers, float(chosen), most)
        else:
            values = thinned(choice.sweep, most)
        return [
            _Wanted(policy, {**fixed, choice.main: value}, seed, Role.SWEEP, name)  # type: ignore[dict-item]
            for value in values
            if value != chosen
            for seed in self._arena.seeds[: self._effort.sweep_seeds]
        ]

    def _enter(self, name: str, role: Role, knobs: Setting, seed: int, document: Document) -> None:
        if role is not Role.SWEEP and seed == self._arena.seeds[0]:
            self._series[name] = document["series"]
        value = main_value(name.removesuffix("*"), knobs)
        self._book.add(name, role, value, knobs, seed, document["figures"])

    def conclusion(self) -> Conclusion:
        scenario, ground = self._arena.scenario, self._arena.grounds[self._arena.seeds[0]]
        not_counted = self._not_counted()
        return Conclusion(
            name=scenario.name,
            about=about(scenario),
            objectives=scenario.objectives,
            seeds=scenario.seeds,
            runs=tuple(self._book.rated(counted=not not_counted)),
            kind=TrafficKind(ground["variation"], ground["dailyCorrelation"]),
            span_seconds=ground["spanSeconds"],
            warmup_seconds=scenario.trace.warmup_seconds,
            by_cost=len(scenario.variants) > 1,
            series=self._series,
            not_counted=not_counted,
            faults=tuple(self._arena.faults),
        )

    def _not_counted(self) -> str:
        """A scenario that a constant count solves as well as anything asks for sizing, and not for control. Where there
        may be no replica at all, the question is when to have one.
        """
        if not sum(variant.min_replicas for variant in self._arena.scenario.variants):
            return ""
        floor = self._book.mean_floor_replicas()
        if floor is None or self._least_constant is None or self._least_constant > floor + 1:
            return ""
        return (
            f"the best constant count, {self._least_constant:g}, is within one replica of the floor's mean, "
            f"{floor:.1f}: this checks sizing, and not control"
        )


def about(scenario: Scenario) -> str:
    """What is asked, in a phrase."""
    source = scenario.trace
    trace = source.path if source.generated else source.path.rsplit("/", 1)[-1]
    parts = [trace if source.rate_scale == 1 else f"{trace} at {source.rate_scale:g} × its rate"]
    for variant in scenario.variants:
        named = next((name for name, preset in PRESETS.items() if preset.parameters == variant.engine), "own engine")
        parts.append(f"{variant.name} ({named}, ready after {format_duration(variant.startup_seconds)})")
    if scenario.options.gpus is not None:
        parts.append(counted(scenario.options.gpus, "GPU"))
    parts.append(f"routing {scenario.options.routing}")
    return ", ".join(parts)
