"""Rows come back once each, by key, and those of one key as they came, whether they waited in memory or in files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.ledger import spool
from flyball.ledger.outcomes import Row
from flyball.ledger.spool import Spool

KEYS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), -1, 0, 1, 2**63 - 1])
ROWS = st.builds(lambda key, number: (key, number, 0, 1, 2, 3, 1), KEYS, st.integers(0, 9))


@pytest.mark.parametrize("held", [pytest.param(1 << 20, id="in memory"), pytest.param(150, id="in files")])
@given(st.lists(ROWS, max_size=60), st.integers(0, 300))
def test_rows_come_back_sorted_by_key(held: int, rows: list[Row], parts: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(spool, "HELD", held)
        opened = Spool(parts)
    with opened as found:
        for row in rows:
            found.add(row)
        assert found.rows == len(rows)
        assert [row for part in found.parts() for row in part.tolist()] == sorted(rows, key=lambda row: row[0])
