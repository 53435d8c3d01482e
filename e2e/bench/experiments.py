"""`make bench-experiments`: how often experiments find an effect where there is none, and how often one that there is.

    python -m e2e.bench.experiments [--runs 1000] [-o json]

Plays experiments in which treatment and baseline are the same (A/A) on costs that scatter in ways that mislead tests:
they drift, follow each other, go with the hour, jump, and have outliers. Looks after every pair of blocks, as people
do. Beside Flyball's test stand what is done elsewhere: a t-test of block means, looked at once and after every pair,
a Mann-Whitney test at the end, and two weeks before and after. Then the same for claims about business outcomes
(experiments_kpi.py), and the power for effects that there are. Writes docs/benchmarks/experiments.md.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable

import numpy as np
from e2e.bench import experiments_kpi
from e2e.bench.report import machine, today, write_section
from e2e.story.kit import REPOSITORY
from scipy import stats

from flyball.core.evidence.experiment import Direction, Metric, Plan, Source
from flyball.core.evidence.power import power
from flyball.core.evidence.sequential import log_evidence
from flyball.core.names import WorkloadKey

REPORT = REPOSITORY / "docs" / "benchmarks" / "experiments.md"
ALPHA = 0.05
PAIRS = 336
FEWEST_PAIRS = 12
MOST_POWER_RUNS = 400
HEAD = """# Experiments

How often an experiment claims an effect that there is not, and how often it shows one that there is. Written by
`make bench-experiments`; [what it is about](../experiments.md).
"""

TESTS = ("flyball", "tPeeking", "tOnce", "mannWhitney", "beforeAfter")
Dice = np.random.Generator
Row = dict[str, float | str]


def _steady(dice: Dice, blocks: int) -> np.ndarray:
    return dice.normal(0.0, 0.10, blocks)


def _following(rho: float) -> Callable[[Dice, int], np.ndarray]:
    def world(dice: Dice, blocks: int) -> np.ndarray:
        noise = dice.normal(0.0, 0.10 * math.sqrt(1 - rho * rho), blocks)
        found = np.empty(blocks)
        found[0] = dice.normal(0.0, 0.10)
        for n in range(1, blocks):
            found[n] = rho * found[n - 1] + noise[n]
        return found

    return world


def _by_the_hour(dice: Dice, blocks: int) -> np.ndarray:
    hours = np.arange(blocks) + dice.integers(168)
    daily, weekly = 0.4 * np.sin(2 * np.pi * hours / 24), 0.2 * np.sin(2 * np.pi * hours / 168)
    return daily + weekly + dice.normal(0.0, 0.05, blocks)


def _drifting(dice: Dice, blocks: int) -> np.ndarray:
    return np.cumsum(dice.normal(0.0, 0.03, blocks))


def _wild(dice: Dice, blocks: int) -> np.ndarray:
    return 0.10 * dice.standard_t(1.5, blocks)


def _jumping(dice: Dice, blocks: int) -> np.ndarray:
    where = dice.integers(blocks)
    return np.where(np.arange(blocks) < where, 0.0, -0.4) + dice.normal(0.0, 0.05, blocks)


WORLDS = {
    "independent, 10%": _steady,
    "follow each other, ρ = 0.5": _following(0.5),
    "follow each other, ρ = 0.95": _following(0.95),
    "go with hour and weekday": _by_the_hour,
    "drift": _drifting,
    "outliers (Student, 1.5 degrees)": _wild,
    "a price falls by a third": _jumping,
}


def main() -> int:
    """Play, print and rewrite the report."""
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.experiments", description="Measure experiments.")
    parser.add_argument("--runs", type=int, default=1000, help="experiments for each line")
    parser.add_argument("--only", choices=tuple(PARTS), help="one part of the report, and not all of it")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    if not 20 <= options.runs <= 100_000:
        parser.error(f"--runs is {options.runs}; give 20 to 100000")
    parts = {name: part for name, part in PARTS.items() if options.only in (None, name)}
    found = {}
    for name, (title, play, text) in parts.items():
        found[name] = play(options.runs)
        write_section(REPORT, HEAD, title, f"{today()}, {machine()}\n\n" + text(found[name], options.runs))
    if options.output == "json":
        print(json.dumps({"schema": 1, "runs": options.runs, **found}, indent=2))
    else:
        print("\n".join(text(found[name], options.runs) for name, (_, _, text) in parts.items()))
    most = ALPHA + 3 * _error(ALPHA, options.runs)
    held = {"aa": ("flyball",), "aaByKpi": ("percent", "points", "missesPoints", "missesPercent")}
    wrong = [float(row[test]) for name, tests in held.items() for row in found.get(name, []) for test in tests]
    return int(any(share > most for share in wrong))


def aa_rows(runs: int) -> list[Row]:
    """Experiments without an effect, by how costs scatter."""
    rows = []
    for name, world in WORLDS.items():
        print(f"A/A: {name}", file=sys.stderr, flush=True)
        rows.append(aa_row(name, world, runs))
    return rows


def aa_row(name: str, world: Callable[[Dice, int], np.ndarray], runs: int) -> Row:
    """The share of experiments without an effect in which each test finds one."""
    dice = np.random.default_rng(20261125)
    found = dict.fromkeys(TESTS, 0)
    for _ in range(runs):
        blocks = world(dice, 2 * PAIRS).reshape(PAIRS, 2)
        first = dice.integers(2, size=PAIRS).astype(bool)  # whether the first block is treated
        treated = np.where(first, blocks[:, 0], blocks[:, 1])
        base = np.where(first, blocks[:, 1], blocks[:, 0])
        found["flyball"] += finds(treated - base)
        p = _t_tests(treated, base)
        found["tOnce"] += p[-1] < ALPHA
        found["tPeeking"] += bool((p[FEWEST_PAIRS - 1 :] < ALPHA).any())
        found["beforeAfter"] += (
            stats.ttest_ind(blocks[: PAIRS // 2].ravel(), blocks[PAIRS // 2 :].ravel()).pvalue < ALPHA
        )
        found["mannWhitney"] += stats.mannwhitneyu(treated, base).pvalue < ALPHA
    return {"world": name} | {test: count / runs for test, count in found.items()}


def finds(differences: np.ndarray) -> bool:
    """Whether the interval ever leaves no effect out, at any look."""
    limit = math.log(2 / ALPHA)
    return any(float(log_evidence((sign * differences).tolist()).max()) >= limit for sign in (1.0, -1.0))


def _t_tests(treated: np.ndarray, base: np.ndarray) -> np.ndarray:
    """The p-value of a t-test of both arms' blocks after each pair."""
    n = np.arange(1, len(treated) + 1)

    def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = np.cumsum(values) / n
        spread = np.maximum(np.cumsum(values**2) / n - mean**2, 1e-18) * n / np.maximum(n - 1, 1)
        return mean, spread

    (a, var_a), (b, var_b) = moments(treated), moments(base)
    t = np.abs(a - b) / np.sqrt((var_a + var_b) / n)
    found: np.ndarray = 2 * stats.t.sf(t, np.maximum(2 * n - 2, 1))
    return found


def power_rows(runs: int) -> list[Row]:
    """The power for a claim of 18%, by scatter and true effect."""
    print("power", file=sys.stderr, flush=True)
    plan = Plan(
        WorkloadKey("team", "x"), "x", Metric.COST_PER_REQUEST, Direction.DECREASE, 0.18, Source(), Source()
    )  # fmt: skip
    rows: list[Row] = []
    for noise in (0.05, 0.10, 0.20, 0.40):
        for effect in (0.0, -0.10, -0.18, -0.22, -0.27, -0.36):
            found = power(plan, effect, noise, min(runs, MOST_POWER_RUNS))
            rows.append(
                {"noise": noise, "effect": effect, "supported": found.supported, "refuted": found.refuted,
                 "pairs": math.nan if found.pairs is None else found.pairs}
            )  # fmt: skip
    return rows


def _error(share: float, runs: int) -> float:
    return math.sqrt(share * (1 - share) / runs)


def _aa_text(rows: list[Row], runs: int) -> str:
    lines = [
        f"{runs} experiments each, of {PAIRS} pairs of hourly blocks (four weeks), looked at after every pair: the",
        f"share in which a test at {ALPHA:.0%} finds an effect although both arms are the same. Chance moves it by",
        f"±{2 * _error(ALPHA, runs):.1%}. The last column is what people do without an experiment: two weeks, then two",
        "weeks after a change that changes nothing, and a t-test of their hours.",
        "",
        "| costs of blocks | Flyball, every look | t-test, every look | t-test, once | Mann-Whitney | before, after |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = [f"{float(row[test]):.1%}" for test in TESTS]
        lines.append(f"| {row['world']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _power_text(rows: list[Row], _: int) -> str:
    lines = [
        "The claim is a decrease by 18%; blocks of an hour, four weeks at most, a week (84 pairs) at least. Scatter is",
        "the standard deviation of the difference between two neighbouring blocks.",
        "",
        "| scatter | true effect | supported | refuted | pairs until a verdict (median) |",
        "|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        pairs = float(row["pairs"])
        lines.append(
            f"| {float(row['noise']):.0%} | {float(row['effect']):+.0%} | {float(row['supported']):.0%} "
            f"| {float(row['refuted']):.0%} | {'none in time' if math.isnan(pairs) else f'{pairs:.0f}'} |"
        )
    return "\n".join(lines) + "\n"


PARTS: dict[str, tuple[str, Callable[[int], list[Row]], Callable[[list[Row], int], str]]] = {
    "aa": ("Where there is no effect", aa_rows, _aa_text),
    "aaByKpi": ("Where a business outcome is the claim", experiments_kpi.rows, experiments_kpi.text),
    "power": ("Where there is one", power_rows, _power_text),
}

if __name__ == "__main__":
    sys.exit(main())
