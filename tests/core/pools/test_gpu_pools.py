"""Which pool a workload draws on, and what a pool has to give."""

import pytest

from flyball.core.pools.gpu_pools import Pool, Stock, pool_for

L4 = Stock("L4", 8)


@pytest.mark.parametrize(
    ("stock", "available"),
    [
        pytest.param(Stock("L4", 8), 8, id="all of it"),
        pytest.param(Stock("L4", 8, reserve=2), 6, id="less the reserve"),
        pytest.param(Stock("L4", 1, reserve=2), 0, id="a reserve larger than the inventory"),
        pytest.param(Stock("L4", None, reserve=2), None, id="not counted yet: unknown, not zero"),
    ],
)
def test_what_a_stock_hands_out(stock: Stock, available: int | None) -> None:
    assert stock.available == available


@pytest.mark.parametrize(
    ("pools", "found"),
    [
        pytest.param([], None, id="no pool"),
        pytest.param([Pool("a", (Stock("H100", 8),))], None, id="none of that accelerator"),
        pytest.param([Pool("a", (L4,))], "a", id="one for all"),
        pytest.param([Pool("a", (L4,), frozenset({"other"}))], None, id="one for others"),
        pytest.param([Pool("a", (L4,)), Pool("b", (L4,), frozenset({"team"}))], "b", id="the namespace's own first"),
        pytest.param([Pool("b", (L4,)), Pool("a", (L4,))], "a", id="of two the first by name"),
    ],
)
def test_the_pool_of_a_workload(pools: list[Pool], found: str | None) -> None:
    pool = pool_for(pools, "team", "L4")
    assert (pool.name if pool else None) == found


def test_an_accelerator_that_is_not_known_is_drawn_from_no_pool() -> None:
    assert pool_for([Pool("a", (L4,))], "team", None) is None
