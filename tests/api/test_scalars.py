"""The forms of durations, money, percentages and names."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from flyball.api.scalars import (
    ApiVersion,
    Date,
    Duration,
    ItemName,
    Money,
    ObjectName,
    Percent,
    PromQL,
    WholePercent,
    is_positive,
)


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        pytest.param(
            Duration,
            ["800ms", "15s", "5m", "2h", "28d", "1h30m", "1.5s", "0s"],
            ["", "15", "s", "-5s", "5 m", "PT30S", "1e3s", "5M", "15s\n", "1h" * 9, 15, None],
            id="durations",
        ),
        pytest.param(
            Money,
            ["0", "12", "0.000001", "999999999999.999999999"],
            ["", "-1", "+1", "1,5", "$5", "1e3", ".5", "5.", "NaN", "Infinity", "1\n", "1234567890123", 5, 1.5],
            id="money",
        ),
        pytest.param(
            Percent,
            ["0%", "95%", "99.99%", "100%", "100.0%"],
            ["", "95", "0.95", "101%", "100.1%", "-1%", "%", "95 %", "99.99999%"],
            id="percentages",
        ),
        pytest.param(WholePercent, ["0%", "7%", "100%"], ["07%", "1.5%", "101%"], id="whole percentages"),
        pytest.param(ItemName, ["a", "first-token", "a" * 63], ["", "A", "-a", "a-", "a.b", "a" * 64], id="item names"),
        pytest.param(ObjectName, ["chat.v2", "a" * 253], ["", "Chat", "a" * 254, ".a"], id="object names"),
        pytest.param(
            ApiVersion,
            ["v1", "apps/v1", "leaderworkerset.x-k8s.io/v1", "flyball.dev/v1alpha1"],
            ["", "apps", "apps/1", "apps/v1/x", "Apps/v1"],
            id="API versions",
        ),
        pytest.param(PromQL, ["up", "sum by (le) (\n  rate(x[5m])\n)"], ["", "  \n", "x" * 4097], id="queries"),
        pytest.param(Date, ["2026-11-01"], ["2026-11", "01.11.2026", "2026-11-01T00:00:00Z"], id="dates"),
    ],
)
def test_forms(form: Any, good: list[Any], bad: list[Any]) -> None:
    adapter = TypeAdapter(form)
    for text in good:
        assert adapter.validate_python(text) == text
    for text in bad:
        with pytest.raises(ValidationError, match="write "):
            adapter.validate_python(text)


@pytest.mark.parametrize(
    ("text", "positive"),
    [
        pytest.param("0ms", False, id="no time"),
        pytest.param("0h0.0m", False, id="no time in several units"),
        pytest.param("0.00", False, id="no money"),
        pytest.param("0.00001", True, id="little money"),
        pytest.param("10%", True, id="a share"),
    ],
)
def test_zero_in_any_spelling_is_not_positive(text: str, positive: bool) -> None:
    assert is_positive(text) is positive
