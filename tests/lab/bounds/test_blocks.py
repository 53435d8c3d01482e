"""What each block's change did, and which to keep."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lab.bounds.worlds import TINY, trace_of, variant

from flyball.lab.bounds.blocks import Tally, chosen, tally
from flyball.lab.fleet.model import FleetOptions
from flyball.lab.fleet.simulation import Simulation
from flyball.lab.play import Game
from flyball.lab.policies.model import Objective

TTFT = Objective("TimeToFirstToken", 0.1, 0.9)
E2E = Objective("EndToEnd", 0.1, 0.9)


def test_a_run_is_tallied_by_stretches() -> None:
    """A prompt of 20 tokens takes 20 ms; of ten at once, four in a batch, the first few are in time."""
    trace = trace_of([(5.0, 20, 1), *((25.0, 20, 1) for _ in range(10)), (45.0, 20, 1)])
    fleet = (variant(TINY, price="3.6", startup_seconds=10.0),)
    game = Game(trace, fleet, FleetOptions(), (1,), 0)
    simulation = Simulation(trace, fleet, FleetOptions(), (1,), 0)
    simulation.advance(15.0)
    simulation.ask(0, 2)
    simulation.advance(60.0)
    outcome = simulation.outcome()
    found = tally(game, outcome, (TTFT, E2E), 4.0, np.array([0.0, 20.0, 40.0]), ahead_seconds=5.0)
    late = int(np.count_nonzero(outcome.first_token_at - trace.t_seconds > 0.1))
    assert 0 < late < 10
    assert found.late.tolist() == [[0, late, 0], [0, late, 0]]
    # Paid: one replica from 4 s, two from 15 s; a tenth of a cent each second.
    assert found.cost == pytest.approx([0.011, 0.040, 0.020])


def options(*rows: tuple[list[float], list[float]]) -> list[Tally]:
    return [Tally(np.array(cost, float), np.array([late], float)) for cost, late in rows]


@pytest.mark.parametrize(
    ("spare", "expected"),
    [
        pytest.param(0.0, [1, 2, 1], id="one more here pays for one less there"),
        pytest.param(10.0, [1, 0, 1], id="what saves most for the late ones"),
        pytest.param(19.0, [1, 0, 1], id="no more than there are to spare"),
        pytest.param(30.0, [1, 1, 1], id="all"),
        pytest.param(-4.0, [0, 2, 1], id="more where too many are late already"),
    ],
)
def test_the_best_changes_within_what_is_spare_are_taken(spare: float, expected: list[int]) -> None:
    tried = options(
        ([9, 9, 9], [50, 50, 0]),
        ([5, 7, 6], [60, 60, 0]),
        ([14, 10, 12], [49, 40, 0]),
    )
    found = chosen(tried, {"TimeToFirstToken": spare}, (TTFT,))
    assert found is not None
    assert found.tolist() == expected


def test_nothing_is_chosen_where_nothing_helps() -> None:
    assert chosen(options(([9, 9], [5, 5]), ([9, 9], [9, 9])), {"TimeToFirstToken": 100.0}, (TTFT,)) is None


@settings(max_examples=40)
@given(
    data=st.lists(
        st.tuples(st.integers(-5, 0), st.integers(0, 9), st.integers(0, 5), st.integers(-9, 0)), min_size=1, max_size=4
    ),
    spare=st.tuples(st.integers(0, 20), st.integers(0, 20)),
)
def test_a_choice_is_within_bounds_and_saves(data: list[tuple[int, int, int, int]], spare: tuple[int, int]) -> None:
    less_cost, less_late, more_cost, more_late = np.array(data, float).T
    nothing = np.zeros(len(data))
    tried = [
        Tally(nothing, np.array([nothing, nothing])),
        Tally(less_cost, np.array([less_late, less_late / 2])),
        Tally(more_cost, np.array([more_late, nothing])),
    ]
    limits = {"TimeToFirstToken": float(spare[0]), "EndToEnd": float(spare[1])}
    found = chosen(tried, limits, (TTFT, E2E))
    costs, lates = np.array([t.cost for t in tried]), np.array([t.late for t in tried])
    columns = np.arange(len(data))

    def value(choice: np.ndarray) -> tuple[float, np.ndarray]:
        return float(costs[choice, columns].sum()), lates[choice, :, columns].sum(axis=0)

    cheapest = min(
        cost
        for combination in itertools.product(range(3), repeat=len(data))
        if np.all((pair := value(np.array(combination)))[1] <= spare) and (cost := pair[0]) <= 0
    )
    if found is None:
        return
    cost, late = value(found)
    assert np.all(late <= np.array(spare))
    assert cheapest <= cost < 0
