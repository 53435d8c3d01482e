"""The simulator's state, as a few flat arrays of records that compiled code can work on.

Requests are numbered as in the trace. Replicas occupy slots, which are used again when a replica is gone. Times are in
seconds since the trace's beginning, NaN until they happen.
"""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from flyball.lab.engine import EngineParameters
from flyball.lab.fleet.model import FleetOptions, Routing
from flyball.lab.fleet.samples import COLUMNS
from flyball.lab.trace import Trace

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Records = Any
"""A numpy array of records: mypy cannot type their fields."""


class Status(IntEnum):
    """Where a request is."""

    EXPECTED = 0
    HELD = 1
    """At the gateway."""
    ARRIVING = 2
    """At a replica, not yet in its waiting queue: HTTP and tokenization."""
    WAITING = 3
    RUNNING = 4
    FINISHED = 5
    DROPPED = 6
    REJECTED = 7


ROUTINGS = (Routing.LEAST_OUTSTANDING, Routing.ROUND_ROBIN, Routing.RANDOM, Routing.KV_AWARE)


FLEET = np.dtype(
    [
        ("routing", np.int64),  # index into ROUTINGS
        ("gateway_queue", np.bool_),
        ("timeout", np.float64),  # the clients' patience, seconds
        ("next_arrival", np.int64),
        ("next_deadline", np.int64),
        ("ready", np.int64),  # how many entries of State.ready are valid, and of State.active
        ("active", np.int64),
        ("cursor", np.int64),  # where in `ready` the router looks first
        ("held", np.int64),  # requests at the gateway
        ("emptied", np.bool_),  # a draining replica has just lost its last request
        ("fallback", np.bool_),  # whether it answers what comes while no replica is ready, and its times, seconds
        ("fallback_first_token", np.float64),
        ("fallback_token", np.float64),
    ],
    align=True,
)

REQUEST = np.dtype(
    [
        ("arrived_at", np.float64),
        ("prompt", np.int64),
        ("output", np.int64),
        ("cached", np.int64),
        ("chance", np.float64),  # a uniform draw, for random routing
        ("status", np.int64),
        ("slot", np.int64),
        ("submitted_at", np.float64),  # when the gateway handed it to its replica
        ("ready_at", np.float64),
        ("scheduled_at", np.float64),
        ("first_token_at", np.float64),
        ("finished_at", np.float64),
        ("generated", np.int64),  # before the last preemption
        ("cold", np.bool_),  # held because no replica was ready
        ("next", np.int64),
        ("previous", np.int64),
    ],
    align=True,
)

SLOT = np.dtype(
    [
        ("draining", np.bool_),
        # The engine's parameters, in seconds and tokens.
        ("base", np.float64),
        ("per_sequence", np.float64),
        ("per_context_token", np.float64),
        ("per_prefill_token", np.float64),
        ("overhead", np.float64),
        ("kv_blocks", np.int64),
        ("block_tokens", np.int64),
        ("max_batch", np.int64),
        ("max_batched_tokens", np.int64),
        # The stretch of iterations in progress: its end, or when a request becomes ready at an idle replica, or inf.
        ("event_at", np.float64),
        ("began_at", np.float64),
        ("steps", np.int64),  # its iterations, 0 when idle, above 1 only for pure decoding
        ("pure", np.bool_),  # all that run decode in every iteration, of which the i-th takes pace + i × growth
        ("pace", np.float64),
        ("growth", np.float64),
        ("batch", np.int64),  # requests that run, and of them those whose prefill is done
        ("decoding", np.int64),
        ("in_flight", np.int64),
        ("load", np.int64),  # prompt and generated tokens of the requests in flight, when the stretch began
        ("waiting", np.int64),
        ("waiting_tokens", np.int64),
    ],
    align=True,
)

PLACE = np.dtype(
    [
        ("running", np.int64),  # the request
        ("held", np.int64),
        ("target", np.int64),  # tokens to hold before the first, or after a preemption the next, can be generated
        ("remaining", np.int64),  # output tokens to generate
        ("chunk", np.int64),  # tokens that the iteration in flight computes
        ("is_decoding", np.bool_),
    ],
    align=True,
)


class State(NamedTuple):
    """Everything that changes."""

    fleet: Records
    """One record."""
    requests: Records
    slots: Records
    places: Records
    """A row for each slot, with a place for each request that runs, in order of admission."""
    ends: Integers
    """The first and last request of each queue, -1 when empty."""
    counters: Floats
    """A row for each slot in the layout of samples.py, as of the stretch's beginning."""
    ready: Integers
    """The slots that take requests."""
    active: Integers
    """The slots that may have requests: ready and draining ones."""


def new_state(
    trace: Trace, options: FleetOptions, rejected: Flags, chance: Floats, slots: int, max_batch: int
) -> State:
    """Nothing has arrived, no slot is in use."""
    requests = np.zeros(len(trace), REQUEST)
    requests["arrived_at"] = trace.t_seconds
    requests["prompt"] = trace.input_tokens
    requests["output"] = trace.output_tokens
    requests["cached"] = 0 if trace.cached_tokens is None else trace.cached_tokens
    requests["chance"] = chance
    requests["status"] = np.where(rejected, Status.REJECTED, Status.EXPECTED)
    for name in ("submitted_at", "ready_at", "scheduled_at", "first_token_at", "finished_at"):
        requests[name] = np.nan
    for name in ("slot", "next", "previous"):
        requests[name] = -1
    fleet = np.zeros(1, FLEET)
    fleet["routing"] = ROUTINGS.index(options.routing)
    fleet["gateway_queue"] = options.gateway_queue
    fleet["timeout"] = options.client_timeout_seconds
    if options.fallback is not None:
        fleet["fallback"] = True
        fleet["fallback_first_token"] = options.fallback.first_token_seconds
        fleet["fallback_token"] = options.fallback.token_seconds
    return State(
        fleet=fleet,
        requests=requests,
        slots=np.zeros(slots, SLOT),
        places=np.zeros((slots, max_batch), PLACE),
        ends=np.full((1 + 2 * slots, 2), -1, np.int64),
        counters=np.zeros((slots, COLUMNS)),
        ready=np.zeros(slots, np.int64),
        active=np.zeros(slots, np.int64),
    )


def grown(state: State) -> State:
    """The same state with twice the slots."""
    slots, max_batch = state.places.shape
    return state._replace(
        slots=np.concatenate((state.slots, np.zeros(slots, SLOT))),
        places=np.concatenate((state.places, np.zeros((slots, max_batch), PLACE))),
        ends=np.concatenate((state.ends, np.full((2 * slots, 2), -1, np.int64))),
        counters=np.concatenate((state.counters, np.zeros((slots, COLUMNS)))),
        ready=np.concatenate((state.ready, np.zeros(slots, np.int64))),
        active=np.concatenate((state.active, np.zeros(slots, np.int64))),
    )


def occupy(state: State, slot: int, engine: EngineParameters, prefill_factor: float) -> None:
    """Put an empty replica with these parameters into the slot; its prefill takes `prefill_factor` times longer."""
    state.counters[slot] = 0
    state.slots[slot] = np.zeros((), SLOT)
    occupied = state.slots[slot]
    occupied["base"] = engine.base_ms / 1000
    occupied["per_sequence"] = engine.per_sequence_ms / 1000
    occupied["per_context_token"] = engine.per_context_token_ms / 1000
    occupied["per_prefill_token"] = engine.per_prefill_token_ms / 1000 * prefill_factor
    occupied["overhead"] = engine.request_overhead_ms / 1000
    occupied["kv_blocks"] = engine.kv_blocks
    occupied["block_tokens"] = engine.block_tokens
    occupied["max_batch"] = engine.max_batch
    occupied["max_batched_tokens"] = engine.max_batched_tokens
    occupied["event_at"] = np.inf
