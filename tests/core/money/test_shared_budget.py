"""A budget that workloads share: nobody gets more than it holds, and all give up the same share beyond their least."""

from decimal import Decimal

import pytest
from core.cases import LAW, spec
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.money.shared_budget import Claim, SharedBudget, amounts, share_of, within
from flyball.core.names import Enforcement, Period, WorkloadKey
from flyball.core.spec import Ceiling

CENT = Decimal("0.01")
money = st.decimals(0, 10_000, places=2)


def claim(name: str, spent: str, committed: str, expected: str) -> Claim:
    return Claim(WorkloadKey("shop", name), Decimal(spent), Decimal(committed), Decimal(expected))


@st.composite
def claims(draw: st.DrawFn) -> list[Claim]:
    found = []
    for name in "abcd"[: draw(st.integers(1, 4))]:
        least = draw(money)
        found.append(Claim(WorkloadKey("shop", name), draw(money), least, least + draw(money)))
    return found


@LAW
@given(ceiling=st.decimals("0.01", 50_000, places=2), found=claims())
def test_the_amounts_hold_the_ceiling_and_what_cannot_be_spared(ceiling: Decimal, found: list[Claim]) -> None:
    shares = amounts(ceiling, found)
    least = sum(each.spent + each.committed for each in found)
    assert abs(sum(shares.values()) - max(ceiling, least)) <= CENT * len(found)
    assert all(shares[each.key] >= each.spent + each.committed - CENT for each in found)


@LAW
@given(ceiling=st.decimals("0.01", 50_000, places=2), found=claims())
def test_all_give_up_the_same_share(ceiling: Decimal, found: list[Claim]) -> None:
    shares, share = amounts(ceiling, found), share_of(ceiling, found)
    if share >= 1:
        return
    for each in found:
        beyond = shares[each.key] - each.spent - each.committed
        assert float(beyond) == pytest.approx(float(each.beyond) * share, abs=0.02)


@LAW
@given(ceiling=st.decimals("0.01", 50_000, places=2), more=money, found=claims())
def test_more_budget_gives_nobody_less(ceiling: Decimal, more: Decimal, found: list[Claim]) -> None:
    before, after = amounts(ceiling, found), amounts(ceiling + more, found)
    assert all(after[key] >= before[key] for key in before)


def test_a_worked_case() -> None:
    """$1000, of which 300 are spent and 200 committed: 500 for the 600 + 400 that are wanted beyond."""
    found = [claim("chat", "200", "100", "700"), claim("search", "100", "100", "500")]
    assert amounts(Decimal(1000), found) == {
        WorkloadKey("shop", "chat"): Decimal(600), WorkloadKey("shop", "search"): Decimal(400),
    }  # fmt: skip
    assert share_of(Decimal(1000), found) == 0.5


@pytest.mark.parametrize(
    ("own", "shared", "kept"),
    [
        pytest.param(None, "50", "50", id="no ceiling of its own"),
        pytest.param(("60", Enforcement.CLAMP), "50", "50", id="a wider one of its own"),
        pytest.param(("40", Enforcement.CLAMP), "50", "40", id="a tighter one of its own"),
        pytest.param(("40", Enforcement.ALERT), "50", "50", id="one of its own that holds nothing back"),
    ],
)
def test_the_tighter_ceiling_counts(own: tuple[str, Enforcement] | None, shared: str, kept: str) -> None:
    declared = spec(ceilings=(Ceiling(Period.MONTH, Decimal(own[0]), own[1]),) if own else ())
    part = Ceiling(Period.MONTH, Decimal(shared), Enforcement.CLAMP, "Budget team")
    found = within(declared, [part])
    assert [(each.period, each.amount) for each in found.ceilings] == [(Period.MONTH, Decimal(kept))]
    assert within(declared, []) is declared


@pytest.mark.parametrize(
    ("namespace", "labels", "expected"),
    [
        pytest.param("shop", {"team": "a", "x": "y"}, True, id="all labels"),
        pytest.param("shop", {}, False, id="none"),
        pytest.param("other", {"team": "a"}, False, id="another namespace"),
    ],
)
def test_whom_a_budget_concerns(namespace: str, labels: dict[str, str], expected: bool) -> None:
    budget = SharedBudget(WorkloadKey("shop", "team"), (), (("team", "a"),))
    assert budget.concerns(WorkloadKey(namespace, "chat"), labels) is expected
    assert SharedBudget(WorkloadKey("shop", "team"), ()).concerns(WorkloadKey("shop", "chat"), {})
