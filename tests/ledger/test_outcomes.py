"""Business outcomes are counted once each, whatever comes again or late, and voided once; on both databases."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger.entries import DAY, HOUR, KEY, MIDNIGHT

from flyball.core.names import WorkloadKey
from flyball.core.value.outcomes import KEPT_MS, Counted, Outcome, Void
from flyball.ledger.outcomes import Taken, by_hour, counted, forget, record
from flyball.ledger.store import Ledger

NOW = MIDNIGHT + 10 * DAY
CHAT = "deflections"


def outcome(key: str, at: int = MIDNIGHT, **fields: object) -> Outcome:
    return replace(Outcome(KEY, CHAT, key, at), **fields)  # type: ignore[arg-type]


def held(ledger: Ledger, begin: int = MIDNIGHT, end: int = MIDNIGHT + DAY) -> Counted:
    return counted(ledger, begin, end, NOW).get((KEY, CHAT), Counted())


def test_a_repetition_counts_once_in_one_batch_and_in_the_next(ledger: Ledger) -> None:
    batch = [outcome("a"), outcome("b"), outcome("a")]
    assert record(ledger, batch) == Taken(new=2, repeated=1)
    assert record(ledger, batch) == Taken(repeated=3)
    assert held(ledger) == Counted(Decimal(2), Decimal(2))


def test_the_same_key_of_another_kpi_or_workload_is_another_record(ledger: Ledger) -> None:
    other = WorkloadKey("shop", "search")
    batch = [outcome("a"), outcome("a", kpi="escalations"), outcome("a", workload=other)]
    assert record(ledger, batch) == Taken(new=3)
    assert set(counted(ledger, MIDNIGHT, MIDNIGHT + DAY, NOW)) == {
        (KEY, CHAT), (KEY, "escalations"), (other, CHAT),
    }  # fmt: skip
    assert set(counted(ledger, MIDNIGHT, MIDNIGHT + DAY, NOW, other)) == {(other, CHAT)}


def test_a_voided_outcome_stays_a_case_and_is_voided_once(ledger: Ledger) -> None:
    minutes = Decimal("2.5")
    record(ledger, [outcome("a", outcomes=Decimal(2), cases=Decimal(3), minutes=minutes), outcome("b")])
    gone = outcome("a", at=MIDNIGHT + 5 * DAY, void=Void.CAME_BACK)
    assert record(ledger, [gone, gone, replace(gone, void=Void.QUALITY_FAILED)]) == Taken(voided=1, repeated=2)
    assert held(ledger) == Counted(Decimal(1), Decimal(4), came_back=Decimal(2))
    assert held(ledger, MIDNIGHT + DAY, NOW) == Counted(), (
        "what is voided later is taken from the hour that it counted in"
    )


def test_a_void_that_comes_before_its_record_keeps_it_from_counting(ledger: Ledger) -> None:
    assert record(ledger, [outcome("a", void=Void.QUALITY_FAILED)]) == Taken(new=1)
    assert record(ledger, [outcome("a")]) == Taken(repeated=1)
    assert held(ledger) == Counted(cases=Decimal(1), failed=Decimal(1))


def test_a_record_and_its_void_in_one_batch(ledger: Ledger) -> None:
    assert record(ledger, [outcome("a"), outcome("a", void=Void.CAME_BACK)]) == Taken(new=1, voided=1)
    assert record(ledger, [outcome("a")]) == Taken(repeated=1)
    assert held(ledger) == Counted(cases=Decimal(1), came_back=Decimal(1))


def test_late_records_are_in_their_own_hour_and_in_whole_days_and_months(ledger: Ledger) -> None:
    record(ledger, [outcome("now", MIDNIGHT + 3 * HOUR), outcome("late", MIDNIGHT - 1)])
    assert held(ledger, MIDNIGHT - DAY, MIDNIGHT) == Counted(Decimal(1), Decimal(1))
    assert held(ledger, MIDNIGHT - 90 * DAY, NOW) == Counted(Decimal(2), Decimal(2))
    assert by_hour(ledger, KEY, MIDNIGHT - HOUR, MIDNIGHT + DAY) == {
        CHAT: {at: Counted(Decimal(1), Decimal(1)) for at in (MIDNIGHT - HOUR, MIDNIGHT + 3 * HOUR)}
    }


def test_what_is_kept_in_thousandths_is_exact_and_comes_back_as_it_went(ledger: Ledger) -> None:
    parts = {"outcomes": Decimal("0.001"), "cases": Decimal("0.003"), "minutes": Decimal("0.007")}
    record(ledger, [outcome(str(number), **parts) for number in range(1000)])
    assert held(ledger) == Counted(Decimal(1), Decimal(3), Decimal(7), squares=held(ledger).squares)
    assert record(ledger, [outcome(str(number), void=Void.CAME_BACK) for number in range(1000)]) == Taken(voided=1000)
    assert held(ledger) == Counted(cases=Decimal(3), came_back=Decimal(1), squares=held(ledger).squares)
    assert abs(held(ledger).squares) < 1e-12


def test_old_keys_and_hours_go_and_their_days_stay(ledger: Ledger) -> None:
    record(ledger, [outcome("a"), outcome("b", MIDNIGHT + KEPT_MS)])
    later = MIDNIGHT + KEPT_MS + HOUR
    forget(ledger, later)
    assert by_hour(ledger, KEY, 0, MIDNIGHT + DAY) == {}
    assert counted(ledger, MIDNIGHT, MIDNIGHT + DAY, later)[KEY, CHAT].outcomes == 1
    assert record(ledger, [outcome("b", MIDNIGHT + KEPT_MS)]) == Taken(repeated=1)


records = st.builds(
    Outcome,
    st.just(KEY),
    st.just(CHAT),
    st.sampled_from("abcdef"),
    st.integers(MIDNIGHT, MIDNIGHT + 3 * DAY),
    st.integers(0, 3).map(Decimal),
    st.integers(3, 5).map(Decimal),
    st.integers(0, 9).map(Decimal),
    st.sampled_from([None, None, *Void]),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(records, max_size=20), st.integers(1, 7))
def test_however_records_are_cut_into_batches_and_repeated_the_sums_are_the_same(
    ledger: Ledger, found: list[Outcome], size: int
) -> None:
    name = f"kpi-{abs(hash(tuple(found)) ^ size)}"
    own = [replace(each, kpi=name) for each in found]
    for _ in range(2):
        for first in range(0, len(own), size):
            record(ledger, own[first : first + size])
    expected = Counted()
    firsts = {each.key: each for each in reversed(own)}
    voids = {each.key: each.void for each in reversed(own) if each.void}
    for key, first in firsts.items():
        void = voids.get(key)
        counts = first.outcomes if void is None else Decimal(0)
        minutes = first.minutes if void is None else Decimal(0)
        came_back, failed = (first.outcomes if void is why else Decimal(0) for why in Void)
        expected = expected.plus(Counted(counts, first.cases, minutes, came_back, failed, float(minutes) ** 2))
    assert counted(ledger, MIDNIGHT, NOW, NOW).get((KEY, name), Counted()) == expected
