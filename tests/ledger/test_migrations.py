"""A ledger that an older version filled holds the same after its migration, and goes on; on SQLite and PostgreSQL."""

from decimal import Decimal
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from ledger.entries import DAY, HOUR, KEY, MIDNIGHT, PERIOD, entry, use
from sqlalchemy import Connection, create_engine, text

from flyball.core.money.bill import Charge, PathUse
from flyball.core.names import WorkloadKey
from flyball.core.spec import Unit
from flyball.ledger import forecasts
from flyball.ledger.accounts import since
from flyball.ledger.queries import Line, series, total
from flyball.ledger.schema import Grain
from flyball.ledger.store import USE_COUNTS, Ledger

NOW = MIDNIGHT + DAY
BATCH = WorkloadKey("lab", "batch")
MONTH = MIDNIGHT - 24 * DAY
ODD = 100_123
"""Where within a period the operator stopped, in milliseconds."""


def at_revision(url: str, revision: str) -> Any:
    """An engine over an empty ledger of an older version."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    config = Config()
    config.set_main_option("script_location", "flyball.ledger:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return engine


def insert(connection: Connection, table: str, **row: Any) -> None:
    values = ", ".join(f":{name}" for name in row)
    connection.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})"), row)


def whole(each: PathUse) -> dict[str, int]:
    """The columns of a use as version 0005 kept them."""
    digits = dict.fromkeys(("loading", "idle", "serving", "unmeasured"), 9)
    digits |= dict.fromkeys(("requests", "prompt_tokens", "output_tokens"), 3)
    return {name: int(Decimal(getattr(each, name)).scaleb(digits.get(name, 0))) for name in USE_COUNTS}


def fill(connection: Connection) -> None:
    """Two workloads: one whose first period has three parts, with a component on two paths; one of days only."""
    for id_, uid, key in ((1, "u-1", KEY), (2, "u-2", BATCH), (3, "u-3", WorkloadKey("lab", "new"))):
        insert(connection, "workload", id=id_, uid=uid, namespace=key.namespace, name=key.name, through=NOW)
    for id_, name in ((1, "gpu"), (2, "(fallback)"), (3, "(all)")):
        insert(connection, "path", id=id_, name=name)
    for id_, name in ((1, "logs"), (2, "vectors")):
        insert(connection, "component", id=id_, name=name, kind="Other", unit="Request", priced=id_ == 1)
    parts = [(0, MIDNIGHT), (0, MIDNIGHT + ODD), (0, MIDNIGHT + 2 * ODD), (0, MIDNIGHT + PERIOD + ODD)]
    for grain, start in (*parts, (1, MIDNIGHT), (2, MIDNIGHT), (3, MONTH)):
        times = 1 if grain == 0 else len(parts)
        keys = {"grain": grain, "start": start, "workload_id": 1, "until": start + 1}
        counts = {name: times * value for name, value in whole(use()).items()}
        insert(connection, "usage", **keys, path_id=1, **counts)
        for path, component, dollars in ((1, 1, 3), (2, 1, 5), (3, 2, 0)):
            sums = {"quantity": times * 1_500_000, "dollars": times * dollars}
            insert(connection, "charge", **keys, path_id=path, component_id=component, **sums)
    for grain, start in ((1, MIDNIGHT + 30 * HOUR), (2, MIDNIGHT - DAY), (3, MONTH)):
        insert(connection, "usage", grain=grain, start=start, workload_id=2, path_id=1, until=start + 1, **whole(use()))


def charges(lines: list[Line]) -> set[Charge]:
    return {line.what for line in lines if isinstance(line.what, Charge)}


def test_rows_of_0005_are_the_same_when_they_are_narrow(url: str) -> None:
    engine = at_revision(url, "0005")
    with engine.begin() as connection:
        fill(connection)
    engine.dispose()
    ledger = Ledger(url)
    four = PathUse("gpu", **{name: 4 * getattr(use(), name) for name in USE_COUNTS})
    expected = {
        Charge("logs", "Other", "gpu", Unit.REQUEST, Decimal(6), Decimal("12e-9")),
        Charge("logs", "Other", "(fallback)", Unit.REQUEST, Decimal(6), Decimal("20e-9")),
        Charge("vectors", "Other", "(all)", Unit.REQUEST, Decimal(6), None),
    }
    for begin, end in ((MONTH, NOW), (MIDNIGHT, NOW), (MIDNIGHT, MIDNIGHT + HOUR), (MIDNIGHT, MIDNIGHT + 2 * PERIOD)):
        found = total(ledger, begin, end, NOW, KEY)
        assert [line.what for line in found if isinstance(line.what, PathUse)] == [four]
        assert charges(found) == expected
    periods = [line for line in series(ledger, MIDNIGHT, NOW, Grain.PERIOD, KEY) if isinstance(line.what, PathUse)]
    assert [(line.start, line.what.loading_ms) for line in periods] == [
        (MIDNIGHT, 3 * use().loading_ms), (MIDNIGHT + PERIOD, use().loading_ms),
    ]  # fmt: skip
    assert [line.what for line in total(ledger, MONTH, NOW, NOW, BATCH)] == [use()]
    fourfold = float(4 * (use().dollars + Decimal("8e-9")))
    assert forecasts.by_day(ledger, MONTH, NOW) == {
        "u-1": {MIDNIGHT: pytest.approx(fourfold)}, "u-2": {MIDNIGHT - DAY: pytest.approx(float(use().dollars))},
    }  # fmt: skip
    assert since(ledger) == {KEY: MIDNIGHT, BATCH: MIDNIGHT - DAY, WorkloadKey("lab", "new"): NOW}
    assert ledger.append([entry(MIDNIGHT), entry(NOW)]) == 1
    assert len(total(ledger, NOW, NOW + HOUR, NOW + HOUR, KEY)) == 2
    ledger.close()


def test_an_empty_ledger_of_0005_is_migrated_too(url: str) -> None:
    at_revision(url, "0005").dispose()
    ledger = Ledger(url)
    assert ledger.append([entry(MIDNIGHT)]) == 1
    ledger.close()
