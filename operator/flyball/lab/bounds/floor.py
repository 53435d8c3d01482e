"""A bound that no scaling policy can beat: the cheapest fractional fleet with perfect foresight and perfect batching.

A linear program over slots of time: n replicas of each variant serve at most n replica-seconds of work a second
(need.py), work after it came and before it is due (dues.py), and each start costs the shortest start-up that the
scenario can draw before it serves. Paid are, as for every policy, the replica-seconds between the end of the warm-up
and the last arrival. How a real run becomes a solution of the program that costs no more:

- n of a slot is the mean of the replicas that serve in it, ready or draining. The rises of a sequence of means are in
  sum at most the rises of the count itself, whatever the slots, so starts are not counted twice. A start that ends so
  and so long after the warm-up has cost that much of its start-up at least.
- Work served counts at the end of its slot, and so does work that arrives or is due. Longer slots only loosen this:
  a solution of a fine program, added up, is one of the coarser. So spans of more than three hours take longer slots,
  and the bound stays one. It loses next to nothing, since the fleet is fractional: 10⁻⁶ on a day of recorded traffic.
- Before the end of the warm-up nothing is paid: the fleet may have any size then, if starts could end by then, and
  nothing waits.
- A late request is not free: its work must be served before the last arrival, unless it came after `settled_seconds`.
  By default that is five minutes before the end: no run is compared that leaves older requests without an answer.
  `settled_until` gives the figure for a run. With a client timeout, late requests may be dropped.
- A variant's replicas stay within its bounds. (Draining ones come on top for a moment; a replica is taken to be gone
  before another, asked for in its stead, is ready.) A replica lost below the lower bound is replaced at once, and paid.

With several variants, work is counted in the first one's replica-seconds, and another takes the least ratio over all
requests of each kind of work.

The bound is loose: batches are never as full as assumed, and replicas are whole.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from flyball.lab.bounds.dues import Slots, kinds_of_work
from flyball.lab.bounds.need import Flags, Values, Work, request_work, servable
from flyball.lab.bounds.program import Infeasible, Plan, Supply, cheapest_plan
from flyball.lab.fleet.model import FleetOptions, FleetVariant
from flyball.lab.fleet.replicas import Draws
from flyball.lab.policies.model import Objective
from flyball.lab.score import Answers
from flyball.lab.trace import Trace

SLOT_SECONDS = 5.0
MOST_SLOTS = 2160
"""Three hours of slots. HiGHS' time grows with the square of their number: about 5 s at this."""
SETTLED_SECONDS = 300.0
_STARTS = 10_000
"""Of so many starts of a variant the shortest is taken: more than a policy makes in a week of changes each minute."""


@dataclass(frozen=True, slots=True)
class Floor:
    """GPU-hours and dollars between the end of the warm-up and the last arrival, each the least possible by itself.

    `replicas` are the fractional replicas of the cheapest plan, a row for each variant, over the slots between `edges`
    (seconds of the trace); `mean_replicas` has its starting ones in it, as a policy's has.
    """

    gpu_hours: float
    cost: float
    mean_replicas: float
    edges: Values
    replicas: Values

    @property
    def slot_seconds(self) -> float:
        return float(self.edges[1] - self.edges[0])


def floor(
    trace: Trace,
    variants: Sequence[FleetVariant],
    objectives: Sequence[Objective],
    initial: Sequence[int],
    warmup_seconds: float,
    options: FleetOptions = FleetOptions(),  # noqa: B008 - frozen
    seeds: Sequence[int] = (0,),
    settled_seconds: float | None = None,
    most_slots: int = MOST_SLOTS,
) -> Floor:
    """The floor of a scenario, for policies that attain the objectives' targets or more.

    `initial` are the ready replicas at the trace's beginning. Raises Infeasible where no fleet within the bounds meets
    the objectives.
    """
    end = float(trace.t_seconds[-1])
    if end <= warmup_seconds:
        raise ValueError(
            f"warmup: is {warmup_seconds:g} s, and the last request comes at {end:g} s; give a shorter one"
        )
    span = end - warmup_seconds
    slots = Slots(np.linspace(warmup_seconds, end, min(math.ceil(span / SLOT_SECONDS), most_slots) + 1))
    works = [request_work(trace, variant.engine, objectives) for variant in variants]
    counted = (trace.t_seconds >= warmup_seconds) & servable(trace, [variant.engine for variant in variants])
    kinds = kinds_of_work(
        trace,
        works[0],
        counted,
        objectives,
        slots,
        end - SETTLED_SECONDS if settled_seconds is None else settled_seconds,
        droppable=math.isfinite(options.client_timeout_seconds),
    )
    supplies = [
        _supply(variant, initial[index], shortest_startup(variant, index, seeds), slots, _ratios(works, index, counted))
        for index, variant in enumerate(variants)
    ]
    slot_seconds = span / len(slots)
    try:
        plan = cheapest_plan(slot_seconds, kinds, supplies, options.gpus)
        by_gpus = [replace(supply, price=float(supply.gpus)) for supply in supplies]
        same = len({supply.price / supply.gpus for supply in supplies}) == 1
        leanest = plan if same else cheapest_plan(slot_seconds, kinds, by_gpus, options.gpus)
    except Infeasible:
        raise Infeasible(
            "no policy meets the objectives with these replicas: raise maxReplicas or gpus, or loosen the objectives"
        ) from None
    return Floor(
        gpu_hours=_paid(leanest, supplies, slot_seconds, [supply.gpus for supply in supplies]) / 3600,
        cost=_paid(plan, supplies, slot_seconds, [supply.price for supply in supplies]),
        mean_replicas=_paid(plan, supplies, slot_seconds, [1.0] * len(supplies)) / span,
        edges=slots.edges,
        replicas=plan.replicas,
    )


def settled_until(trace: Trace, answers: Answers) -> float:
    """When the first request came that had no answer at the last arrival; the last arrival where there is none."""
    end = float(trace.t_seconds[-1])
    open_ = ~(answers.finished_at <= end) & ~answers.rejected
    return float(trace.t_seconds[open_].min(initial=end))


def shortest_startup(variant: FleetVariant, index: int, seeds: Sequence[int]) -> float:
    """Seconds of the shortest start-up that chance holds for the variant of that index."""
    if variant.startup_jitter == 0:
        return variant.startup_seconds
    draws = [Draws(variant, seed, index) for seed in seeds]
    return min(draw.startup_seconds(k) for draw in draws for k in range(_STARTS))


def _supply(variant: FleetVariant, initial: int, startup: float, slots: Slots, per_work: tuple[float, ...]) -> Supply:
    warmup = float(slots.edges[0])
    most = np.full(len(slots), float(variant.max_replicas))
    # No start can have ended by then.
    most[slots.edges[1:] <= startup] = min(initial, variant.max_replicas)
    # The rise from one slot's mean to the next is made of starts from the first one's beginning on.
    since = np.concatenate((slots.edges[:1], slots.edges[:-2]))
    return Supply(
        least=np.minimum(variant.min_replicas, most),
        most=most,
        before=float(initial) if warmup < startup else None,
        start_seconds=np.clip(np.maximum(since, startup) - warmup, 0.0, startup),
        per_work=per_work,
        price=float(variant.price_per_gpu_hour) * variant.gpus_per_replica / 3600,
        gpus=variant.gpus_per_replica,
    )


def _ratios(works: Sequence[Work], index: int, counted: Flags) -> tuple[float, ...]:
    """For prefill and decode, the least of a request's work on that variant to its work on the first one."""
    ours, first = works[index], works[0]
    found = []
    for pairs in (
        ((ours.prefill, first.prefill),),
        ((ours.decode, first.decode), (ours.late_decode, first.late_decode)),
    ):
        ratios = [
            numerator[some] / denominator[some]
            for numerator, denominator in pairs
            if (some := counted & (denominator > 0)).any()
        ]
        found.append(min((float(ratio.min()) for ratio in ratios), default=1.0))
    return tuple(found)


def _paid(plan: Plan, supplies: Sequence[Supply], slot_seconds: float, weights: Sequence[float]) -> float:
    return sum(
        weight * float(replicas.sum() * slot_seconds + starts @ supply.start_seconds)
        for weight, supply, replicas, starts in zip(weights, supplies, plan.replicas, plan.starts, strict=True)
    )
