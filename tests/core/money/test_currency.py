"""Amounts as people read them, in any currency."""

from decimal import Decimal

import pytest

from flyball.core.money.currency import money, symbol


@pytest.mark.parametrize(
    ("currency", "text", "sign"),
    [
        pytest.param("USD", "$12.50", "$", id="dollars"),
        pytest.param("EUR", "€12.50", "€", id="euros"),
        pytest.param("CHF", "12.50 CHF", "CHF", id="a code where no sign is unmistakable"),
    ],
)
def test_an_amount_is_told_with_its_currency(currency: str, text: str, sign: str) -> None:
    assert (money(Decimal("12.5"), currency), symbol(currency)) == (text, sign)
