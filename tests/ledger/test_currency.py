"""The currency of a ledger is that of who first wrote costs to it."""

import pytest
from ledger.entries import HOUR, MIDNIGHT, periods

from flyball.ledger.currency import currency_of, settle
from flyball.ledger.errors import LedgerError
from flyball.ledger.store import Ledger


def test_the_first_who_writes_settles_it(ledger: Ledger) -> None:
    assert currency_of(ledger) == "USD"
    settle(ledger, "EUR")
    settle(ledger, "EUR")
    assert currency_of(ledger) == "EUR"
    with pytest.raises(LedgerError, match="the money of this ledger is in EUR, not in USD: run Flyball with"):
        settle(ledger, "USD")


def test_a_ledger_of_before_there_were_currencies_is_in_dollars(ledger: Ledger) -> None:
    ledger.append(list(periods(MIDNIGHT, MIDNIGHT + HOUR)))
    with pytest.raises(LedgerError, match="is in USD, not in EUR"):
        settle(ledger, "EUR")
    assert currency_of(ledger) == "USD"
