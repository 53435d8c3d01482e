"""Who gets the GPUs when they run short: cases, and the laws on whatever is asked."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flyball.core.names import WorkloadKey
from flyball.core.pools.arbitrate import Measure, arbitrate, measure, served_more
from flyball.core.pools.gpu_pools import Ask, Grant, Peers, Pool, Preemption, Stock


def ask(name: str = "chat", desired: int = 2, **fields: object) -> Ask:
    own = {"gpus_per_replica": 1, "minimum": 0, "current": 0} | fields
    namespace = own.pop("namespace", "team")
    return Ask(WorkloadKey(str(namespace), name), "gpu", "L4", desired=desired, **own)  # type: ignore[arg-type]


def pool(gpus: int | None = 4, **fields: object) -> Pool:
    stock = {key: fields.pop(key) for key in ("reserve", "quotas") if key in fields}
    return Pool("shared", (Stock("L4", gpus, **stock),), **fields)  # type: ignore[arg-type]


def counts(found: Pool, *asks: Ask) -> list[int]:
    return [grant.replicas for grant in arbitrate([found], asks)]


def measured(name: str, desired: int, arrivals: float, capacity: float, **fields: object) -> Ask:
    return ask(name, desired, arrivals_per_second=arrivals, capacity_per_replica=capacity, **fields)


@pytest.mark.parametrize(
    ("found", "asks", "granted"),
    [
        pytest.param(pool(4), [ask(desired=4)], [4], id="enough for one"),
        pytest.param(pool(4), [ask(desired=5)], [4], id="one too many"),
        pytest.param(pool(4, reserve=1), [ask(desired=5)], [3], id="the reserve stays"),
        pytest.param(pool(None), [ask(desired=5)], [5], id="an inventory not counted yet limits nobody"),
        pytest.param(pool(0), [ask(desired=5)], [0], id="an empty inventory"),
        pytest.param(pool(4), [ask("a", 4, priority=0), ask("b", 4, priority=1)], [0, 4], id="the higher priority"),
        pytest.param(
            pool(4), [ask("a", 4, priority=0, minimum=1), ask("b", 4, priority=1)], [1, 3], id="less a promised minimum"
        ),
        pytest.param(
            pool(4), [ask("a", 3, minimum=3), ask("b", 3, minimum=3, priority=1)], [1, 3],
            id="of minimums that do not fit, the higher priority's",
        ),
        pytest.param(
            pool(4), [ask("a", 4, current=4), ask("b", 4)], [4, 0], id="what runs stays among equals"
        ),
        pytest.param(
            pool(4), [ask("a", 4, current=4), ask("b", 3, priority=1)], [1, 3], id="what runs yields to a higher one"
        ),
        pytest.param(
            pool(4, preemption=Preemption.NEVER), [ask("a", 4, current=3), ask("b", 3, priority=1)], [3, 1],
            id="and does not where preemption is Never",
        ),
        pytest.param(
            pool(4, preemption=Preemption.NEVER), [ask("a", 4, current=4), ask("b", 3, priority=1, minimum=1)], [3, 1],
            id="but for a minimum",
        ),
        pytest.param(
            pool(4), [ask("a", 1, current=4), ask("b", 4, current=0)], [1, 3], id="what is no longer wanted is free"
        ),
        pytest.param(
            pool(4), [ask("a", 4), ask("b", 4)], [2, 2], id="without figures, equal shares"
        ),
        pytest.param(
            pool(6), [ask("a", 4), ask("b", 8)], [2, 4], id="shares of what each asks for"
        ),
        pytest.param(
            pool(4), [measured("a", 4, 8.0, 2.0), measured("b", 4, 12.0, 3.0)], [0, 4], id="where it serves most"
        ),
        pytest.param(
            pool(4), [measured("a", 4, 8.0, 2.0), measured("b", 4, 3.5, 3.0)], [3, 1],
            id="a replica that would serve little comes late",
        ),
        pytest.param(
            pool(4),
            [measured("a", 4, 8.0, 2.0, value_per_request=0.1), measured("b", 4, 12.0, 3.0, value_per_request=0.01)],
            [4, 0], id="where it earns most",
        ),
        pytest.param(
            pool(4), [measured("a", 4, 8.0, 2.0, value_per_request=0.1), measured("b", 4, 12.0, 3.0)], [0, 4],
            id="dollars are not held against requests",
        ),
        pytest.param(
            pool(8), [measured("a", 4, 8.0, 2.0, gpus_per_replica=4), measured("b", 8, 8.0, 1.0)], [0, 8], id="per GPU"
        ),
        pytest.param(
            pool(4, peers=Peers.EQUAL_SHARE), [measured("a", 4, 8.0, 2.0), measured("b", 4, 12.0, 3.0)], [2, 2],
            id="unless equals share equally",
        ),
        pytest.param(
            pool(3), [ask("a", 1, gpus_per_replica=4, priority=1), ask("b", 3)], [0, 3],
            id="what cannot hold a large replica holds small ones",
        ),
        pytest.param(
            pool(4), [ask("a", 3, current=3, fixed=True), ask("b", 3, priority=9)], [3, 1],
            id="a target that is not Flyball's to change holds what it holds",
        ),
        pytest.param(
            pool(4), [ask("a", 6, current=6, fixed=True), ask("b", 3, priority=9)], [6, 0],
            id="more than there are, too",
        ),
        pytest.param(
            pool(8, quotas=(("team", 2),)), [ask("a", 4), ask("b", 4, namespace="other")], [2, 4], id="a quota"
        ),
        pytest.param(
            pool(8, quotas=(("team", 3),)), [ask("a", 2, priority=1), ask("b", 2)], [2, 1],
            id="a quota is shared by priority, too",
        ),
        pytest.param(
            pool(2), [ask("a", 4, current=4), ask("b", 1, current=1, priority=1)], [1, 1],
            id="an inventory that shrinks is shared by the same laws",
        ),
    ],
)  # fmt: skip
def test_who_gets_how_many(found: Pool, asks: list[Ask], granted: list[int]) -> None:
    assert counts(found, *asks) == granted


def test_two_variants_of_one_workload_share_its_load() -> None:
    """Two replicas serve all that arrives, whichever variant they are of: the third GPU serves nothing here."""
    two = [replace(measured("a", 2, 4.0, 2.0), target=target) for target in ("spot", "on-demand")]
    assert sum(counts(pool(4), *two, measured("b", 2, 2.0, 1.0))[:2]) == 2
    elsewhere = replace(two[1], accelerator="H100")
    assert counts(pool(2), two[0], elsewhere, measured("b", 2, 2.0, 1.0)) == [0, 2, 2]


@pytest.mark.parametrize(
    ("found", "asks", "parts"),
    [
        pytest.param(
            pool(4), [ask(desired=4)], [], id="nothing to say where all is granted"
        ),
        pytest.param(
            pool(4), [ask(desired=5)],
            ["4 of the 5 replicas asked for are granted: GPUPool shared hands out 4 L4"], id="short alone",
        ),
        pytest.param(
            pool(2), [ask("a", 2, priority=-1), ask("b", 1, priority=10)],
            ["1 of the 2 replicas asked for is granted", "1 to team/b (priority 10)"], id="who has them",
        ),
        pytest.param(
            pool(2), [measured("a", 2, 2.0, 1.0), measured("b", 2, 4.0, 2.0)],
            ["2 to team/b (priority 0); of one priority, what runs stays and a free GPU goes where it serves most"],
            id="why an equal has them",
        ),
        pytest.param(
            pool(8), [ask("a", 9), *(ask(name, 2, priority=1) for name in "bcde")],
            ["0 of the 9 replicas", "2 to team/b (priority 1), 2 to team/c (priority 1) and 4 to 2 other workloads"],
            id="many",
        ),
        pytest.param(
            pool(8, quotas=(("team", 1),)), [ask("a", 2)], ["namespace team may hold 1 L4 of GPUPool shared"],
            id="a quota",
        ),
    ],
)  # fmt: skip
def test_what_is_said(found: Pool, asks: list[Ask], parts: list[str]) -> None:
    text = arbitrate([found], asks)[0].text
    assert all(part in text for part in parts), text
    assert bool(text) is bool(parts)


def test_without_a_pool_everything_is_granted() -> None:
    [grant] = arbitrate([], [ask(desired=9)])
    assert (grant.replicas, grant.pool, grant.short) == (9, "", False)


@pytest.mark.parametrize(
    ("peers", "asks", "found"),
    [
        pytest.param(
            Peers.MARGINAL_VALUE, [measured("a", 1, 1, 1, value_per_request=1.0)], Measure.DOLLARS, id="worth"
        ),
        pytest.param(Peers.MARGINAL_VALUE, [measured("a", 1, 1, 1)], Measure.REQUESTS, id="no worth"),
        pytest.param(Peers.MARGINAL_VALUE, [ask("a")], Measure.SHARE, id="no figures"),
        pytest.param(Peers.MARGINAL_VALUE, [measured("a", 1, float("nan"), 1)], Measure.SHARE, id="not a figure"),
        pytest.param(Peers.MARGINAL_VALUE, [measured("a", 1, 1, 0)], Measure.SHARE, id="a capacity of nothing"),
        pytest.param(
            Peers.MARGINAL_VALUE, [measured("a", 1, 1, 1), ask("b", 0)], Measure.REQUESTS, id="who wants none"
        ),
        pytest.param(Peers.EQUAL_SHARE, [measured("a", 1, 1, 1)], Measure.SHARE, id="equal shares"),
    ],
)
def test_what_equals_are_compared_by(peers: Peers, asks: list[Ask], found: Measure) -> None:
    assert measure(peers, asks) is found


def test_the_last_replica_serves_what_is_left() -> None:
    wanted = measured("a", 3, 5.0, 2.0)
    assert [served_more(wanted, count) for count in range(4)] == [2.0, 2.0, 1.0, 0.0]


def asks(most: int = 6, sizes: Sequence[int] = (1, 2, 4)) -> st.SearchStrategy[list[Ask]]:
    figures = st.one_of(st.none(), st.floats(0, 50))

    def build(index: int, drawn: dict[str, Any]) -> Ask:
        count = drawn.pop("count")
        own = {"desired": count, "current": count} if drawn["fixed"] else {}
        return ask(f"w{index}", **(drawn | own))

    one = st.fixed_dictionaries(
        {
            "fixed": st.sampled_from([False, False, False, False, True]),
            "count": st.integers(0, 3),
            "desired": st.integers(0, 8),
            "current": st.integers(0, 8),
            "minimum": st.integers(0, 3),
            "gpus_per_replica": st.sampled_from(sizes),
            "priority": st.integers(-1, 2),
            "namespace": st.sampled_from(["team", "other"]),
            "arrivals_per_second": figures,
            "capacity_per_replica": figures,
            "value_per_request": figures,
        }
    )
    return st.lists(one, min_size=1, max_size=most).map(
        lambda drawn: [build(index, dict(each)) for index, each in enumerate(drawn)]
    )


pools = st.builds(
    lambda gpus, reserve, quota, peers, preemption: pool(
        gpus,
        reserve=reserve,
        quotas=(("team", quota),) if quota is not None else (),
        peers=peers,
        preemption=preemption,
    ),
    st.integers(0, 30),
    st.integers(0, 4),
    st.one_of(st.none(), st.integers(0, 12)),
    st.sampled_from(Peers),
    st.sampled_from(Preemption),
)


def floor(each: Ask) -> int:
    return min(each.minimum, each.desired)


def total(grants: Sequence[Grant], namespace: str | None = None) -> int:
    return sum(grant.gpus for grant in grants if namespace in (None, grant.ask.key.namespace))


def free_for(found: Pool, grants: Sequence[Grant], each: Ask) -> int:
    """The GPUs that this ask could still be given."""
    stock = found.stocks[0]
    assert stock.available is not None
    left = [stock.available - total(grants)]
    left += [most - total(grants, name) for name, most in stock.quotas if name == each.key.namespace]
    return min(left)


@given(pools, asks())
def test_never_more_than_there_is_nor_than_is_asked(found: Pool, wanted: list[Ask]) -> None:
    grants = arbitrate([found], wanted)
    [stock] = found.stocks
    held = sum(each.current * each.gpus_per_replica for each in wanted if each.fixed)
    assert total(grants) <= max(stock.available or 0, held)
    for name, most in stock.quotas:
        own = sum(e.current * e.gpus_per_replica for e in wanted if e.fixed and e.key.namespace == name)
        assert total(grants, name) <= max(most, own)
    assert all(0 <= grant.replicas <= grant.ask.desired for grant in grants)
    assert all(grant.replicas == grant.ask.current for grant in grants if grant.ask.fixed)


@given(pools, asks())
def test_nothing_is_left_that_somebody_who_is_short_could_use_and_he_is_told_why(
    found: Pool, wanted: list[Ask]
) -> None:
    grants = arbitrate([found], wanted)
    for grant in grants:
        assert bool(grant.text) is grant.short
        assert not grant.short or free_for(found, grants, grant.ask) < grant.ask.gpus_per_replica


@given(pools, asks())
def test_deciding_again_changes_nothing(found: Pool, wanted: list[Ask]) -> None:
    first = arbitrate([found], wanted)
    again = [replace(g.ask, current=g.replicas) for g in first]
    assert [g.replicas for g in arbitrate([found], again)] == [g.replicas for g in first]
    assert arbitrate([found], wanted) == first


@given(pools, asks(), st.randoms(use_true_random=False))
def test_the_order_of_asking_does_not_matter(found: Pool, wanted: list[Ask], dice: object) -> None:
    mixed = list(wanted)
    dice.shuffle(mixed)  # type: ignore[attr-defined]
    first, other = (arbitrate([found], each) for each in (wanted, mixed))
    assert {g.ask.key: g.replicas for g in first} == {g.ask.key: g.replicas for g in other}


@given(pools, asks())
def test_nobody_is_below_a_minimum_that_what_others_hold_beyond_theirs_would_fill(
    found: Pool, wanted: list[Ask]
) -> None:
    grants = arbitrate([found], wanted)
    for grant in grants:
        each = grant.ask
        if each.fixed or grant.replicas >= floor(each):
            continue
        beyond = [
            (other.replicas - floor(other.ask)) * other.ask.gpus_per_replica
            for other in grants
            if not other.ask.fixed and other.replicas > floor(other.ask)
        ]
        stock = found.stocks[0]
        bound_by_quota = each.key.namespace in dict(stock.quotas)
        assert bound_by_quota or stock.available is None or (
            stock.available - total(grants) + sum(beyond) < each.gpus_per_replica
        )  # fmt: skip


@given(pools, asks())
def test_what_runs_is_taken_only_for_a_higher_priority_or_a_minimum(found: Pool, wanted: list[Ask]) -> None:
    """Where all that runs and is wanted fits, whoever loses some of it loses it to one of these."""
    keeps = [Grant(each, min(each.current, each.desired)) for each in wanted]
    assume(all(free_for(found, keeps, each) >= 0 for each in wanted))
    grants = arbitrate([found], wanted)
    for grant, kept in zip(grants, keeps, strict=True):
        if grant.replicas >= kept.replicas:
            continue
        growing = [g for g, k in zip(grants, keeps, strict=True) if g.replicas > k.replicas]
        for_a_minimum = any(g.replicas <= floor(g.ask) or k.replicas < floor(g.ask)
                            for g, k in zip(grants, keeps, strict=True) if g in growing)  # fmt: skip
        for_a_higher = any(g.ask.priority > grant.ask.priority for g in growing)
        assert for_a_minimum or (for_a_higher and found.preemption is Preemption.HIGHER_PRIORITY)


@given(pools, asks())
def test_nobody_starves(found: Pool, wanted: list[Ask]) -> None:
    """Where one replica for each fits, everybody with a minimum has one, however low and at once; and so it stays."""
    least = [Grant(each, each.current if each.fixed else min(1, floor(each))) for each in wanted]
    assume(all(free_for(found, least, each) >= 0 for each in wanted))
    for _ in range(3):
        grants = arbitrate([found], wanted)
        assert all(grant.replicas >= kept.replicas for grant, kept in zip(grants, least, strict=True))
        wanted = [replace(grant.ask, current=grant.replicas) for grant in grants]


@given(
    st.integers(1, 6),
    st.lists(
        st.tuples(st.integers(1, 4), st.floats(0.1, 9), st.floats(0.1, 4), st.floats(0.1, 5)), min_size=1, max_size=3
    ),
)
def test_among_equals_no_other_sharing_serves_more_worth(
    gpus: int, drawn: list[tuple[int, float, float, float]]
) -> None:
    wanted = [
        measured(f"w{i}", desired, arrivals, capacity, value_per_request=value)
        for i, (desired, arrivals, capacity, value) in enumerate(drawn)
    ]

    def worth(replicas: Sequence[int]) -> float:
        return sum(
            min(a.arrivals_per_second or 0, n * (a.capacity_per_replica or 0)) * (a.value_per_request or 0)
            for a, n in zip(wanted, replicas, strict=True)
        )

    every = product(*(range(each.desired + 1) for each in wanted))
    best = max(worth(replicas) for replicas in every if sum(replicas) <= gpus)
    assert worth(counts(pool(gpus), *wanted)) == pytest.approx(best)
