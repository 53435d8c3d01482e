"""Lines of the ledger as statements by workload, as the terminal shows them, and as JSON."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any

from flyball.cli.columns import table
from flyball.core.money.currency import symbol
from flyball.core.money.statement import Statement
from flyball.core.names import WorkloadKey
from flyball.core.units import format_money
from flyball.ledger.accounts import statement_of
from flyball.ledger.queries import Line

NOTHING = Decimal(0)
HEADS = {
    "workload": [
        "workload",
        "bill {sign}",
        "serving",
        "idle",
        "loading",
        "unmeasured",
        "corrected",
        "requests",
        "{sign}/request",
    ],
    "path": ["workload", "path", "bill {sign}", "GPU hours", "requests", "{sign}/request", "{sign}/1M tokens"],
    "component": ["workload", "component", "{sign}"],
}
"""The columns; `{sign}` stands for the currency."""


@dataclass(frozen=True, slots=True)
class Stated:
    """One workload's statement. One that was deleted and made anew has two, by uid."""

    key: WorkloadKey
    uid: str
    statement: Statement

    @property
    def missing(self) -> tuple[str, ...]:
        """For each quantity that is in no dollars, a sentence."""
        found = self.statement
        gpus = [f"{found.unpriced_gpu_hours:.2f} GPU hours"] if found.unpriced_gpu_hours else []
        others = [f"{quantity:f} of {name}" for name, quantity in found.unpriced]
        return tuple(f"{each} of {self.key} cost what nobody knows" for each in (*gpus, *others))


def statements(lines: Iterable[Line]) -> list[Stated]:
    """A statement for each workload, the dearest first."""
    by_workload: dict[tuple[WorkloadKey, str], list[Line]] = {}
    for line in lines:
        by_workload.setdefault((line.key, line.uid), []).append(line)
    found = [Stated(key, uid, statement_of(part)) for (key, uid), part in by_workload.items()]
    return sorted(found, key=lambda each: (-each.statement.dollars, each.key, each.uid))


def lines_of(made: Sequence[Stated], rows: Iterable[str], since: int, until: int, zone: tzinfo) -> Iterator[str]:
    """The range, the statements as these rows of a table, and what is to be known of them."""
    begin, end = (datetime.fromtimestamp(at / 1000, zone) for at in (since, until))
    yield f"{begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} {zone}"
    if not made:
        yield "nothing was recorded in that time"
        return
    yield from rows
    yield from (f"prices are missing: {sentence}" for each in made for sentence in each.missing)


def table_by(made: Sequence[Stated], by: str, currency: str) -> Iterator[str]:
    """The statements as a table by workload, path or component."""
    rows = {"workload": _by_workload, "path": _by_path, "component": _by_component}[by](made)
    yield from table([headed(HEADS[by], currency), *rows], 2 if by != "workload" else 1)


def headed(columns: Iterable[str], currency: str) -> list[str]:
    """Columns with the currency in place of its sign."""
    return [column.replace("{sign}", symbol(currency)) for column in columns]


def document(made: Sequence[Stated], since: int, until: int, currency: str) -> dict[str, Any]:
    """The statements as JSON: dollars as decimal strings, times in UTC."""
    return {
        "from": _time(since),
        "to": _time(until),
        "currency": currency,
        "dollars": text(sum((each.statement.dollars for each in made), NOTHING)),
        "workloads": [_workload(each) for each in made],
    }


def _by_workload(made: Sequence[Stated]) -> Iterator[list[str]]:
    parts = ("dollars", "serving", "idle", "loading", "unmeasured", "corrected")
    for each in made:
        found = each.statement
        dollars = [money(_part(found, part)) for part in parts]
        yield [str(each.key), *dollars, f"{found.requests:.0f}", unit(found.per_request)]
    if len(made) > 1:
        sums = [sum((_part(each.statement, part) for each in made), NOTHING) for part in parts]
        requests = sum((each.statement.requests for each in made), NOTHING)
        yield ["all", *map(money, sums), f"{requests:.0f}", unit(sums[0] / requests if requests else None)]


def _part(found: Statement, part: str) -> Decimal:
    """What no request could be found for is of the segments, as what they share."""
    value: Decimal = getattr(found, part)
    return value + found.unshared if part == "serving" else value


def _by_path(made: Sequence[Stated]) -> Iterator[list[str]]:
    for each in made:
        for path in each.statement.paths:
            hours = Decimal(path.use.gpu_ms) / 3_600_000
            units = [unit(path.per_request), unit(path.per_million_tokens)]
            yield [str(each.key), path.path, money(path.dollars), f"{hours:.2f}", f"{path.use.requests:.0f}", *units]


def _by_component(made: Sequence[Stated]) -> Iterator[list[str]]:
    for each in made:
        found = each.statement
        gpus = sum((path.use.dollars for path in found.paths), NOTHING)
        corrected = [("(corrections)", found.corrected)] if found.corrected else []
        for name, dollars in (("gpu", gpus), *found.by_component, *corrected):
            yield [str(each.key), name, money(dollars)]


def _workload(each: Stated) -> dict[str, Any]:
    found = each.statement
    return {
        "namespace": each.key.namespace,
        "name": each.key.name,
        "uid": each.uid,
        "dollars": text(found.dollars),
        "serving": text(found.serving),
        "idle": text(found.idle),
        "loading": text(found.loading),
        "unmeasured": text(found.unmeasured),
        "unshared": text(found.unshared),
        "corrected": text(found.corrected),
        "requests": text(found.requests),
        "perRequest": rate(found.per_request),
        "components": {name: text(dollars) for name, dollars in found.by_component},
        "paths": [
            {
                "name": path.path,
                "dollars": text(path.dollars),
                "gpuHours": f"{Decimal(path.use.gpu_ms) / 3_600_000:.6f}",
                "requests": text(path.use.requests),
                "promptTokens": text(path.use.prompt_tokens),
                "outputTokens": text(path.use.output_tokens),
                "perRequest": rate(path.per_request),
                "perMillionTokens": rate(path.per_million_tokens),
            }
            for path in found.paths
        ],
        "priceMissing": list(each.missing),
    }


def money(value: Decimal) -> str:
    """Dollars to the cent."""
    return format_money(value, 2)


def unit(value: Decimal | None) -> str:
    """Dollars per unit; a dash where there was no unit."""
    return "-" if value is None else format_money(value, 4)


def rate(value: Decimal | None) -> str | None:
    """Dollars to the billionth, for JSON."""
    return None if value is None else f"{value:.9f}"


def text(value: Decimal) -> str:
    """All digits, for JSON."""
    return f"{value:f}"


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
