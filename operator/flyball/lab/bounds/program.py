"""The linear program of the floor: the cheapest fractional fleet that serves what is due, solved with HiGHS."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from flyball.lab.bounds.dues import Kind
from flyball.lab.bounds.need import Values

_INFEASIBLE = 2

Terms = list[tuple[slice, sparse.csr_matrix]]
"""A matrix for each block of variables."""


class Infeasible(ValueError):
    """Not even fractional replicas with perfect foresight meet the objectives."""


@dataclass(frozen=True, slots=True)
class Supply:
    """One variant's replicas over the slots.

    `before` are the replicas before the first slot, None where they may be as many as are wanted. `least`, `most` and
    `start_seconds` have one entry for each slot: the bounds, and what a replica that becomes ready then has cost until
    then. `per_work` says for each kind how many of its replica-seconds one unit of the kind's work takes at
    least. `price` is for a replica-second, `gpus` for a replica.
    """

    least: Values
    most: Values
    before: float | None
    start_seconds: Values
    per_work: tuple[float, ...]
    price: float
    gpus: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Replicas and starts; a row for each variant, a column for each slot. Both are fractional."""

    replicas: Values
    starts: Values


def cheapest_plan(slot_seconds: float, kinds: Sequence[Kind], supplies: Sequence[Supply], gpus: int | None) -> Plan:
    """Minimize Σ price × (slot_seconds × replicas + start_seconds × starts). Raises Infeasible.

    Variables, one for each slot: replicas and starts of each variant; served work of each variant and kind; of each
    kind the work that waits, and how far the service is ahead of what is due. Then the late work of each class.
    """
    count = len(kinds[0].arrived)
    program = _Program()
    one, change = sparse.identity(count, format="csr"), _changes(count)
    replicas = [program.add(supply.least, supply.most, supply.price * slot_seconds) for supply in supplies]
    starts = [program.add(0.0, np.full(count, np.inf), supply.price * supply.start_seconds) for supply in supplies]
    served = [[program.add(0.0, np.full(count, np.inf), 0.0) for _ in kinds] for _ in supplies]
    for v, supply in enumerate(supplies):
        used: Terms = [(served[v][q], per_work * one) for q, per_work in enumerate(supply.per_work)]
        program.at_most([*used, (replicas[v], -slot_seconds * one)], np.zeros(count))
        before = np.zeros(count)
        before[0] = supply.most.max() if supply.before is None else supply.before
        program.at_most([(replicas[v], change), (starts[v], -one)], before)
    if gpus is not None:
        weights: Terms = [(replicas[v], supply.gpus * one) for v, supply in enumerate(supplies)]
        program.at_most(weights, np.full(count, float(gpus)))
    for q, kind in enumerate(kinds):
        _serve(program, kind, [served[v][q] for v in range(len(supplies))])
    solution = program.solve()
    return Plan(np.array([solution[block] for block in replicas]), np.array([solution[block] for block in starts]))


def _serve(program: "_Program", kind: Kind, served: Sequence[slice]) -> None:
    """Work is served after it came, and before it is due unless it is late."""
    count, late = len(kind.arrived), kind.late
    one, change = sparse.identity(count, format="csr"), _changes(count)
    waiting = program.add(0.0, np.full(count, np.inf), 0.0)
    ahead = program.add(0.0, np.full(count, np.inf), 0.0)
    excused = program.add(0.0, late.work, 0.0)
    classes = np.arange(len(late.slots))
    by_slot = sparse.csr_matrix((np.ones(len(classes)), (late.slots, classes)), (count, len(classes)))
    all_served: Terms = [(block, one) for block in served]
    program.equal([*all_served, (waiting, change)], np.diff(kind.arrived, prepend=0.0))
    program.equal([*all_served, (ahead, -change), (excused, by_slot)], np.diff(kind.due, prepend=0.0))
    program.at_most([(excused, _row(1 / late.largest))], np.array([kind.late_requests]))
    # What waits at the end was not due, or may stay without an answer.
    at_end = np.zeros(count)
    at_end[-1] = 1.0
    left = kind.arrived[-1] - kind.due[-1] - kind.due_at_end
    program.at_most([(waiting, _row(at_end)), (excused, _row(late.served - 1))], np.array([left]))


class _Program:
    """Blocks of variables, and rows of matrices over them."""

    def __init__(self) -> None:
        self._size = 0
        self._bounds: list[Values] = []
        self._costs: list[Values] = []
        self._rows: dict[bool, list[tuple[Terms, Values]]] = {True: [], False: []}

    def add(self, least: Values | float, most: Values, cost: Values | float) -> slice:
        block = slice(self._size, self._size + len(most))
        self._size = block.stop
        self._bounds.append(np.stack([np.broadcast_to(least, len(most)), most], axis=1))
        self._costs.append(np.broadcast_to(cost, len(most)))
        return block

    def at_most(self, terms: Terms, limit: Values) -> None:
        self._rows[False].append((terms, limit))

    def equal(self, terms: Terms, value: Values) -> None:
        self._rows[True].append((terms, value))

    def solve(self) -> Values:
        (equal, value), (at_most, limit) = (self._matrix(self._rows[kind]) for kind in (True, False))
        found = linprog(
            np.concatenate(self._costs),
            A_ub=at_most,
            b_ub=limit,
            A_eq=equal,
            b_eq=value,
            bounds=np.concatenate(self._bounds),
            method="highs-ds",
        )
        if found.status == _INFEASIBLE:
            raise Infeasible("no plan serves what is due in time")
        if not found.success:
            raise RuntimeError(f"the solver gave up: {found.message}")
        solution: Values = found.x
        return solution

    def _matrix(self, rows: Sequence[tuple[Terms, Values]]) -> tuple[sparse.csr_matrix, Values]:
        height = 0
        data, row, column = [], [], []
        for terms, sides in rows:
            for block, matrix in terms:
                entries = matrix.tocoo()
                data.append(entries.data)
                row.append(entries.row + height)
                column.append(entries.col + block.start)
            height += len(sides)
        entries = (np.concatenate(data), (np.concatenate(row), np.concatenate(column)))
        return sparse.csr_matrix(entries, (height, self._size)), np.concatenate([sides for _, sides in rows])


def _changes(count: int) -> sparse.csr_matrix:
    """x[k] − x[k − 1], with x[−1] = 0."""
    return sparse.diags([np.ones(count), -np.ones(count - 1)], [0, -1], format="csr")


def _row(values: Values) -> sparse.csr_matrix:
    return sparse.csr_matrix(values.reshape(1, -1))
