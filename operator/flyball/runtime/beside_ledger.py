"""Whoever works beside the ticks with a ledger of its own: opened when it is first needed, closed in the end."""

from flyball.ledger.store import Ledger
from flyball.runtime.aside import Beside


class BesideLedger(Beside):
    """Works with the ledger at a URL; `zone` is that of its days."""

    def __init__(self, name: str, url: str, zone: str) -> None:
        super().__init__(name)
        self._url, self._zone = url, zone
        self._ledger: Ledger | None = None

    def opened(self) -> Ledger:
        """The ledger, opened where it was not yet. Raises LedgerError."""
        if self._ledger is None:
            self._ledger = Ledger(self._url, self._zone)
        return self._ledger

    async def aclose(self) -> None:
        """Stop, and close the ledger."""
        await super().aclose()
        if self._ledger is not None:
            self._ledger.close()
