"""The lab's fleet simulator: a day of conversations on one core, against the plain engine's loop on a slice of it."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from decimal import Decimal

from e2e.story.kit import REPOSITORY

from flyball.lab.engine import Engine, Request
from flyball.lab.fleet.model import FleetOptions, FleetVariant
from flyball.lab.fleet.simulation import Simulation
from flyball.lab.generate import DAY_SECONDS, PRESETS, generate_trace
from flyball.lab.presets import preset
from flyball.lab.trace import Trace

REQUESTS, SCRAPE_SECONDS, SLICE_SECONDS = 560_000, 15.0, 600.0
FLEETS = (("h100_8b", 4), ("a100_8b", 8), ("l4_8b", 20))
"""Engine presets, with as many replicas as keep up with the day's peak."""

COMPILE = """
import time
from flyball.lab.fleet import compiled
compiled._directory = lambda: None
from e2e.bench import simulator
began = time.process_time()
simulator.replay(simulator.day(1000), *simulator.FLEETS[0])
print(time.process_time() - began)
"""
"""A process that finds no machine code on disk."""


def measure(**_: float) -> dict[str, str]:
    """Processor seconds of a day on three fleets, sampled as by a scraper; of compilation; and of the plain engine."""
    command = [sys.executable, "-c", COMPILE]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY)
    found = {"compilation, once per version of the code": f"{float(shown.stdout):.1f} s"}
    replay(day(1000), *FLEETS[0])
    trace = day(REQUESTS)
    for name, replicas in FLEETS:
        seconds = replay(trace, name, replicas)
        found[f"a day of {len(trace)} requests, {replicas} × {name}, one core"] = f"{seconds:.2f} s"
    name, replicas = FLEETS[1]
    part = trace.scaled(1 / replicas, seed=1).slice(DAY_SECONDS / 2, SLICE_SECONDS)
    plain = plain_engine(part, name)
    simulated = min(replay(part, name, 1) for _ in range(5))
    found["rival: lab/engine.py, ten minutes of one replica"] = f"{plain:.3f} s"
    found["the simulator, the same ten minutes"] = f"{simulated:.4f} s"
    found["ratio to the rival"] = f"1 : {plain / simulated:.0f}"
    return found


def day(requests: int) -> Trace:
    """A day of conversations with a daily swing of a half."""
    return generate_trace(
        replace(PRESETS["conversation"], rate=requests / DAY_SECONDS, duration_seconds=DAY_SECONDS, daily=0.5)
    )


def replay(trace: Trace, name: str, replicas: int) -> float:
    """Processor seconds for the trace on a constant fleet."""
    variant = FleetVariant(name, preset(name).parameters, 120.0, Decimal(1))
    began = time.process_time()
    simulation = Simulation(trace, [variant], FleetOptions(), [replicas], seed=1)
    for scrape in range(1, int(trace.span_seconds / SCRAPE_SECONDS) + 1):
        simulation.advance(scrape * SCRAPE_SECONDS)
        simulation.sample()
    return time.process_time() - began


def plain_engine(trace: Trace, name: str) -> float:
    """Processor seconds for the trace on one engine, iteration by iteration."""
    began = time.process_time()
    engine: Engine[int] = Engine(preset(name).parameters)
    now, following = 0.0, 0
    while following < len(trace) or engine.outstanding:
        iteration = engine.next_iteration(now)
        ends_at = now if iteration is None else iteration.ends_at
        while following < len(trace) and trace.t_seconds[following] <= ends_at:
            request = Request(int(trace.input_tokens[following]), int(trace.output_tokens[following]))
            engine.submit(request, float(trace.t_seconds[following]), following)
            following += 1
        if iteration is not None:
            engine.complete(iteration, ends_at)
            now = ends_at
        else:
            arrival = float(trace.t_seconds[following]) if following < len(trace) else float("inf")
            ready_at = engine.next_ready_at
            now = arrival if ready_at is None else min(arrival, ready_at)
    return time.process_time() - began
