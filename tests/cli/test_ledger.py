"""`flyball ledger`: there and back, and corrections, in words that name the fix."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from ledger.entries import DAY, KEY, MIDNIGHT, entry

from flyball.cli.main import main
from flyball.core.money.bill import Correction
from flyball.ledger.queries import total
from flyball.ledger.store import Ledger


@pytest.fixture
def url(tmp_path: Path) -> str:
    ledger = Ledger(str(tmp_path / "ledger.db"), "Europe/Berlin")
    ledger.append([entry(MIDNIGHT)])
    ledger.close()
    return str(tmp_path / "ledger.db")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["ledger", *arguments])


def test_a_backup_can_be_restored(url: str, tmp_path: Path) -> None:
    file, new = str(tmp_path / "backup.db"), str(tmp_path / "new.db")
    done = invoke("backup", "--ledger", url, file)
    assert (done.exit_code, done.output) == (0, f"{file} holds 13 rows\n")
    assert invoke("restore", "--ledger", new, file).output == "restored 13 rows\n"
    assert "restore into an empty one" in invoke("restore", "--ledger", new, file).output


def test_a_correction_is_of_the_ledger_s_own_time_zone(url: str) -> None:
    done = invoke(
        *("correct", "--ledger", url, "chat", "-n", "shop", "--at", "2025-11-25T01:00"),
        *("--amount", "-12.50", "--note", "credit note 7"),
    )
    assert done.exit_code == 0, done.output
    ledger = Ledger(url)
    [found] = [
        line.what
        for line in total(ledger, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY, KEY)
        if isinstance(line.what, Correction)
    ]
    ledger.close()
    assert (found.at, found.component, str(found.dollars.normalize()), found.note) == (
        MIDNIGHT,
        "gpu",
        "-12.5",
        "credit note 7",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--amount", "12 dollars", "chat"], "write an amount such as -12.50", id="no number"),
        pytest.param(["--amount", "0", "chat"], "write an amount such as -12.50", id="nothing"),
        pytest.param(["--amount", "1e99", "chat"], "write an amount such as -12.50", id="absurd"),
        pytest.param(["--amount", "1", "--at", "2999-01-01", "chat"], "2999-01-01 lies ahead", id="the future"),
        pytest.param(["--amount", "1", "--note", " ", "chat"], "write why", id="no reason"),
        pytest.param(["--amount", "1", "--at", "yesterday", "chat"], "'yesterday' is no time", id="no time"),
        pytest.param(["--amount", "1", "nobody"], "the ledger knows no workload shop/nobody", id="nobody"),
    ],
)
def test_what_is_no_correction_is_refused(url: str, arguments: list[str], said: str) -> None:
    done = invoke("correct", "--ledger", url, "-n", "shop", "--at", "2025-11-25", "--note", "x", *arguments)
    assert done.exit_code != 0
    assert said in done.output
