"""A record of outcomes is read as it was meant, or refused with the field and the fix."""

from decimal import Decimal
from typing import Any

import pytest

from flyball.core.names import WorkloadKey
from flyball.core.value.outcomes import DAY_MS, KEPT_MS, BadRecord, Outcome, Void, parse_record

NOW = 1_795_608_000_000  # 2026-11-25T12:00:00Z
FULL = {"workload": "shop/chat", "kpi": "deflections", "key": "conv-1", "time": "2026-11-25T11:00:00+01:00"}
AT = NOW - 2 * 3_600_000


def test_a_record_is_one_case_with_its_outcome_unless_it_says_otherwise() -> None:
    assert parse_record(FULL, NOW) == Outcome(WorkloadKey("shop", "chat"), "deflections", "conv-1", AT)


@pytest.mark.parametrize(
    ("given", "outcomes", "cases", "minutes", "void"),
    [
        pytest.param({"outcomes": 3, "cases": 5}, 3, 5, 0, None, id="several cases"),
        pytest.param({"outcomes": 3}, 3, 3, 0, None, id="as many cases as outcomes"),
        pytest.param({"outcomes": "0", "minutes": "12.5"}, 0, 1, "12.5", None, id="texts, as in CSV"),
        pytest.param({"outcomes": "", "cases": "", "minutes": "", "void": ""}, 1, 1, 0, None, id="empty CSV cells"),
        pytest.param({"void": "CameBack"}, 1, 1, 0, Void.CAME_BACK, id="voided"),
    ],
)
def test_numbers(given: dict[str, Any], outcomes: int, cases: int, minutes: Any, void: Void | None) -> None:
    found = parse_record({**FULL, **given}, NOW)
    assert (found.outcomes, found.cases, found.minutes) == (outcomes, cases, Decimal(minutes))
    assert found.void is void


@pytest.mark.parametrize(
    ("given", "field"),
    [
        pytest.param({"workload": "chat"}, "workload", id="no namespace"),
        pytest.param({"workload": "shop/chat/x"}, "workload", id="too many parts"),
        pytest.param({"workload": None}, "workload", id="absent"),
        pytest.param({"kpi": "Deflections!"}, "kpi", id="no name"),
        pytest.param({"key": ""}, "key", id="no key"),
        pytest.param({"key": "x" * 201}, "key", id="a key too long"),
        pytest.param({"key": 7}, "key", id="a key that is no text"),
        pytest.param({"time": "2026-11-25T11:00:00"}, "time", id="a time without its zone"),
        pytest.param({"time": "yesterday"}, "time", id="no time"),
        pytest.param({"time": "2026-11-25T12:06:00Z"}, "time", id="a time to come"),
        pytest.param({"time": "2025-10-01T00:00:00Z"}, "time", id="too long ago"),
        pytest.param({"outcomes": -1}, "outcomes", id="negative"),
        pytest.param({"outcomes": "NaN"}, "outcomes", id="NaN"),
        pytest.param({"outcomes": True}, "outcomes", id="a truth value"),
        pytest.param({"minutes": "1e9"}, "minutes", id="absurd"),
        pytest.param({"outcomes": 3, "cases": 2}, "outcomes", id="more outcomes than cases"),
        pytest.param({"void": "Bored"}, "void", id="an unknown reason"),
    ],
)
def test_what_cannot_be_counted_names_the_field(given: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRecord, match=f"^{field}: "):
        parse_record({**FULL, **given}, NOW)


def test_a_leap_day_is_a_day_and_the_thirtieth_of_february_is_none() -> None:
    leap = 1_835_481_600_000  # 2028-03-01T00:00:00Z
    assert parse_record({**FULL, "time": "2028-02-29T12:00:00Z"}, leap).at == leap - DAY_MS // 2
    with pytest.raises(BadRecord, match=r"^time: "):
        parse_record({**FULL, "time": "2028-02-30T12:00:00Z"}, leap)


def test_what_is_as_old_as_keys_are_kept_is_still_taken() -> None:
    assert parse_record(FULL, AT + KEPT_MS).at == AT
