"""The work that comes and the work that is due in each slot of the floor's linear program, and what may be late.

There are two kinds of work, prefill and decode. With a TimeToFirstToken objective prefill is due at arrival + its
threshold; with InterTokenLatency or EndToEnd the rest is due at arrival + TTFT threshold + (output − 1) × ITL
threshold, or at arrival + EndToEnd threshold, whichever is earlier. Work without a due time is due at the end.

A late request's work is not due in its slot, but at the end; only requests that arrive after `settled_seconds` may be
left without an answer then. Of the requests that count, an objective lets the share 1 − target be late. Which ones is
left to the program: the requests that are due in one slot are parted into classes by size, and to excuse work of a
class counts as many requests as it would if all were as large as the largest of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flyball.lab.bounds.need import Flags, Values, Work, threshold
from flyball.lab.policies.model import Objective
from flyball.lab.score import END_TO_END, INTER_TOKEN_LATENCY, TIME_TO_FIRST_TOKEN
from flyball.lab.trace import Trace


@dataclass(frozen=True, slots=True)
class LateClasses:
    """Requests of similar size that are due in the same slot; work in replica-seconds, one entry for each class.

    `largest` is the work of the largest request. Of the work that is late, the share `served` must be served before the
    end: 0 for requests that may stay without an answer.
    """

    slots: npt.NDArray[np.int64]
    work: Values
    largest: Values
    served: Values


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of work, in replica-seconds: what arrives and what is due by the end of each slot, added up.

    `due_at_end` is more due at the end; `late_requests` is how many requests may be late.
    """

    arrived: Values
    due: Values
    due_at_end: float
    late: LateClasses
    late_requests: float


@dataclass(frozen=True, slots=True)
class Slots:
    """The slots' edges, in seconds of the trace; the first edge is the end of the warm-up, the last the end."""

    edges: Values

    def __len__(self) -> int:
        return len(self.edges) - 1

    @property
    def end(self) -> float:
        return float(self.edges[-1])

    def of(self, times: Values) -> npt.NDArray[np.int64]:
        """The slot at whose end each time has been reached; the number of slots for times after the end."""
        return np.searchsorted(self.edges[1:], times)

    def totals(self, times: Values, amounts: Values) -> Values:
        """The amounts of each slot, added up over the slots."""
        return np.cumsum(np.bincount(self.of(times), amounts, len(self) + 1)[: len(self)])


def kinds_of_work(
    trace: Trace,
    work: Work,
    counted: Flags,
    objectives: Sequence[Objective],
    slots: Slots,
    settled_seconds: float,
    droppable: bool,
) -> tuple[Kind, Kind]:
    """Prefill and decode. With `droppable` clients give up: no late request need ever be answered."""
    arrived = trace.t_seconds[counted]
    total = len(arrived)
    allowed = {objective.indicator: total * (1 - objective.target) for objective in objectives}
    late_first = allowed.pop(TIME_TO_FIRST_TOKEN, None)
    late_finish = sum(allowed.values())
    finish_due = _finish_due(trace, objectives)[counted]
    first_due = finish_due if late_first is None else arrived + threshold(objectives, TIME_TO_FIRST_TOKEN)
    found = []
    for amounts, late_amounts, due, late_requests in (
        (work.prefill[counted], work.prefill[counted], first_due, late_finish if late_first is None else late_first),
        (work.decode[counted], work.late_decode[counted], finish_due, late_finish),
    ):
        must_end = np.isinf(due) & (arrived < settled_seconds) & (not droppable)
        share = np.divide(late_amounts, amounts, out=np.ones(total), where=amounts > 0)
        share = np.where((arrived < settled_seconds) & (not droppable), share, 0.0)
        found.append(
            Kind(
                arrived=slots.totals(arrived, amounts),
                due=slots.totals(due, amounts),
                due_at_end=float(late_amounts[must_end].sum()),
                late=_late_classes(due, amounts, share, slots, late_requests / max(total, 1)),
                # A share such as 0.95 is not exact in binary: a millionth of a request more does no harm.
                late_requests=late_requests + 1e-6,
            )
        )
    return found[0], found[1]


def _finish_due(trace: Trace, objectives: Sequence[Objective]) -> Values:
    """When a request that is on time has been answered; infinite where no objective says so.

    An InterTokenLatency objective without a TimeToFirstToken one bounds the pace only: it sets no such time.
    """
    due = trace.t_seconds + threshold(objectives, END_TO_END)
    first_token = threshold(objectives, TIME_TO_FIRST_TOKEN)
    per_token = threshold(objectives, INTER_TOKEN_LATENCY)
    if math.isfinite(first_token) and math.isfinite(per_token):
        due = np.minimum(due, trace.t_seconds + first_token + (trace.output_tokens - 1) * per_token)
    return due


def _late_classes(due: Values, amounts: Values, share: Values, slots: Slots, late_share: float) -> LateClasses:
    """Classes by the slot in which requests are due, and by size; finest around the size from which it pays to be late.

    Of all requests the largest are late if time does not matter, so class edges lie at multiples of the late share.
    """
    slot = slots.of(due)
    candidate = (slot < len(slots)) & (amounts > 0)
    slot, amounts, share = slot[candidate], amounts[candidate], share[candidate]
    if not len(amounts) or late_share <= 0:
        nothing: Values = np.empty(0)
        return LateClasses(np.empty(0, np.int64), nothing, nothing, nothing)
    edges = np.quantile(amounts, [max(0.0, 1 - factor * late_share) for factor in (4.0, 2.0, 1.0, 0.5, 0.25)])
    keys, index = np.unique(slot * 6 + np.searchsorted(edges, amounts), return_inverse=True)
    largest, served = np.zeros(len(keys)), np.ones(len(keys))
    np.maximum.at(largest, index, amounts)
    np.minimum.at(served, index, share)
    return LateClasses(keys // 6, np.bincount(index, amounts, len(keys)).astype(np.float64), largest, served)
