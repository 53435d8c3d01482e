import io

import pytest
from rich.console import Console
from support.lab_runs import made_conclusion, made_run

from flyball.lab.report.table import conclusion_json, print_conclusion, short_duration
from flyball.lab.suite.conclusion import Conclusion
from flyball.lab.suite.results import Role


def printed(conclusion: Conclusion, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    print_conclusion(console, conclusion)
    file = console.file
    assert isinstance(file, io.StringIO)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def conclusion() -> Conclusion:
    return made_conclusion(
        made_run(role=Role.BOUND, policy="floor", cost=4.0),
        made_run(ttft=0.97, cost=9.0, ratios={"kpa*": 0.75}, notReachedBy=["keda-concurrency*"]),
        made_run(policy="keda-concurrency*", role=Role.TUNED, ttft=0.951, cost=11.0),
        made_run(policy="kpa*", role=Role.TUNED, ttft=0.96, cost=12.0),
        made_run(policy="kpa", ttft=0.5, cost=8.0),
        made_run(policy="kpa", role=Role.SWEEP, ttft=0.99, cost=1.0),
    )


def test_policies_stand_in_order_bounds_first_then_the_cheapest_that_meets() -> None:
    lines = printed(conclusion(), 100)
    header = next(index for index, line in enumerate(lines) if line.startswith("policy"))
    rows = [line.split() for line in lines[header + 1 : header + 6]]
    assert [row[0] for row in rows] == ["floor", "flyball", "keda-concurrency*", "kpa*", "kpa"]
    assert rows[0] == ["floor", "2.0", "2.00", "1.20"]
    assert rows[1][1:4] == ["yes", "97.00", "95.00"]
    assert rows[2][7:9] == ["it:", "never"]
    assert rows[3][7] == "0.75"
    assert rows[4][1] == "NO"


@pytest.mark.parametrize(("width", "wide"), [(80, False), (100, False), (140, True)])
def test_the_table_fits_its_terminal(width: int, wide: bool) -> None:
    lines = printed(conclusion(), width)
    assert max(len(line) for line in lines if line.startswith(("policy", "kpa*", "keda"))) <= width
    assert any("worst h %" in line for line in lines) is wide
    # Nothing is cut off, not even in a narrow one.
    assert not any("…" in line for line in lines)


def test_what_was_not_played_says_why_and_what_failed_is_named() -> None:
    assert "Skipped: its trace is not at hand." in printed(made_conclusion(skipped="its trace is not at hand"), 100)
    lines = printed(made_conclusion(made_run(), not_counted="a sizing check", faults=("kpa: broke",)), 100)
    assert "Not counted: a sizing check." in lines
    assert "Failed: kpa: broke" in lines


def test_the_twin_in_json_has_what_the_table_has() -> None:
    document = conclusion_json(conclusion())
    assert [line["policy"] for line in document["policies"]] == ["floor", "flyball", "keda-concurrency*", "kpa*", "kpa"]
    assert document["policies"][1]["costRatio"] == {"kpa*": 0.75}
    assert (document["counted"], document["skipped"], document["traffic"]) == (True, None, "smooth, daily pattern")
    assert document["objectives"][0] == {"indicator": "TimeToFirstToken", "thresholdSeconds": 1.0, "target": 0.95}
    assert conclusion_json(made_conclusion(skipped="gone"))["counted"] is False


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.0482, "48ms"), (1.2345, "1.2s"), (59.96, "1m"), (93.4, "1m33s"), (3725.0, "1h2m")]
)
def test_latencies_have_no_more_digits_than_say_something(seconds: float, expected: str) -> None:
    assert short_duration(seconds) == expected
