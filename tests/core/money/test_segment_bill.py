"""What segments caused and what is beside them is the bill, to the last digit, whatever was counted by label."""

from dataclasses import replace
from decimal import Decimal

import pytest
from core.cases import LAW
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.fleet.capacity import RequestShape, start_fit
from flyball.core.money.bill import ALL_PATHS, FALLBACK_PATH, Charge, PathUse
from flyball.core.money.segment_bill import (
    Basis,
    LabelTraffic,
    Segment,
    SegmentKind,
    SegmentUse,
    Traffic,
    capped,
    most_named,
    parted,
    split,
)
from flyball.core.money.segment_statement import by_segment
from flyball.core.money.statement import state
from flyball.core.spec import EnginePrior, Unit
from flyball.core.traffic.work import Work, mean_batch, work

PRIOR = EnginePrior(0.020, 0.0001, 1e-7, 1e-4, 1e6, 64)
WORK = Work(per_output_token=0.002, per_context_token=0.0, per_prompt_token=0.0001)
NAMES = ("acme", "globex", "(other)")


def use(path: str = "gpu", requests: int = 100, serving: str = "0", idle: str = "0", loading: str = "0") -> PathUse:
    return PathUse(
        path,
        requests=Decimal(requests),
        prompt_tokens=Decimal(requests * 1000),
        output_tokens=Decimal(requests * 100),
        serving=Decimal(serving),
        idle=Decimal(idle),
        loading=Decimal(loading),
    )


def charge(unit: Unit, dollars: str, path: str = "gpu") -> Charge:
    return Charge(f"by-{unit}", "Other", path, unit, Decimal(1), Decimal(dollars))


def seen(*named: tuple[str, Traffic], **others: Traffic) -> LabelTraffic:
    return LabelTraffic("tenant", named, **others)


def dollars(found: tuple[SegmentUse, ...]) -> dict[tuple[str, str], Decimal]:
    return {(each.segment.value, str(each.segment.kind)): each.dollars for each in found}


def test_gpus_are_split_by_the_time_that_tokens_take() -> None:
    """acme: 50 × (1000 × 0.1 ms + 100 × 2 ms) = 15 s; globex writes 10 times as much: 50 × (0.1 + 2) s = 105 s."""
    traffic = seen(("acme", Traffic(50, 50_000, 5_000)), ("globex", Traffic(50, 50_000, 50_000)))
    found = split(traffic, [use(serving="12", idle="3", loading="1")], [], {"gpu": WORK}, 10)
    assert dollars(found) == {("globex", "Named"): Decimal("10.5"), ("acme", "Named"): Decimal("1.5")}
    assert {each.segment.basis for each in found} == {Basis.WORK}


def test_without_tokens_all_is_split_by_requests_and_says_so() -> None:
    traffic = seen(("acme", Traffic(25, None, None)), ("globex", Traffic(75, None, None)))
    found = split(traffic, [use(serving="12")], [charge(Unit.MILLION_TOKENS, "4")], {"gpu": WORK}, 10)
    assert dollars(found) == {("globex", "Named"): Decimal(12), ("acme", "Named"): Decimal(4)}
    assert {each.segment.basis for each in found} == {Basis.REQUESTS}


@pytest.mark.parametrize(
    ("unit", "acme"),
    [
        pytest.param(Unit.REQUEST, "6", id="requests: 20 of 100"),
        pytest.param(Unit.MILLION_TOKENS, "15", id="tokens: half of them"),
        pytest.param(Unit.HOUR, "6", id="the hour, by requests"),
    ],
)
def test_charges_are_split_by_what_they_are_charged_by(unit: Unit, acme: str) -> None:
    traffic = seen(("acme", Traffic(20, 50_000, 5_000)), ("globex", Traffic(80, 50_000, 5_000)))
    path = ALL_PATHS if unit is Unit.HOUR else FALLBACK_PATH
    found = split(traffic, [use()], [charge(unit, "30", path)], {"gpu": WORK}, 10)
    assert dollars(found)["acme", "Named"] == Decimal(acme)


@pytest.mark.parametrize(
    ("traffic", "unattributed"),
    [
        pytest.param(seen(("acme", Traffic(50, 0, 0)), missing=Traffic(50, 0, 0)), "6", id="a label without a value"),
        pytest.param(seen(("acme", Traffic(75, 0, 0))), "3", id="requests that pass the gateway by"),
        pytest.param(seen(), "12", id="nothing counted at all"),
        pytest.param(seen(("acme", Traffic(130, 0, 0))), None, id="a gateway that counts more than engines finish"),
    ],
)
def test_what_nobody_counted_by_the_label_is_unattributed_and_never_spread(
    traffic: LabelTraffic, unattributed: str | None
) -> None:
    found = split(traffic, [], [charge(Unit.REQUEST, "12")], {"gpu": WORK}, 10)
    whole = split(traffic, [replace(use(), prompt_tokens=Decimal(0), output_tokens=Decimal(0))], [], {}, 10)
    assert sum(each.dollars for each in found) == 12
    by_requests = split(
        traffic, [replace(use(serving="12"), prompt_tokens=Decimal(0), output_tokens=Decimal(0))], [], {}, 10
    )
    expected = None if unattributed is None else Decimal(unattributed)
    assert dollars(by_requests).get(("", "Unattributed")) == expected
    assert sum(each.requests for each in whole) >= 100


def test_tokens_that_a_gateway_does_not_count_are_unattributed_too() -> None:
    """The engine wrote 10,000 tokens, the gateway counted 4,000 of them: it leaves streams out."""
    traffic = seen(("acme", Traffic(100, 100_000, 4_000)))
    found = split(traffic, [use(serving="30")], [], {"gpu": WORK}, 10)
    assert dollars(found) == {("acme", "Named"): Decimal(18), ("", "Unattributed"): Decimal(12)}


def test_the_cap_names_what_caused_most_and_the_others_are_other() -> None:
    traffic = seen(*((f"t{number}", Traffic(number, None, None)) for number in range(1, 14)), rest=Traffic(9))
    found = split(traffic, [use(serving="10")], [], {}, 3)
    names = [each.segment.value for each in found if each.segment.kind is SegmentKind.NAMED]
    assert names == ["t13", "t12", "t11"]
    assert dollars(found) == {
        ("t13", "Named"): Decimal("1.3"),
        ("t12", "Named"): Decimal("1.2"),
        ("t11", "Named"): Decimal("1.1"),
        ("", "Other"): Decimal("6.4"),
    }


@pytest.mark.parametrize(
    ("workloads", "labels", "most"),
    [(1, 1, 100), (100, 2, 75), (1000, 1, 15), (1000, 4, 3), (1000, 8, 1), (50_000, 8, 1)],
)
def test_how_many_segments_are_named_keeps_all_workloads_together_within_a_bound(
    workloads: int, labels: int, most: int
) -> None:
    assert most_named(workloads, labels) == most


def test_a_full_batch_shares_the_base_of_its_iterations() -> None:
    """Alone a token takes 20 ms and 0.1 ms; of ten in a batch each takes 2 ms of the base."""
    fit, shape = start_fit(PRIOR), RequestShape(250, 1000, 100)
    assert work(fit, shape, 1.0).per_output_token == pytest.approx(0.0201)
    assert work(fit, shape, 10.0).per_output_token == pytest.approx(0.0021)
    assert work(fit, shape, 10.0).per_prompt_token == pytest.approx(0.25e-4)
    assert work(fit, None, 10.0).per_prompt_token == pytest.approx(1e-4)


@pytest.mark.parametrize("batch", [1.5, 8.0, 40.0])
def test_the_batch_is_found_again_from_what_a_replica_did(batch: float) -> None:
    """Of n requests of 1000 + 100 tokens: an iteration takes base + B × adds, and makes B tokens."""
    adds = PRIOR.per_sequence_seconds + PRIOR.per_context_token_seconds * 1050 + PRIOR.per_prefill_token_seconds * 2.5
    seconds = 100 * 1000 * (PRIOR.base_seconds + batch * adds) / batch
    assert mean_batch(start_fit(PRIOR), 0.25, 1000, 1e6, 1e5, seconds) == pytest.approx(batch)


@pytest.mark.parametrize(
    ("output", "busy", "batch"),
    [(0.0, 100.0, 1.0), (100.0, 0.0, 1.0), (1.0, 1e6, 1.0), (1e9, 1.0, 64.0)],
)
def test_a_batch_is_between_one_and_what_the_engine_runs(output: float, busy: float, batch: float) -> None:
    assert mean_batch(start_fit(PRIOR), 1.0, 10, 1000, output, busy) == batch


money = st.decimals(0, 1000, places=9)
counts = st.floats(0, 1e6)
traffics = st.one_of(st.builds(Traffic, counts, counts, counts), st.builds(Traffic, counts, st.none(), st.none()))
labels = st.builds(
    LabelTraffic,
    st.just("tenant"),
    st.lists(st.tuples(st.sampled_from(NAMES), traffics), max_size=3, unique_by=lambda pair: pair[0]).map(tuple),
    traffics,
    traffics,
)
paths = st.sampled_from(["a", "b", FALLBACK_PATH])
uses = st.lists(
    st.builds(
        PathUse,
        paths,
        loading=money,
        idle=money,
        serving=money,
        unmeasured=money,
        requests=st.decimals(0, 10**6, places=3),
        prompt_tokens=st.decimals(0, 10**8, places=3),
        output_tokens=st.decimals(0, 10**7, places=3),
    ),
    max_size=3,
    unique_by=lambda each: each.path,
)
charges = st.lists(
    st.builds(
        Charge,
        st.sampled_from(["x", "y"]),
        st.just("Other"),
        st.one_of(paths, st.just(ALL_PATHS)),
        st.sampled_from(list(Unit)),
        st.just(Decimal(1)),
        st.none() | money,
    ),
    max_size=6,
)


@LAW
@given(labels, uses, charges, st.sampled_from([{}, {"a": WORK}]), st.integers(0, 3))
def test_segments_idle_and_loading_are_the_bill_to_the_last_digit(
    traffic: LabelTraffic, used: list[PathUse], charged: list[Charge], works: dict[str, Work], most: int
) -> None:
    found = split(traffic, used, charged, works, most)
    bill = sum((each.dollars for each in used), Decimal(0))
    bill += sum((each.dollars or Decimal(0) for each in charged), Decimal(0))
    beside = sum((each.idle + each.loading + each.unmeasured for each in used), Decimal(0))
    assert sum((each.dollars for each in found), Decimal(0)) + beside == bill
    assert all(each.dollars >= 0 for each in found)
    assert sum(each.segment.kind is SegmentKind.NAMED for each in found) <= most
    told = by_segment(state(used, charged, []), "tenant", found)
    assert told.dollars == bill
    assert abs(sum((each.full for each in told.segments), Decimal(0)) - bill) < Decimal("1e-9") or not any(
        each.dollars for each in found
    )


@LAW
@given(money, st.lists(counts, min_size=1, max_size=6))
def test_parts_add_up_and_what_has_no_weight_gets_nothing(amount: Decimal, weights: list[float]) -> None:
    parts = parted(amount, weights)
    assert sum(parts, Decimal(0)) == amount
    assert all(part >= 0 for part in parts)
    if any(weights):
        assert all(part == 0 for part, weight in zip(parts, weights, strict=True) if weight == 0)


def test_what_the_ledger_has_not_split_is_unattributed() -> None:
    acme = Segment("tenant", "acme", SegmentKind.NAMED, Basis.WORK)
    held = [SegmentUse(acme, Decimal(40), dollars=Decimal(3)), SegmentUse(acme, Decimal(10), dollars=Decimal(1))]
    told = by_segment(state([use(serving="10", idle="6")], [], []), "tenant", held)
    assert [(each.name, each.use.dollars, each.use.requests, each.full) for each in told.segments] == [
        ("acme", Decimal(4), Decimal(50), Decimal("6.4")),
        ("(unattributed)", Decimal(6), Decimal(50), Decimal("9.6")),
    ]
    assert dict(told.beside) == {
        "idle": Decimal(6),
        **dict.fromkeys(("loading", "unmeasured", "corrected"), Decimal(0)),
    }


def test_a_value_that_looks_like_a_name_of_ours_is_quoted() -> None:
    uses = [
        SegmentUse(Segment("tenant", "(other)", SegmentKind.NAMED, Basis.WORK), dollars=Decimal(1)),
        SegmentUse(Segment("tenant", "", SegmentKind.OTHER, Basis.REQUESTS), dollars=Decimal(1)),
    ]
    told = by_segment(state([use(requests=0, serving="2")], [], []), "tenant", uses)
    assert [each.name for each in told.segments] == ["'(other)'", "(other)"]
    assert told.by_requests


def test_the_same_segment_by_work_and_by_requests_is_one() -> None:
    uses = [SegmentUse(Segment("tenant", "acme", SegmentKind.NAMED, basis), dollars=Decimal(1)) for basis in Basis]
    told = by_segment(state([use(requests=0, serving="2")], [], []), "tenant", uses)
    assert [(each.name, each.use.dollars) for each in told.segments] == [("acme", Decimal(2))]
    assert told.by_requests


def test_the_cap_keeps_every_dollar_and_request() -> None:
    uses = [
        SegmentUse(Segment("tenant", name, SegmentKind.NAMED, Basis.WORK), Decimal(1), dollars=Decimal(cost))
        for name, cost in (("a", 1), ("b", 5), ("c", 3))
    ]
    found = capped(uses, 1)
    assert [(each.segment.kind, each.dollars, each.requests) for each in found] == [
        (SegmentKind.NAMED, Decimal(5), Decimal(1)),
        (SegmentKind.OTHER, Decimal(4), Decimal(2)),
    ]
