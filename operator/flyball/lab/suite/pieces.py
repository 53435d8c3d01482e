"""The pieces of a scenario that a process can do by itself, each keyed by everything that shapes its result."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from flyball.lab.bounds.capacity_test import capacity
from flyball.lab.bounds.floor import floor
from flyball.lab.bounds.need import initial_replicas, request_work
from flyball.lab.bounds.oracle import clairvoyant
from flyball.lab.bounds.program import Infeasible
from flyball.lab.bounds.static_peak import static_peak
from flyball.lab.play import Game, play
from flyball.lab.policies.model import Policy, Setting
from flyball.lab.policies.registry import build
from flyball.lab.policies.static import Static
from flyball.lab.scenario import Scenario
from flyball.lab.suite.conclusion import FLYBALL
from flyball.lab.suite.feasible import infeasible
from flyball.lab.suite.figures import run_figures, run_series
from flyball.lab.suite.own import Watched
from flyball.lab.suite.pool import Document
from flyball.lab.suite.results import Knob, knob_text
from flyball.lab.suite.store import code_hash, file_hash, key_of
from flyball.lab.suite.traffic_kind import traffic_kind
from flyball.lab.suite.tuning import busiest_day
from flyball.lab.traffic import TraceSource

_TRAFFIC_CODE = (
    "lab/trace.py",
    "lab/traffic.py",
    "lab/generate.py",
    "lab/engine.py",
    "lab/score.py",
    "lab/scenario.py",
)
_SIMULATION_CODE = (*_TRAFFIC_CODE, "lab/fleet", "lab/play.py", "lab/modelserver/histograms.py")
_BOUNDS_CODE = (*_SIMULATION_CODE, "lab/bounds", "lab/policies/static.py")
_PIECE_CODE = (
    "lab/suite/pieces.py",
    "lab/suite/figures.py",
    "lab/suite/feasible.py",
    "lab/suite/traffic_kind.py",
    "lab/suite/tuning.py",
)
_OWN_CODE = ("lab/policies/flyball.py", "lab/observe.py")
_RIVAL_CODE = (*_SIMULATION_CODE, *_PIECE_CODE, "lab/policies")
_FLYBALL_CODE = (*_RIVAL_CODE, "lab/observe.py", "lab/suite/own.py", "core", "telemetry")


@dataclass(frozen=True, slots=True)
class Ground:
    """What is to be known of one seed's traffic before anything is played: whether any fleet can meet the objectives,
    what kind of traffic it is, and with how many replicas every policy starts.
    """

    scenario: Scenario
    seed: int

    @property
    def key(self) -> str:
        return key_of("ground", _question(self.scenario), self.seed, code_hash((*_BOUNDS_CODE, *_PIECE_CODE)))

    @property
    def label(self) -> str:
        return f"{self.scenario.name}: traffic"

    def work(self) -> Document:
        scenario = self.scenario
        trace = scenario.load_trace(self.seed)
        warmup = scenario.trace.warmup_seconds
        sentence = infeasible(trace, scenario.variants, scenario.objectives, warmup)
        if sentence is not None:
            return {"infeasible": sentence}
        work = request_work(trace, scenario.variants[0].engine, scenario.objectives).total
        window = max(scenario.variants[0].startup_seconds, 1.0)
        kind = traffic_kind(trace.t_seconds, work, trace.span_seconds, window)
        return {
            "infeasible": None,
            "initial": list(initial_replicas(trace, scenario.variants, scenario.objectives, warmup)),
            "variation": kind.variation,
            "dailyCorrelation": kind.daily_correlation,
            "spanSeconds": float(trace.t_seconds[-1]),
            "busiestDay": busiest_day(scenario, trace),
        }


@dataclass(frozen=True, slots=True)
class FloorPiece:
    """The bound that no policy can beat, on one seed."""

    scenario: Scenario
    seed: int
    initial: tuple[int, ...]

    @property
    def key(self) -> str:
        return key_of(
            "floor", _question(self.scenario), self.seed, self.initial, code_hash((*_BOUNDS_CODE, *_PIECE_CODE))
        )

    @property
    def label(self) -> str:
        return f"{self.scenario.name}: floor"

    def work(self) -> Document:
        scenario = self.scenario
        found = floor(
            scenario.load_trace(self.seed),
            scenario.variants,
            scenario.objectives,
            self.initial,
            scenario.trace.warmup_seconds,
            scenario.options,
            (self.seed,),
        )
        return {"gpuHours": found.gpu_hours, "cost": found.cost, "meanReplicas": found.mean_replicas}


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one replica of each variant carries within the objectives."""

    scenario: Scenario

    @property
    def key(self) -> str:
        return key_of("capacity", _question(self.scenario), code_hash((*_BOUNDS_CODE, *_PIECE_CODE)))

    @property
    def label(self) -> str:
        return f"{self.scenario.name}: capacity test"

    def work(self) -> Document:
        scenario = self.scenario
        trace = scenario.load_trace(1)
        found = [capacity(trace, v, scenario.objectives, scenario.options) for v in scenario.variants]
        return {
            "requestsPerSecond": [each.requests_per_second_per_replica for each in found],
            "inFlight": [each.in_flight_per_replica for each in found],
        }


@dataclass(frozen=True, slots=True)
class OraclePiece:
    """The best clairvoyant plan found on one seed within a budget of core seconds, and its run."""

    scenario: Scenario
    seed: int
    initial: tuple[int, ...]
    budget_seconds: float

    @property
    def key(self) -> str:
        code = code_hash((*_BOUNDS_CODE, *_PIECE_CODE))
        return key_of("oracle", _question(self.scenario), self.seed, self.initial, self.budget_seconds, code)

    @property
    def label(self) -> str:
        return f"{self.scenario.name}: clairvoyant plan, seed {self.seed}"

    def work(self) -> Document:
        scenario = self.scenario
        game = _game(scenario, self.seed, self.initial)
        warmup = scenario.trace.warmup_seconds
        found = clairvoyant(game, scenario.objectives, warmup, self.budget_seconds)
        return _played(scenario, game, found.policy())


@dataclass(frozen=True, slots=True)
class StaticPeak:
    """The fewest constant replicas that meet the objectives over all seeds, or else the most there may be; its runs."""

    scenario: Scenario
    seeds: tuple[int, ...]
    initial: tuple[tuple[int, ...], ...]

    @property
    def key(self) -> str:
        code = code_hash((*_BOUNDS_CODE, *_PIECE_CODE))
        return key_of("static-peak", _question(self.scenario), self.seeds, self.initial, code)

    @property
    def label(self) -> str:
        return f"{self.scenario.name}: smallest static fleet"

    def work(self) -> Document:
        scenario = self.scenario
        games = [_game(scenario, seed, initial) for seed, initial in zip(self.seeds, self.initial, strict=True)]
        try:
            replicas, meets = static_peak(games, scenario.objectives, scenario.trace.warmup_seconds), True
        except Infeasible:
            # The largest one is shown, missing them.
            replicas, meets = scenario.variants[0].max_replicas, False
        runs = []
        for game in games:
            setting = Setting(scenario.variants, scenario.objectives, game.initial, (), (), game.seed)
            runs.append(_played(scenario, game, Static(setting, replicas=replicas)))
        return {"replicas": replicas, "meets": meets, "runs": runs}


@dataclass(frozen=True, slots=True)
class PlayPiece:
    """One run of one policy with some of its knobs set, on one seed."""

    scenario: Scenario
    seed: int
    initial: tuple[int, ...]
    capacity: tuple[float, ...]
    concurrency: tuple[float, ...]
    policy: str
    knobs: Mapping[str, Knob] = field(default_factory=dict)

    @property
    def key(self) -> str:
        code = code_hash(_FLYBALL_CODE) if self.policy == FLYBALL else code_hash(_RIVAL_CODE, _OWN_CODE)
        shared = (self.seed, self.initial, self.capacity, self.concurrency, self.policy, dict(self.knobs), code)
        return key_of("play", _question(self.scenario), *shared)

    @property
    def label(self) -> str:
        knobs = f" ({knob_text(self.knobs)})" if self.knobs else ""
        return f"{self.scenario.name}: {self.policy}{knobs}, seed {self.seed}"

    def work(self) -> Document:
        scenario = self.scenario
        setting = Setting(
            scenario.variants, scenario.objectives, self.initial, self.capacity, self.concurrency, self.seed
        )
        game = _game(scenario, self.seed, self.initial)
        if self.policy != FLYBALL:
            return _played(scenario, game, build(self.policy, setting, self.knobs))
        own = Watched(scenario, setting, self.knobs)
        document = _played(scenario, game, own)
        document["figures"] |= {"forecastCoverage": own.coverage, "modelError30m": own.model_error}
        return document


def _game(scenario: Scenario, seed: int, initial: tuple[int, ...]) -> Game:
    return Game(scenario.load_trace(seed), scenario.variants, scenario.options, initial, seed)


def _played(scenario: Scenario, game: Game, policy: Policy) -> Document:
    """Play one run; its figures and its series."""
    played = play(game, policy)
    return {
        "figures": run_figures(scenario, game.trace, played.outcome)
        | {
            "decideSeconds": played.decide_seconds,
            "simSeconds": played.simulation_seconds,
            "forecastCoverage": {},
            "modelError30m": None,
        },
        "series": run_series(game.trace, played.outcome),
    }


def _question(scenario: Scenario) -> Scenario:
    """What shapes the result of a scenario's pieces; its name, its seeds and its choice of policies do not, and a
    trace is what it holds, wherever it lies.
    """
    history = scenario.history
    return replace(
        scenario,
        name="",
        seeds=1,
        policies=(),
        hindsight=False,
        trace=_content(scenario.trace),
        history=None if history is None else _content(history),
    )


def _content(source: TraceSource) -> TraceSource:
    return source if source.generated else replace(source, path=file_hash(source.path))
