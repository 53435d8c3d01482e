"""What can go wrong with a ledger, in words for its owner."""


class LedgerError(Exception):
    """The ledger cannot be opened, read or written; the message says why, without secrets."""


class UnwritableError(LedgerError):
    """What is to be written is at fault, not the database: it will never be written as it is."""
