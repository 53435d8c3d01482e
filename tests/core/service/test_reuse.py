from dataclasses import replace
from decimal import Decimal

import pytest
from core.cases import LAW
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.fleet.capacity import ReplicaLimits, RequestShape, replica_capacity, start_fit
from flyball.core.service.own_counts import Cache, CacheKind, CacheReading, Guard
from flyball.core.service.reuse import ENGINE_PREFIX, POINT, CacheReport, SavingState, Worth, report
from flyball.core.spec import EnginePrior

HOUR = 3600.0
SHAPE = RequestShape(prefill_tokens=400.0, prompt_tokens=1000.0, output_tokens=100.0)
COMPONENTS = {"Embedding": Decimal("0.0001"), "VectorDatabase": Decimal("0.002")}


def carries(shape: RequestShape) -> float:
    """An engine that takes 1 s for a request and 1 ms more for each prompt token that it fills."""
    return 1.0 / (1.0 + 0.001 * shape.prefill_tokens)


WORTH = Worth(2.0, SHAPE, Decimal("0.001"), carries, measured=True, components=COMPONENTS)
"""Two requests/s on replicas of 0.1 cents a second: a request takes 1.4 s and costs 0.14 cents."""


def cache(kind: CacheKind = CacheKind.RESPONSE, **fields: object) -> Cache:
    return Cache("mine", kind, "hits", "lookups", **{"guard": Guard("fresh", at_least=0.99), **fields})


def reading(hits: float | None = 1800.0, lookups: float | None = 7200.0, guard: float | None = 1.0) -> CacheReading:
    return CacheReading("mine", HOUR, hits, lookups, guard)


def told(declared: Cache, read: CacheReading, worth: Worth = WORTH) -> CacheReport:
    return report((declared,), (read,), worth)[-1]


@pytest.mark.parametrize(
    ("declared", "per_point", "saving"),
    [
        # 2 lookups/s: a point is 72 hits an hour, a quarter 1800.
        pytest.param(cache(), "0.1008", "2.52", id="a response saves a request of 0.0014"),
        pytest.param(cache(CacheKind.PROMPT_FRAGMENT, tokens_per_hit=250.0), "0.018", "0.45", id="250 tokens, 0.25 s"),
        pytest.param(cache(CacheKind.EMBEDDING), "0.0072", "0.18", id="an embedding, by the PriceBook"),
        pytest.param(cache(CacheKind.RETRIEVAL), "0.144", "3.6", id="a retrieval, by the PriceBook"),
        pytest.param(cache(CacheKind.RETRIEVAL, dollars_per_hit=Decimal("0.01")), "0.72", "18", id="as declared"),
        pytest.param(cache(CacheKind.PREFIX, guard=None), "0.072", "1.8", id="a prefix: 10 tokens of each request"),
    ],
)
def test_what_hits_are_worth(declared: Cache, per_point: str, saving: str) -> None:
    found = told(declared, reading())
    assert (found.state, found.hit_rate) == (SavingState.COUNTED, 0.25)
    assert found.per_point == pytest.approx(Decimal(per_point), abs=Decimal("1e-12"))
    assert found.saving == pytest.approx(Decimal(saving), abs=Decimal("1e-12"))


def test_the_engines_own_prefix_cache_needs_no_query_and_no_guard() -> None:
    (found,) = report((), (), WORTH)
    # 60% of 1000 tokens hit: 0.6 s of each request's 2.0 s without it, at 2 requests/s and 0.001 dollars a second.
    assert (found.name, found.state, found.hit_rate) == (ENGINE_PREFIX, SavingState.COUNTED, pytest.approx(0.6))
    assert found.saving == pytest.approx(Decimal("4.32"), abs=Decimal("1e-9"))
    assert found.per_point == pytest.approx(Decimal("0.072"), abs=Decimal("1e-9"))
    nothing_cached = replace(WORTH, shape=replace(SHAPE, prefill_tokens=1000.0))
    assert report((), (), nothing_cached) == ()


@pytest.mark.parametrize(
    ("guard", "value", "state", "why"),
    [
        pytest.param(None, None, SavingState.UNGUARDED, "no guard says", id="no guard"),
        pytest.param(Guard("q", at_least=0.99), None, SavingState.GUARD_UNKNOWN, "no answer", id="no answer"),
        pytest.param(
            Guard("q", at_least=0.99),
            0.5,
            SavingState.GUARD_BROKEN,
            "50.0% of what it serves is fresh",
            id="half stale",
        ),
        pytest.param(Guard("q", at_least=0.99), 0.99, SavingState.COUNTED, "", id="fresh enough"),
        pytest.param(
            Guard("q", at_most_seconds=600.0), 7200.4, SavingState.GUARD_BROKEN, "2h old, more than 10m", id="too old"
        ),
        pytest.param(Guard("q", at_most_seconds=600.0), 600.0, SavingState.COUNTED, "", id="young enough"),
    ],
)
def test_a_hit_is_a_saving_only_while_its_guard_holds(
    guard: Guard | None, value: float | None, state: SavingState, why: str
) -> None:
    found = told(cache(guard=guard), reading(guard=value))
    assert (found.state, found.saving is None) == (state, state is not SavingState.COUNTED)
    assert why in found.why
    assert (found.hit_rate, found.per_point is None) == (0.25, False)


@pytest.mark.parametrize(
    ("declared", "read", "worth", "state"),
    [
        pytest.param(cache(), reading(hits=None), WORTH, SavingState.UNMEASURED, id="hits without an answer"),
        pytest.param(cache(), reading(lookups=None), WORTH, SavingState.UNMEASURED, id="lookups without an answer"),
        pytest.param(cache(), reading(lookups=0.0), WORTH, SavingState.UNMEASURED, id="no lookups"),
        pytest.param(
            cache(), reading(), replace(WORTH, replica_dollars_per_second=None), SavingState.UNPRICED, id="no GPU price"
        ),
        pytest.param(cache(), reading(), replace(WORTH, shape=None), SavingState.UNPRICED, id="no shape"),
        pytest.param(
            cache(CacheKind.PROMPT_FRAGMENT), reading(), WORTH, SavingState.UNPRICED, id="no tokens of a fragment"
        ),
        pytest.param(
            cache(CacheKind.EMBEDDING),
            reading(),
            replace(WORTH, components={}),
            SavingState.UNPRICED,
            id="no component",
        ),
    ],
)
def test_what_is_not_known_is_said_and_saves_nothing(
    declared: Cache, read: CacheReading, worth: Worth, state: SavingState
) -> None:
    found = told(declared, read, worth)
    assert (found.state, found.saving, found.per_point) == (state, None, None)
    assert found.why


def test_a_query_that_failed_is_told() -> None:
    broken = replace(reading(lookups=None, guard=None), problem="lookups: parse error")
    assert told(cache(), broken).why == "lookups: parse error"
    unguarded = replace(reading(guard=None), problem="guard.query: parse error")
    assert (told(cache(), unguarded).state, told(cache(), unguarded).why) == (
        SavingState.GUARD_UNKNOWN,
        "guard.query: parse error",
    )


def test_more_hits_than_lookups_are_all_of_them() -> None:
    assert told(cache(), reading(hits=9000.0, lookups=7200.0)).hit_rate == 1.0


def test_a_guess_is_told_from_what_was_measured_and_declared() -> None:
    guessed = replace(WORTH, measured=False)
    assert not told(cache(), reading(), guessed).measured
    assert told(cache(dollars_per_hit=Decimal(1)), reading(), guessed).declared
    assert not told(cache(), reading()).declared


FIT = start_fit(EnginePrior(0.012, 5e-5, 1.14e-7, 1.03e-4, 200_000, 256))


def real(hit_rate: float, limits: ReplicaLimits) -> Worth:
    shape = RequestShape(2000.0 * (1 - hit_rate), 2000.0, 200.0)
    return Worth(
        3.0, shape, Decimal("0.0006"), lambda s: replica_capacity(FIT, s, limits).requests_per_second, True, {}
    )


@LAW
@given(hit_rate=st.floats(0.01, 0.98), per_token=st.none() | st.floats(0.03, 0.2))
def test_by_a_fitted_engine_a_point_is_worth_something_and_all_of_them_what_they_save(
    hit_rate: float, per_token: float | None
) -> None:
    limits = ReplicaLimits(per_token=per_token)
    (found,) = report((), (), real(hit_rate, limits))
    (better,) = report((), (), real(hit_rate + POINT, limits))
    assert found.per_point is not None
    assert found.saving is not None
    assert better.saving is not None
    assert found.per_point >= 0
    assert better.saving - found.saving == pytest.approx(found.per_point, rel=Decimal("1e-6"), abs=Decimal("1e-9"))
