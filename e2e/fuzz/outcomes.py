"""Business outcomes as they are uploaded: every record is counted once or refused with a reason; sums add up."""

from __future__ import annotations

import json
import tempfile
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2e.fuzz.schema import JUNK

from flyball.core.value.outcomes import COLUMNS, LARGEST, BadRecord, Outcome, Void, parse_record
from flyball.ledger.outcomes import Taken, counted, record
from flyball.ledger.store import Ledger

if TYPE_CHECKING:
    from random import Random

NOW = 1_767_960_000_000
TEXTS = ("1", "0", "0.5", "-1", "1e3", "1E+400", "1_000", " 1", "NaN", "Infinity", "٣", "0x10", "1,5", "")
TIMES = (
    "2026-01-09T10:00:00Z", "2026-01-09T10:00:00+14:00", "2026-01-09", "2026-01-09T24:00:00Z", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z", "20260109T100000Z", "2025-03-30T02:30:00+01:00", "2026-W02-5T10:00:00Z",
)  # fmt: skip


def try_one(dice: Random) -> str:
    """A few records, and now and then their way into a ledger."""
    taken: list[Outcome] = []
    for _ in range(dice.randint(1, 6)):
        raw = raw_record(dice)
        found = _parsed(raw)
        if found is None:
            continue
        assert 0 <= found.outcomes <= found.cases <= LARGEST
        assert 0 <= found.minutes <= LARGEST
        taken.append(found)
    if taken and dice.random() < 0.05:
        _into_a_ledger(taken)
        return "counted in a ledger"
    return "read" if taken else "refused"


def _parsed(raw: dict[str, Any]) -> Outcome | None:
    try:
        return parse_record(raw, NOW)
    except BadRecord as error:
        said = str(error)
    assert said.isprintable(), "a refusal that breaks lines"
    assert len(said) < 400, "a refusal as long as a page"
    return None


def _into_a_ledger(taken: list[Outcome]) -> None:
    own = ledger("outcomes")
    before = _sum(own)
    new = record(own, taken)
    again = record(own, taken)
    assert (again.new, again.voided) == (0, 0), "the same records counted twice"
    after = _sum(own)
    assert new == Taken(new.new, len(taken) - new.new - new.voided, new.voided)
    assert after - before <= sum(each.cases for each in taken), "more cases than were reported"


def _sum(of: Ledger) -> Decimal:
    begin = NOW - 400 * 86_400_000
    return sum((each.cases for each in counted(of, begin, NOW + 86_400_000, NOW).values()), Decimal(0))


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="flyball-fuzz-")


@cache
def ledger(name: str) -> Ledger:
    """A ledger of this process, by name."""
    return Ledger(f"sqlite:///{Path(_folder().name) / name}.db")


def raw_record(dice: Random) -> dict[str, Any]:
    """A record as somebody may send it."""

    def often(good: Any) -> Any:
        found = dice.choice(JUNK) if dice.random() < 0.06 else good
        return json.loads(json.dumps(found)) if found is not None else None

    raw = {
        "workload": often(dice.choice(("shop/chat", "shop/search", "a/b.c"))),
        "kpi": often(dice.choice(("contained", "sold"))),
        "key": often(f"case-{dice.randint(0, 5000)}"),
        "time": often(dice.choice(TIMES[:2] * 8 + TIMES)),
        "outcomes": often(dice.choice((None, 1, "0", *TEXTS))),
        "cases": often(dice.choice((None, None, 3, *TEXTS))),
        "minutes": often(dice.choice((None, "2.5", *TEXTS))),
        "void": often(dice.choice((None, None, None, *map(str, Void), "Wrong"))),
    }
    for name in COLUMNS:
        if dice.random() < 0.05:
            del raw[name]
    return raw
