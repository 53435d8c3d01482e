"""Why a figure moved: four parts that add up to the whole move, to the last digit, whatever the windows hold."""

from fractions import Fraction

import pytest
from core.accounts import account
from core.cases import LAW
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.money.books import Account
from flyball.core.value.decomposition import (
    Factor,
    Figure,
    decompose,
    dollars_per_request,
    value_per_dollar,
)

FIGURES = [pytest.param(value_per_dollar, id="worth"), pytest.param(dollars_per_request, id="cost")]
money = st.decimals("0.000001", 1_000_000, places=6).map(str)
anything = st.decimals(0, 1_000_000, places=6).map(str)
paths = st.dictionaries(st.sampled_from(["h100", "l4", "(fallback)"]), st.tuples(anything, anything), max_size=3)
accounts = st.builds(account, fixed=money, worth=anything, labor=anything, paths=paths)


def direct(figure: Figure, of: Account) -> Fraction:
    """The figure by its definition."""
    full, requests = Fraction(of.full), Fraction(of.requests)
    return Fraction(of.value) / full if figure is value_per_dollar else full / requests


@pytest.mark.parametrize("figure", FIGURES)
@LAW
@given(before=accounts, after=accounts)
def test_the_parts_add_up_exactly(figure: Figure, before: Account, after: Account) -> None:
    parts = decompose(before, after, figure)
    if min(before.requests, after.requests, before.dollars, after.dollars) <= 0:
        assert parts is None
        return
    assert parts is not None
    assert sum(parts.values()) == direct(figure, after) - direct(figure, before)


@pytest.mark.parametrize("figure", FIGURES)
@LAW
@given(before=accounts, after=accounts)
def test_the_way_back_is_the_way_there_with_its_sign_changed(figure: Figure, before: Account, after: Account) -> None:
    there, back = decompose(before, after, figure), decompose(after, before, figure)
    assert (there is None) == (back is None)
    if there is not None and back is not None:
        assert {factor: -part for factor, part in there.items()} == back


@pytest.mark.parametrize(
    ("before", "after", "figure", "moved"),
    [
        pytest.param(account(), account(fixed="90"), dollars_per_request, {Factor.COST}, id="dearer GPUs"),
        pytest.param(account(), account(serving="90"), value_per_dollar, {Factor.COST}, id="dearer serving"),
        pytest.param(account(), account(labor="9"), dollars_per_request, {Factor.COST}, id="more of people's work"),
        pytest.param(account(), account(worth="200"), value_per_dollar, {Factor.VALUE}, id="answers worth less"),
        pytest.param(
            account(), account("500", serving="30", worth="150"), value_per_dollar, {Factor.VOLUME},
            id="half of the requests, each as dear and as good, for the same idle GPUs",
        ),
        pytest.param(
            account(paths={"a": ("500", "10"), "b": ("500", "50")}),
            account(paths={"a": ("250", "5"), "b": ("750", "75")}),
            dollars_per_request, {Factor.MIX}, id="more on the dearer path",
        ),
        pytest.param(
            account(paths={"a": ("1000", "20")}), account(paths={"a": ("500", "10"), "b": ("500", "50")}),
            dollars_per_request, {Factor.MIX}, id="a path that was not there before",
        ),
        pytest.param(account(), account(), value_per_dollar, set(), id="nothing"),
    ],
)  # fmt: skip
def test_only_what_changed_moves_the_figure(
    before: Account, after: Account, figure: Figure, moved: set[Factor]
) -> None:
    parts = decompose(before, after, figure)
    assert parts is not None
    assert {factor for factor, part in parts.items() if part} == moved


def test_the_parts_of_a_worked_case() -> None:
    """$0.10 → $0.24 a request: 1000 requests for 60 + 40 dollars, then 500 of them for 80 + 40.

    The unit cost is 0.06 + 40 / n before and 0.16 + 40 / n after: cost makes 0.10, volume 40 / 500 − 40 / 1000 = 0.04.
    """
    parts = decompose(account(), account("500", serving="80"), dollars_per_request)
    assert parts == {Factor.VOLUME: Fraction("0.04"), Factor.MIX: 0, Factor.COST: Fraction("0.1"), Factor.VALUE: 0}
