"""The currency of a ledger's money: settled by who first writes costs, since amounts in two cannot be added up."""

from sqlalchemy import func, insert, select

from flyball.core.money.currency import DEFAULT_CURRENCY
from flyball.ledger.engine import reading, writing
from flyball.ledger.errors import LedgerError
from flyball.ledger.schema import setting, workload
from flyball.ledger.store import Ledger

_ASKED = select(setting.c.value).where(setting.c.name == "currency")


def currency_of(ledger: Ledger) -> str:
    """The currency of all that the ledger holds; that of a new one is not settled yet."""
    with reading(ledger.engine) as connection:
        return str(connection.scalar(_ASKED) or DEFAULT_CURRENCY)


def settle(ledger: Ledger, wanted: str) -> None:
    """Say which currency is written. Raises LedgerError where the ledger is in another one.

    A ledger that holds workloads and names no currency is of a version that knew dollars only.
    """
    with writing(ledger.engine) as connection:
        known = connection.scalar(_ASKED)
        if known is None:
            known = DEFAULT_CURRENCY if connection.scalar(select(func.count()).select_from(workload)) else wanted
            connection.execute(insert(setting), [{"name": "currency", "value": known}])
    if wanted != known:
        raise LedgerError(
            f"the money of this ledger is in {known}, not in {wanted}: run Flyball with --currency {known}, or begin a "
            "new ledger"
        )
