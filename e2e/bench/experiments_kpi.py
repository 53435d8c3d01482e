"""Experiments by business outcomes that have no effect, or a known one: part of `make bench-experiments`.

Plays four weeks of two-hour blocks whose cases end as chance has it: few or many, rare, in clusters (an incident that
all of an hour's users meet), drifting, by the hour, and minutes with a long tail. Beside Flyball's test, in percent and
in points, stands what dashboards do: a test of two proportions over all cases as if each were independent (for minutes
a t-test of cases), after every pair and once.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from scipy import stats

from flyball.core.evidence.experiment_kpi import Defined, difference
from flyball.core.evidence.sequential import log_evidence
from flyball.core.names import KpiKind
from flyball.core.value.outcomes import Counted

ALPHA = 0.05
PAIRS = 168
FEWEST_PAIRS = 12
SHIFT = 0.03
TESTS = ("percent", "points", "zPeeking", "zOnce", "missesPoints", "missesPercent")
Dice = np.random.Generator
Row = dict[str, float | str]
SHARE, MINUTES = Defined(KpiKind.CONTAINMENT), Defined(KpiKind.HANDLE_TIME)


@dataclass(frozen=True, slots=True)
class World:
    """How a KPI goes: the probability of an outcome by block, and the cases of each block. `minutes`: long tails of
    times in place of shares.
    """

    rates: Callable[[Dice, int], np.ndarray]
    cases: int = 200
    clustered: float = 0.0
    minutes: bool = False


def _still(rate: float) -> Callable[[Dice, int], np.ndarray]:
    return lambda _, blocks: np.full(blocks, rate)


def _drifting(dice: Dice, blocks: int) -> np.ndarray:
    found: np.ndarray = 0.1 + 0.6 / (1 + np.exp(-np.cumsum(dice.normal(0.0, 0.1, blocks))))
    return found


def _by_the_hour(dice: Dice, blocks: int) -> np.ndarray:
    hours = 2 * np.arange(blocks) + dice.integers(168)
    found: np.ndarray = 0.4 + 0.15 * np.sin(2 * np.pi * hours / 24)
    return found


WORLDS = {
    "40% of 200 cases": World(_still(0.4)),
    "40% of 3 cases": World(_still(0.4), cases=3),
    "1% of 200 cases": World(_still(0.01)),
    "clusters: hours differ by ±10 points": World(_still(0.4), clustered=0.1),
    "drift": World(_drifting),
    "go with the hour": World(_by_the_hour),
    "minutes with a long tail": World(_still(0.4), cases=50, minutes=True),
}


def rows(runs: int) -> list[Row]:
    """A row for each world."""
    found = []
    for name, world in WORLDS.items():
        print(f"A/A by outcomes: {name}", file=sys.stderr, flush=True)
        found.append(_row(name, world, runs))
    return found


def _row(name: str, world: World, runs: int) -> Row:
    dice = np.random.default_rng(20261126)
    found = dict.fromkeys(TESTS, 0)
    for _ in range(runs):
        rates = world.rates(dice, 2 * PAIRS)
        if world.clustered:
            rates = np.clip(rates + dice.normal(0.0, world.clustered, 2 * PAIRS), 0.01, 0.95)
        first = dice.integers(2, size=PAIRS).astype(bool)  # whether the first block is treated
        pairs = rates.reshape(PAIRS, 2)
        treated, base = np.where(first, pairs[:, 0], pairs[:, 1]), np.where(first, pairs[:, 1], pairs[:, 0])
        if world.minutes:
            _play_minutes(dice, world, found)
            continue
        of_base = dice.binomial(world.cases, base)
        same = dice.binomial(world.cases, treated)
        found["percent"] += _finds(_differences(of_base, same, world.cases, points=False), 0.0)
        found["points"] += _finds(_differences(of_base, same, world.cases, points=True), 0.0)
        p = _proportions(of_base, same, world.cases)
        found["zOnce"] += p[-1] < ALPHA
        found["zPeeking"] += bool((p[FEWEST_PAIRS - 1 :] < ALPHA).any())
        up = dice.binomial(world.cases, treated + SHIFT)
        found["missesPoints"] += _finds(_differences(of_base, up, world.cases, points=True), SHIFT)
        less = dice.binomial(world.cases, 0.9 * treated)
        found["missesPercent"] += _finds(_differences(of_base, less, world.cases, points=False), math.log(0.9))
    shares: Row = {test: count / runs for test, count in found.items()}
    if world.minutes:
        shares |= {"points": math.nan, "missesPoints": math.nan}
    return {"world": name} | shares


def _play_minutes(dice: Dice, world: World, found: dict[str, int]) -> None:
    """Handling times of each case, whose logarithm scatters by more than a half, and hours that differ."""
    hours = dice.normal(2.0, 0.2, 2 * PAIRS)[:, None]
    times = np.exp(hours + dice.normal(0.0, 0.8, (2 * PAIRS, world.cases)))
    one, other = times[::2], times[1::2]
    swap = dice.integers(2, size=PAIRS).astype(bool)[:, None]
    treated, base = np.where(swap, one, other), np.where(swap, other, one)
    differences = _minutes(base, treated)
    found["percent"] += _finds(differences, 0.0)
    found["missesPercent"] += _finds(_minutes(base, 0.9 * treated), math.log(0.9))
    n = np.arange(1, PAIRS + 1) * world.cases
    spread = [
        np.cumsum(part.var(axis=1) + part.mean(axis=1) ** 2) / np.arange(1, PAIRS + 1) for part in (treated, base)
    ]
    means = [np.cumsum(part.mean(axis=1)) / np.arange(1, PAIRS + 1) for part in (treated, base)]
    error = np.sqrt(sum((s - m**2) / n for s, m in zip(spread, means, strict=True)))
    p = 2 * stats.norm.sf(np.abs(means[0] - means[1]) / error)
    found["zOnce"] += p[-1] < ALPHA
    found["zPeeking"] += bool((p[FEWEST_PAIRS - 1 :] < ALPHA).any())


def _minutes(base: np.ndarray, treated: np.ndarray) -> list[float]:
    count = Decimal(base.shape[1])
    pairs = zip(base.sum(axis=1).tolist(), treated.sum(axis=1).tolist(), strict=True)
    return [
        difference(
            MINUTES, Counted(count, count, Decimal(str(b))), Counted(count, count, Decimal(str(t))), points=False
        )
        for b, t in pairs
    ]


def _differences(base: np.ndarray, treated: np.ndarray, cases: int, *, points: bool) -> list[float]:
    of = Decimal(cases)
    return [
        difference(SHARE, Counted(Decimal(b), of), Counted(Decimal(t), of), points)
        for b, t in zip(base.tolist(), treated.tolist(), strict=True)
    ]


def _finds(differences: list[float], true: float) -> bool:
    """Whether the interval ever leaves the true effect out, at any look."""
    limit = math.log(2 / ALPHA)
    left = np.asarray(differences) - true
    return any(float(log_evidence((sign * left).tolist()).max()) >= limit for sign in (1.0, -1.0))


def _proportions(base: np.ndarray, treated: np.ndarray, cases: int) -> np.ndarray:
    """The p-value of a test of two proportions over all cases after each pair."""
    n = np.arange(1, len(base) + 1) * cases
    one, other = np.cumsum(treated) / n, np.cumsum(base) / n
    pooled = np.clip((one + other) / 2, 1e-9, 1 - 1e-9)
    found: np.ndarray = 2 * stats.norm.sf(np.abs(one - other) / np.sqrt(2 * pooled * (1 - pooled) / n))
    return found


def text(found: list[Row], runs: int) -> str:
    """As Markdown."""
    error = 2 * math.sqrt(ALPHA * (1 - ALPHA) / runs)
    lines = [
        f"{runs} experiments each, of {PAIRS} pairs of two-hour blocks (four weeks), looked at after every pair, whose",
        "claim is a KPI. First the share in which a test at 5% finds an effect although both arms are the same:",
        "Flyball's interval in percent and in points, and a test of two proportions (of minutes a t-test) that takes",
        "each case as independent, as dashboards do. Then the share in which Flyball's interval ever leaves out the",
        f"effect that there is, up {SHIFT * 100:g} points and down 10%. Chance moves all by ±{error:.1%}.",
        "",
        "| outcomes of a block | percent | points | by case, every look | by case, once | misses +3 | misses -10% |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in found:
        cells = ["–" if math.isnan(float(row[test])) else f"{float(row[test]):.1%}" for test in TESTS]
        lines.append(f"| {row['world']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
