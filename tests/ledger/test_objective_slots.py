"""Counts of objectives by five minutes: added up whoever counted them, and dropped when no block needs them."""

from flyball.core.names import WorkloadKey
from flyball.ledger.objective_slots import KEPT_MS, add_slots, within
from flyball.ledger.store import Ledger

CHAT, OTHER = WorkloadKey("team", "chat"), WorkloadKey("team", "other")
SLOT = 300_000
START = 1_767_960_000_000


def test_two_processes_add_to_the_same_slot(ledger: Ledger) -> None:
    add_slots(ledger, {(CHAT, "first-token", START): (9.5, 10.0, 120_000)}, START)
    add_slots(ledger, {(CHAT, "first-token", START): (20.0, 20.25, 150_000)}, START)
    assert within(ledger, [CHAT], "first-token", START, START + SLOT) == (29.5, 30.25, 270_000)


def test_only_what_is_asked_for_is_counted(ledger: Ledger) -> None:
    each = (1.0, 2.0, SLOT)
    add_slots(
        ledger,
        {(key, name, START + n * SLOT): each for key in (CHAT, OTHER) for name in ("a", "b") for n in range(4)},
        START,
    )
    assert within(ledger, [CHAT], "a", START + SLOT, START + 3 * SLOT) == (2.0, 4.0, 2 * SLOT)
    assert within(ledger, [CHAT, OTHER], "a", START, START + SLOT) == (2.0, 4.0, 2 * SLOT)
    assert within(ledger, [WorkloadKey("team", "none")], "a", START, START + SLOT) == (0.0, 0.0, 0)


def test_what_no_block_needs_any_more_is_dropped(ledger: Ledger) -> None:
    add_slots(ledger, {(CHAT, "a", START): (1.0, 1.0, SLOT)}, START)
    later = START + KEPT_MS + SLOT
    add_slots(ledger, {(CHAT, "a", later): (1.0, 1.0, SLOT)}, later)
    assert within(ledger, [CHAT], "a", 0, 1 << 62) == (1.0, 1.0, SLOT)
