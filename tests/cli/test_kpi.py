"""`flyball kpi`: a CSV is counted once however often it is imported, bad lines are named, and the sums are shown."""

import json
import signal
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flyball.cli.main import main
from flyball.core.money.bill import Entry, PathUse
from flyball.core.names import WorkloadKey
from flyball.ledger.errors import LedgerError
from flyball.ledger.outcomes import Taken, count
from flyball.ledger.store import Ledger

HEAD = "workload,kpi,key,time,outcomes,cases,minutes,void\n"
YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT12:00:00Z")


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    file = tmp_path / "ledger.db"
    Ledger(str(file)).close()
    return str(file)


def run(ledger: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["kpi", *arguments, "--ledger", ledger])


def write(folder: Path, *lines: str, head: str = HEAD) -> str:
    file = folder / "outcomes.csv"
    file.write_text(head + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(file)


def case(key: str, rest: str = ",,,", kpi: str = "deflections") -> str:
    return f"shop/chat,{kpi},{key},{YESTERDAY},{rest}"


def test_what_is_imported_twice_counts_once_and_is_shown_with_what_was_voided(ledger: str, tmp_path: Path) -> None:
    file = write(tmp_path, case("a"), case("b", "1,2,,"), case("c", "0,1,,"), case("a", ",,,CameBack"))
    for said in (
        "3 records are new, 0 were known, 1 outcomes were voided",
        "0 records are new, 4 were known, 0 outcomes",
    ):
        result = run(ledger, "import", file)
        assert (result.exit_code, said in result.output) == (0, True), result.output
    shown = run(ledger, "show", "chat", "-n", "shop", "--last", "3d")
    assert shown.output.splitlines()[1].split() == [
        "shop/chat", "deflections", "1", "4", "25.0%", "4.6%", "to", "69.9%", "-", "1", "0",
    ]  # fmt: skip
    found = json.loads(run(ledger, "show", "--last", "3d", "-o", "json").output)
    assert [(each["workload"], each["kpi"], each["cameBack"]) for each in found] == [
        ("shop/chat", "deflections", "1.000")
    ]


def test_bad_lines_are_named_and_the_others_are_counted(ledger: str, tmp_path: Path) -> None:
    file = write(tmp_path, case("a"), case("b", "-1,,,"), "chat,x,y,z,,,,", case("c", ",,,,,"), case("d"))
    result = run(ledger, "import", file, "-o", "json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["new"], found["bad"]) == (2, 3)
    assert [line.split(":")[0] for line in found["errors"]] == ["line 3", "line 4", "line 5"]
    assert all(part in line for part, line in zip(("outcomes", "workload", "more cells"), found["errors"], strict=True))


@pytest.mark.parametrize(
    ("head", "said"),
    [
        pytest.param("workload,kpi,key\n", "lacks time", id="a column is missing"),
        pytest.param(HEAD.replace("minutes", "hours"), "'hours' is no column", id="a column too many"),
        pytest.param("", "lacks workload", id="an empty file"),
        pytest.param(HEAD.replace("minutes", "key"), "the column key is there twice", id="a column twice"),
    ],
)
def test_a_file_of_another_form_is_refused_as_a_whole(ledger: str, tmp_path: Path, head: str, said: str) -> None:
    result = run(ledger, "import", write(tmp_path, head=head))
    assert (result.exit_code, said in result.output) == (2, True), result.output


def test_what_is_no_text_is_refused(ledger: str, tmp_path: Path) -> None:
    file = tmp_path / "outcomes.csv"
    file.write_bytes(HEAD.encode() + b"\xff\xfe\x00")
    result = run(ledger, "import", str(file))
    assert (result.exit_code, "not UTF-8" in result.output) == (2, True), result.output


def test_hours_with_overflow_are_set_beside_the_others(ledger: str, tmp_path: Path) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)
    start = round(hour.timestamp() * 1000)
    own, moved = PathUse("gpu", requests=Decimal(90)), PathUse("(fallback)", requests=Decimal(10))
    opened = Ledger(ledger)
    for at, uses in ((start, (own, moved)), (start + 3_600_000, (own,))):
        opened.append([Entry(WorkloadKey("shop", "chat"), "u", at, at + 300_000, uses)])
    opened.close()
    text = "".join(
        f"shop/chat,deflections,{number},{(hour + timedelta(hours=number % 2)).isoformat()},{number % 2},1,,\n"
        for number in range(20)
    )
    assert run(ledger, "import", write(tmp_path, head=HEAD + text)).exit_code == 0
    found = json.loads(run(ledger, "fallback", "chat", "-n", "shop", "-o", "json").output)
    shares = found["kpis"]["deflections"]
    assert (round(found["fallbackRate"], 3), shares["with"]["share"], shares["without"]["share"]) == (0.053, 0.0, 1.0)
    shown = run(ledger, "fallback", "chat", "-n", "shop").output.splitlines()
    assert [line.split()[:5] for line in shown[2:]] == [
        ["deflections", "1", "with", "overflow", "0"], ["1", "without", "10", "10", "100.0%"],
    ]  # fmt: skip
    assert (
        run(ledger, "fallback", "search").output
        == "nothing is known of its traffic\nno outcomes were reported in that time\n"
    )


def test_memory_does_not_grow_with_the_file(ledger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyball.cli.kpi.PART_BYTES", 10_000)
    monkeypatch.setattr("flyball.ledger.spool.HELD", 10_000)

    def peak(rows: int) -> int:
        file = write(tmp_path, *(case(f"{rows}-{number}") for number in range(rows)))
        tracemalloc.start()
        try:
            assert run(ledger, "import", file).exit_code == 0
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    first = peak(400)
    assert peak(4000) < 1.5 * first


def test_an_import_that_dies_half_way_is_repeated_and_counts_once(
    ledger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyball.cli.kpi.PART_BYTES", 2000)
    file = write(tmp_path, *(case(str(number)) for number in range(300)), case("7", ",,,CameBack"))
    parts = iter([count, count])

    def dies(*given: Any) -> Taken:
        part = next(parts, None)
        if part is None:
            raise LedgerError("the power went")
        return part(*given)

    with monkeypatch.context() as patched:
        patched.setattr("flyball.cli.kpi.count", dies)
        assert "the power went" in run(ledger, "import", file).output
    said = json.loads(run(ledger, "import", file, "-o", "json").stdout)
    assert 0 < said["new"] < 300
    assert said["new"] + said["repeated"] + said["voided"] == 301
    found = json.loads(run(ledger, "show", "--last", "3d", "-o", "json").output)[0]
    assert (found["outcomes"], found["cases"], found["cameBack"]) == ("299.000", "300.000", "1.000")


def test_an_import_that_is_killed_loses_and_doubles_nothing_when_it_is_repeated(ledger: str, tmp_path: Path) -> None:
    """A process of its own kills itself in its third transaction, which holds keys and not yet their sums."""
    rows = 2000
    file = write(tmp_path, *(case(str(number)) for number in range(rows)))
    program = """
import os, signal
from flyball.cli import kpi, main
from flyball.ledger import outcomes
kpi.PART_BYTES, done, add_up = 20_000, [], outcomes.Batch.add_up
def dies(batch):
    done.append(batch)
    os.kill(os.getpid(), signal.SIGKILL) if len(done) == 3 else add_up(batch)
outcomes.Batch.add_up = dies
main.main()
"""
    killed = subprocess.run([sys.executable, "-c", program, "kpi", "import", file, "--ledger", ledger], check=False)
    assert killed.returncode == -signal.SIGKILL
    said = json.loads(run(ledger, "import", file, "-o", "json").stdout)
    assert 0 < said["repeated"] < rows
    assert said["new"] + said["repeated"] == rows
    found = json.loads(run(ledger, "show", "--last", "3d", "-o", "json").output)[0]
    assert (found["outcomes"], found["cases"]) == (f"{rows}.000", f"{rows}.000")


def test_where_nothing_can_be_sorted_the_fix_is_said(
    ledger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("flyball.ledger.spool.HELD", 100)
    monkeypatch.setattr("flyball.ledger.spool.tempfile.TemporaryFile", full)
    result = run(ledger, "import", write(tmp_path, *(case(str(number)) for number in range(10))))
    assert (result.exit_code, "set TMPDIR" in result.output) == (1, True), result.output
