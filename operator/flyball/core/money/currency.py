"""The currency that amounts are in, by its ISO 4217 code, and how people read an amount of it.

One Flyball reckons in one currency: what ceilings, GPU pools and shared budgets weigh against each other can't be added
up in two. Nothing is converted, for nobody said at which rate. Names in here and in the API say dollars for short.
"""

from decimal import Decimal

from flyball.core.units import format_money

DEFAULT_CURRENCY = "USD"
_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩"}


def money(amount: Decimal, currency: str, digits: int = 2) -> str:
    """An amount for people: `$12.50`, `€12.50`, `12.50 CHF`."""
    return labelled(format_money(amount, digits), currency)


def labelled(amount: str, currency: str) -> str:
    """The same of an amount that is a text already."""
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{amount}" if symbol else f"{amount} {currency}"


def symbol(currency: str) -> str:
    """What stands in a table's heading: `$`, `CHF`."""
    return _SYMBOLS.get(currency, currency)
