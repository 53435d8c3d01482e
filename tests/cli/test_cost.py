"""`flyball cost`: from pods to the table, JSON and FOCUS; and that what it says is what the pods' lifetimes cost."""

import csv
import io
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from core.cases import START, observation, running, spec, variant
from ledger.entries import DAY, HOUR, MIDNIGHT, charge, entry, periods

from flyball.cli.main import main
from flyball.core.decide import decide
from flyball.core.memory import Memory
from flyball.core.money.bill import PathUse
from flyball.core.names import WorkloadKey
from flyball.core.observation import PodSpan
from flyball.ledger.store import Ledger
from flyball.runtime.bookkeeper import Bookkeeper
from flyball.runtime.tick import Outcome, TickReport

RANGE = ("--from", "2025-11-25T00:00", "--to", "2025-11-26T00:00")


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A ledger of a busy hour of one workload, and of another without a price."""
    url = str(tmp_path / "ledger.db")
    ledger = Ledger(url)
    use = PathUse("gpu", 0, 1_800_000, 3_600_000, 0, Decimal(0), Decimal("1.5"), Decimal(3), requests=Decimal(900))
    dear = replace(entry(MIDNIGHT), uses=(use,), charges=(charge(dollars="0.9"), charge("clerk", dollars=None)))
    other = PathUse("gpu", serving_ms=7_200_000, unpriced_ms=7_200_000)
    cheap = replace(entry(MIDNIGHT, uid="u-2"), key=WorkloadKey("lab", "batch"), uses=(other,), charges=())
    ledger.append([dear, cheap])
    ledger.close()
    return url


def invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["cost", *arguments], env=environment)


def test_the_table_adds_up_and_names_what_has_no_price(url: str) -> None:
    done = invoke("show", "--ledger", url, *RANGE)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [
        "2025-11-25 00:00 to 2025-11-26 00:00 UTC",
        "workload   bill $  serving  idle  loading  unmeasured  corrected  requests  $/request",
        "shop/chat    5.40     3.90  1.50     0.00        0.00       0.00       900     0.0060",
        "lab/batch    0.00     0.00  0.00     0.00        0.00       0.00         0          -",
        "all          5.40     3.90  1.50     0.00        0.00       0.00       900     0.0060",
        "prices are missing: 1.500000 of clerk of shop/chat cost what nobody knows",
        "prices are missing: 2.00 GPU hours of lab/batch cost what nobody knows",
    ]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        pytest.param("path", "shop/chat  gpu     5.40       1.50       900     0.0060", id="path"),
        pytest.param("component", "shop/chat  logs       0.90", id="component"),
    ],
)
def test_other_tables(url: str, by: str, expected: str) -> None:
    assert expected in invoke("show", "--ledger", url, *RANGE, "--by", by).output


def test_json_says_the_same_in_full_and_the_environment_names_the_ledger(url: str) -> None:
    done = invoke("show", "chat", "-n", "shop", "--month", "2025-11", "-o", "json", FLYBALL_LEDGER=url)
    found = json.loads(done.output)
    assert (found["from"], found["to"]) == ("2025-11-01T00:00:00Z", "2025-12-01T00:00:00Z")
    [chat] = found["workloads"]
    assert (chat["namespace"], chat["name"], chat["uid"]) == ("shop", "chat", "u-1")
    parts = sum(Decimal(chat[part]) for part in ("serving", "idle", "loading", "unmeasured", "unshared", "corrected"))
    assert Decimal(chat["dollars"]) == Decimal(found["dollars"]) == parts == Decimal("5.4")
    assert chat["priceMissing"] == ["1.500000 of clerk of shop/chat cost what nobody knows"]


def test_the_export_is_focus_on_standard_output_or_in_a_file(url: str, tmp_path: Path) -> None:
    printed = invoke("export", "--ledger", url, *RANGE)
    assert printed.exit_code == 0, printed.output
    rows = list(csv.DictReader(io.StringIO(printed.stdout)))
    assert sum(Decimal(row["EffectiveCost"]) for row in rows) == Decimal("5.4")
    assert printed.stderr.splitlines()[0] == f"{len(rows)} rows in FOCUS 1.2"
    assert "prices are missing: 2.00 GPU hours of lab/batch" in printed.stderr
    done = invoke("export", "--ledger", url, *RANGE, "--out", str(tmp_path / "focus.csv"), "--every", "hour")
    assert done.stdout == ""
    assert len(list(csv.DictReader((tmp_path / "focus.csv").open()))) == len(rows)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--month", "2025-13"], "'2025-13' is no month; write for example 2026-11", id="no month"),
        pytest.param(["--month", "2025-11", "--from", "2025-11-01"], "give --month, or --from and --to", id="both"),
        pytest.param(["--from", "2025-11-02", "--to", "2025-11-01"], "is not before the range's end", id="backwards"),
        pytest.param(["nobody"], "knows no workload default/nobody; -n names its namespace", id="unknown workload"),
        pytest.param(
            ["--ledger", "no.db"], "no ledger in no.db; name the file that the operator writes", id="no ledger"
        ),
    ],
)
def test_what_cannot_be_shown_is_said_with_the_fix(url: str, arguments: list[str], said: str) -> None:
    done = invoke("show", "--ledger", url, *arguments)
    assert done.exit_code != 0
    assert said in done.output


def test_a_time_without_costs_says_so(url: str) -> None:
    done = invoke("show", "--ledger", url, "--from", "2024-01-01T00:00", "--to", "2024-01-02T00:00")
    assert done.output.splitlines()[1:] == ["nothing was recorded in that time"]


PODS = [(0, 70, 3000), (15, 100, 7100), (900, 60, 45), (1805, 400, 2500), (4000, 30, 3000)]
"""Bound so many seconds after START, ready so much later, and there for so long."""


def test_from_pods_to_the_bill_it_is_what_their_lifetimes_cost_to_the_cent(tmp_path: Path) -> None:
    """Two hours of looks every 15 s through the operator's bookkeeper, with a restart; 2 GPUs at $2.95 each."""
    url, workload = str(tmp_path / "ledger.db"), spec(variant(price="2.95", gpus_per_replica=2))
    keeper, decision = Bookkeeper(url), decide(workload, observation(), Memory())[0]
    for at in range(0, 7216, 15):
        if at == 3600:
            keeper = Bookkeeper(url)
        here = tuple(
            PodSpan(f"p{bound}", START + bound, START + bound + loads if at >= bound + loads else None)
            for bound, loads, lives in PODS
            if bound <= at < bound + lives
        )
        seen = observation(at=START + at, state=running(len(here), pods=here))
        keeper._account(TickReport(START + at, (Outcome(workload, seen, replace(decision, at=START + at)),), ()))
    keeper._account(TickReport(START + 7215, (), ()))
    found = json.loads(
        invoke("show", "--ledger", url, "--from", "2027-01-15", "--to", "2027-01-16", "-o", "json").output
    )
    held = sum(min(-(-(bound + lives) // 15) * 15, 7215) - bound for bound, _, lives in PODS)
    assert abs(Decimal(found["dollars"]) - Decimal(held) * Decimal("5.90") / 3600) < Decimal("0.01")


def test_a_year_s_days_are_shown_when_finer_rows_are_gone(tmp_path: Path) -> None:
    url = str(tmp_path / "ledger.db")
    ledger = Ledger(url)
    ledger.append(list(periods(MIDNIGHT, MIDNIGHT + HOUR)))
    ledger.prune(MIDNIGHT + 400 * DAY)
    ledger.close()
    done = invoke("show", "--ledger", url, "--from", "2025-11-25T00:20", "--to", "2025-11-25T00:40")
    assert done.output.splitlines()[0] == "2025-11-25 00:00 to 2025-11-26 00:00 UTC"
    assert "shop/chat" in done.output
