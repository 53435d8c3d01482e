from decimal import Decimal

import pytest
from core.cases import LAW
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.units import (
    conjoin,
    counted,
    format_duration,
    format_money,
    format_ratio,
    parse_change,
    parse_duration_seconds,
    parse_money,
    parse_ratio,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("800ms", 0.8, id="milliseconds"),
        pytest.param("15s", 15.0, id="seconds"),
        pytest.param("1.5s", 1.5, id="a fraction"),
        pytest.param("1h30m", 5400.0, id="units are added: 3600 + 1800"),
        pytest.param("28d", 2_419_200.0, id="days: 28 × 86400"),
        pytest.param("1w", 604_800.0, id="weeks"),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "15", "-1s", "1 s", "1y", "1s ", "one second", "1e3s", "s", "٣s"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write for example"):
        parse_duration_seconds(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        pytest.param(0.0, "0ms", id="nothing"),
        pytest.param(0.8, "800ms", id="below a second in milliseconds"),
        pytest.param(2.5, "2.5s", id="below a minute with its fraction"),
        pytest.param(59.9996, "1m", id="rounding carries into the next unit"),
        pytest.param(5400.0, "1h30m", id="two units"),
        pytest.param(90061.0, "1d1h", id="no more than the two largest: the minute and second are left out"),
    ],
)
def test_durations_are_written(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@LAW
@given(st.integers(0, 59_999))
def test_short_durations_survive_a_round_trip(milliseconds: int) -> None:
    assert parse_duration_seconds(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize(("text", "ratio"), [("95%", 0.95), ("99.9%", 0.999), ("0%", 0.0), ("100%", 1.0)])
def test_percentages_are_read_exactly(text: str, ratio: float) -> None:
    assert parse_ratio(text) == ratio


@pytest.mark.parametrize("text", ["95", "101%", "100.1%", "-5%", "%", "1e1%", "95 %"])
def test_what_is_no_percentage_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write for example"):
        parse_ratio(text)


def test_a_ratio_is_written_as_a_percentage() -> None:
    assert (format_ratio(0.9534), format_ratio(0.5, 0)) == ("95.3%", "50%")


@pytest.mark.parametrize("text", ["-1", "1e3", "NaN", "Infinity", "$5", "1,000", "", "1.0000000001"])
def test_what_is_no_amount_of_money_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"'12\.50'"):
        parse_money(text)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        pytest.param("12.5", "12.50", id="two digits"),
        pytest.param("0", "0.00", id="nothing"),
        pytest.param("0.00123", "0.00123", id="small amounts keep three significant digits"),
        pytest.param("0.00000001234", "1.23E-8", id="very small ones in powers of ten"),
    ],
)
def test_money_is_written(amount: str, text: str) -> None:
    assert format_money(Decimal(amount)) == text


@LAW
@given(st.decimals(0, 10**11, places=4))
def test_money_is_read_exactly(amount: Decimal) -> None:
    assert parse_money(f"{amount:f}") == amount


def test_words_agree_in_number() -> None:
    assert (counted(1, "replica"), counted(0, "pod"), counted(3, "pod")) == ("1 replica", "0 pods", "3 pods")
    assert (conjoin(["a"]), conjoin(["a", "b"]), conjoin(["a", "b", "c"])) == ("a", "a and b", "a, b and c")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("18%", (0.18, False), id="a percentage"),
        pytest.param("3 points", (0.03, True), id="points"),
        pytest.param("1 point", (0.01, True), id="a single one"),
        pytest.param("0.5 points", (0.005, True), id="a part of one"),
    ],
)
def test_a_change_is_relative_or_in_points(text: str, expected: tuple[float, bool]) -> None:
    assert parse_change(text) == expected
