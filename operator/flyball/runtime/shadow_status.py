"""How rivals stand, as `status.shadow` and /metrics say it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from flyball.core.advice.shadow import DAY_SECONDS, HOUR_SECONDS, SLOT_SECONDS, Account, Asked, Bill, RivalState
from flyball.core.units import format_duration, format_money
from flyball.runtime.advice import Advice, Sample
from flyball.runtime.news import Figure, Status
from flyball.runtime.status import rfc3339

SMALL_REPLICAS = 1.0
"""A mean below one replica is of no interest, whatever factor it moved by."""


@dataclass(slots=True)
class Standing:
    """How one rival of a workload stands. `since` is when it was first asked, 0 before."""

    name: str
    state: RivalState = RivalState.WAITING
    message: str = "it was not asked yet"
    missing: tuple[str, ...] = ()
    since: float = 0.0
    desired: tuple[tuple[str, int], ...] = ()
    wish: Asked | None = None
    account: Account = field(default_factory=Account)


def advice_of(standings: Sequence[Standing]) -> Advice:
    """The rivals of one workload. A state is written when it changes, a wish when its mean over an hour moved far."""
    return Advice(
        status={"shadow": [_status(standing) for standing in standings]},
        states={f"rival {each.name}": " ".join((each.state, *each.missing)) for each in standings},
        figures={name: figure for each in standings for name, figure in _figures(each)},
        samples=tuple(sample for each in standings for sample in _samples(each)),
    )


def _status(standing: Standing) -> Status:
    hour, day = (standing.account.bill(seconds) for seconds in (HOUR_SECONDS, DAY_SECONDS))
    status = {
        "name": standing.name,
        "state": str(standing.state),
        "message": standing.message or None,
        "missing": list(standing.missing),
        "since": rfc3339(standing.since) if standing.since else None,
        "targets": [{"name": name, "desired": count} for name, count in standing.desired],
        "lastHour": _bill(hour),
        "lastDay": _bill(day),
    }
    return {key: value for key, value in status.items() if value not in (None, [])}


def _bill(bill: Bill) -> Status | None:
    if not bill.covered_seconds:
        return None
    status = {
        "covered": format_duration(60.0 * round(bill.covered_seconds / 60.0)) or "0m",
        "replicaHours": f"{bill.replica_hours:.1f}",
        "flyballReplicaHours": f"{bill.own_replica_hours:.1f}",
        "cost": None if bill.dollars is None else format_money(bill.dollars),
        "flyballCost": None if bill.own_dollars is None else format_money(bill.own_dollars),
    }
    return {key: value for key, value in status.items() if value is not None}


def _figures(standing: Standing) -> Iterator[tuple[str, Figure]]:
    """The mean of what it asked for over the last hour, once a slot of it is known."""
    hour = standing.account.bill(HOUR_SECONDS)
    if hour.covered_seconds >= SLOT_SECONDS:
        mean = hour.replica_hours * HOUR_SECONDS / hour.covered_seconds
        yield f"rival {standing.name} replicas", Figure(mean, mean, mean, SMALL_REPLICAS)


def _samples(standing: Standing) -> Iterator[Sample]:
    for state in RivalState:
        yield "flyball_shadow_state", (standing.name, str(state)), int(standing.state is state)
    for target, count in standing.desired:
        yield "flyball_shadow_replicas_desired", (standing.name, target), count
    if standing.wish is not None and standing.wish.per_hour is not None:
        yield "flyball_shadow_cost_per_hour_dollars", (standing.name,), float(standing.wish.per_hour)
