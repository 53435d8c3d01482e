"""Ledgers to write to: every test that takes `url` or `ledger` runs on SQLite and on a real PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.postgres import Postgres

from flyball.ledger.store import Ledger

DATABASES = ("sqlite", "postgresql")


def url_of(database: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of an empty database of that kind."""
    if database == "sqlite":
        return f"sqlite:///{folder / 'ledger.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    return url_of(request.param, request, tmp_path)


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """An empty ledger, whose days are those of UTC."""
    opened = Ledger(url)
    yield opened
    opened.close()
