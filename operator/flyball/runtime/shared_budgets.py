"""Budgets that workloads share, in a tick: the ceiling that each workload gets of them, their statuses and Events."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from flyball.api.sharing import to_budget
from flyball.core import periods
from flyball.core.decision import Condition, Event
from flyball.core.memory import Memory
from flyball.core.money.cost import accrued, replica_price
from flyball.core.money.currency import money
from flyball.core.money.pacing import HOLD_SECONDS, PERIOD_WORDS
from flyball.core.money.shared_budget import NOTHING, Claim, SharedBudget, amounts, share_of, within
from flyball.core.names import ConditionType, Enforcement, EventReason, Period, WorkloadKey
from flyball.core.observation import WorkloadState
from flyball.core.ports import Cluster
from flyball.core.spec import Ceiling, WorkloadSpec
from flyball.core.told.findings import APPROACHING, HALF
from flyball.core.units import counted, format_ratio
from flyball.runtime import pool_status
from flyball.runtime.mirror import Mirror
from flyball.runtime.own_status import OwnStatuses

MOST_NAMES = 64
HOUR_SECONDS = Decimal(3600)
STATES = ("Reached", "Approaching", "Half", "Within", "Unknown")
_WHEN = {Period.HOUR: "per hour", Period.DAY: "today", Period.MONTH: "this month"}


@dataclass(frozen=True, slots=True)
class Member:
    """A workload of a tick before it is decided."""

    spec: WorkloadSpec
    labels: Mapping[str, str]
    memory: Memory
    state: WorkloadState


@dataclass(slots=True)
class _Held:
    """The amounts of one ceiling, which stand for a while: recomputed with every tick they would move replicas."""

    at: float
    ceiling: Decimal
    amounts: dict[WorkloadKey, Decimal]


@dataclass(slots=True)
class _Stand:
    """Where one budget stands in a tick. It is `known` once every member was decided: what they want is not before."""

    members: list[WorkloadKey] = field(default_factory=list)
    states: dict[Period, str] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    over: list[str] = field(default_factory=list)
    known: bool = True


class SharedBudgets:
    """What ticks need of Budgets. `begin` reads them once for a whole tick."""

    def __init__(self, mirror: Mirror, cluster: Cluster) -> None:
        self._mirror = mirror
        self._statuses = OwnStatuses(cluster.write_budget_status)
        self._held: dict[tuple[WorkloadKey, Period], _Held] = {}
        self._told: dict[tuple[WorkloadKey, str], str] = {}
        self._ceilings: dict[WorkloadKey, list[Ceiling]] = {}
        self._events: dict[WorkloadKey, list[Event]] = {}
        self._stands: dict[WorkloadKey, _Stand] = {}

    def begin(self, members: Sequence[Member], at: float) -> None:
        """Share out every budget among the workloads that it concerns."""
        self._ceilings, self._events, self._stands = {}, {}, {}
        for key, declared in self._mirror.budgets.valid.items():
            budget = to_budget(key.namespace, key.name, declared.spec, self._mirror.currency)
            mine = [m for m in members if budget.concerns(m.spec.key, m.labels)]
            stand = self._stands.setdefault(key, _Stand(sorted(m.spec.key for m in mine)))
            stand.known = all(m.memory.pacing.at > 0 for m in mine)
            for ceiling in budget.ceilings if mine else ():
                self._share(budget, ceiling, mine, at, stand)
        live = {(key, c.period) for key, b in self._mirror.budgets.valid.items() for c in b.spec.ceilings}
        self._held = {name: held for name, held in self._held.items() if name in live}

    def within(self, spec: WorkloadSpec) -> WorkloadSpec:
        """The spec with its part of the budgets that concern it."""
        return within(spec, self._ceilings.get(spec.key, ()))

    def events(self, key: WorkloadKey) -> Sequence[Event]:
        """What is to be told to a workload's owner of its budgets."""
        return self._events.get(key, ())

    async def tell(self, at: float) -> None:
        """Write the budgets' statuses where they say something new."""
        shelf = self._mirror.budgets
        for key, stand in self._stands.items():
            if key in shelf.raw and stand.known:
                worst = min(stand.states.values(), key=STATES.index, default=None)
                names = [member.name for member in stand.members[:MOST_NAMES]]
                parts = {"summary": "; ".join(stand.texts), "state": worst, "workloads": names}
                await self._statuses.write(key, shelf.raw[key], parts, _conditions(key, stand, worst), at)
        for key, errors in list(shelf.invalid.items()):
            await self._statuses.write(key, shelf.raw[key], {}, pool_status.invalid(errors), at)
        self._statuses.forget_all_but(shelf.raw)

    def _share(
        self, budget: SharedBudget, ceiling: Ceiling, members: Sequence[Member], at: float, stand: _Stand
    ) -> None:
        claims = [_claim(member, ceiling.period, at) for member in members]
        name, keys = (budget.key, ceiling.period), {claim.key for claim in claims}
        held = self._held.get(name)
        fresh = held is not None and held.ceiling == ceiling.amount and held.amounts.keys() == keys
        if held is None or not fresh or not 0 <= at - held.at < HOLD_SECONDS:
            since = at if stand.known else -math.inf
            held = self._held[name] = _Held(since, ceiling.amount, amounts(ceiling.amount, claims))
        source = f"Budget {budget.key.name}"
        if ceiling.enforcement is not Enforcement.ALERT:
            for key, amount in held.amounts.items():
                self._ceilings.setdefault(key, []).append(replace(ceiling, amount=amount, source=source))
        if stand.known:
            self._note(budget, ceiling, claims, stand)

    def _note(self, budget: SharedBudget, ceiling: Ceiling, claims: Sequence[Claim], stand: _Stand) -> None:
        """Where the ceiling stands, and an Event for every member where that is news."""
        hourly = ceiling.period is Period.HOUR
        spent = sum((claim.expected if hourly else claim.spent for claim in claims), NOTHING)
        rest = sum((claim.spent + claim.expected for claim in claims), NOTHING)
        state = _state(spent, ceiling.amount, hourly=hourly)
        over = not hourly and rest > ceiling.amount
        stand.states[ceiling.period] = state
        share = (
            ""
            if share_of(ceiling.amount, claims) >= 1
            else (f", pays for {format_ratio(share_of(ceiling.amount, claims), 0)} of what is wanted beyond minimums")
        )
        limit = f"{money(ceiling.amount, ceiling.currency)} {_WHEN[ceiling.period]}"
        forecast = "" if hourly else f", {format_ratio(float(rest / ceiling.amount), 0)} if all demand is served"
        stand.texts.append(f"{format_ratio(float(spent / ceiling.amount), 0)} of {limit}{forecast}{share}")
        stand.over += [limit] if over else []
        said = f"Budget {budget.key.name} of {counted(len(claims), 'workload')}"
        spend = f"{said}: spend of {money(spent, ceiling.currency)} {_WHEN[ceiling.period]}"
        of = f"its ceiling of {money(ceiling.amount, ceiling.currency)} (enforcement {ceiling.enforcement})"
        near = EventReason.BUDGET_CEILING_APPROACHING
        told = {
            "Half": Event(near, f"{spend} is more than half of {of}", "Observe"),
            "Approaching": Event(near, f"{spend} nears {of}", "Observe", warning=True),
            "Reached": Event(EventReason.BUDGET_CEILING_REACHED, f"{spend} has reached {of}", "Clamp", warning=True),
            "Within": Event(EventReason.BUDGET_RECOVERED, f"{spend} is well within {of} again", "Observe"),
        }
        self._tell_members(budget.key, str(ceiling.period), state, told, claims)
        text = f"{said}: the {PERIOD_WORDS[ceiling.period]} ceiling would be exceeded if all demand is served"
        ahead = {"Over": Event(near, f"{text}: {money(rest, ceiling.currency)} of {of}", "Observe", warning=True)}
        self._tell_members(budget.key, f"forecast/{ceiling.period}", "Over" if over else "Within", ahead, claims)

    def _tell_members(
        self, key: WorkloadKey, subject: str, state: str, told: Mapping[str, Event], claims: Sequence[Claim]
    ) -> None:
        before = self._told.get((key, subject)) or self._recalled(key, subject)
        self._told[key, subject] = state
        fine = state in ("Within", "Half") and before is None
        if state == before or state not in told or (fine and not told[state].warning):
            return
        for claim in claims:
            self._events.setdefault(claim.key, []).append(told[state])

    def _recalled(self, key: WorkloadKey, subject: str) -> str | None:
        """What a predecessor told last, by the status that it left."""
        status = self._mirror.budgets.raw[key].get("status") or {}
        if not subject.startswith("forecast/"):
            return status.get("state")
        over = any(condition.get("reason") == "ForecastOver" for condition in status.get("conditions") or ())
        return "Over" if over else None


def _claim(member: Member, period: Period, at: float) -> Claim:
    """What a workload spent, and expects of the rest of the period."""
    spec, memory = member.spec, member.memory
    states = [member.state.variant(variant.name) for variant in spec.variants]
    pairs = list(zip(spec.variants, states, strict=True))
    least = sum((v.min_replicas * (replica_price(v, s) or NOTHING) for v, s in pairs), NOTHING)
    running = sum(((s.ready + s.starting) * (replica_price(v, s) or NOTHING) for v, s in pairs), NOTHING)
    wanted = max(least, running, Decimal(str(round(memory.pacing.wanted_per_hour, 6))))
    if period is Period.HOUR:
        return Claim(spec.key, NOTHING, least, wanted)
    hours = Decimal(str(round(periods.end(period, at) - at, 3))) / HOUR_SECONDS
    account = accrued(memory.spend, at)
    spent = account.to_date(period)
    held = next((each for each in memory.pacing.held if each.period is period and each.known), None)
    expected = max(NOTHING, held.forecast - spent) if held is not None else wanted * hours
    return Claim(spec.key, spent, least * hours, max(least * hours, expected))


def _state(spent: Decimal, amount: Decimal, *, hourly: bool) -> str:
    if spent > amount or (not hourly and spent >= amount):
        return "Reached"
    if spent > APPROACHING * amount:
        return "Approaching"
    return "Half" if spent > HALF * amount and not hourly else "Within"


def _conditions(key: WorkloadKey, stand: _Stand, worst: str | None) -> list[Condition]:
    if not stand.members:
        text = f"no WorkloadSLO in namespace {key.namespace} is meant; create one, or correct the selector"
        return [Condition(ConditionType.READY, False, "NoWorkload", text)]
    ready = Condition(ConditionType.READY, True, "Reconciled", f"{counted(len(stand.members), 'workload')} share it")
    if worst == "Reached":
        return [ready, Condition(ConditionType.WITHIN_BUDGET, False, "CeilingReached", "; ".join(stand.texts))]
    reason = "ForecastOver" if stand.over else "WithinCeilings"
    return [ready, Condition(ConditionType.WITHIN_BUDGET, True, reason, "; ".join(stand.texts))]
