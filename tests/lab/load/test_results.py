import json
from pathlib import Path

import pytest

from flyball.lab.load.results import COLUMNS, SUFFIXES, ErrorKind, RequestRecord, read_results, write_results

RECORDS = [
    RequestRecord(0, "", 0.0, 0.001, 10, 3, 10, 3, 0.1, 0.02, 0.03, 0.14, 200, backend="pod-a"),
    RequestRecord(
        1, "acme", 1.5, 0.0, 9, 2, e2e_seconds=0.2, status=503, error=ErrorKind.SERVER_ERROR, detail='{"a":\n "b, c"}'
    ),
    RequestRecord(2, "zeta", 2.0, None, 9, 2, error=ErrorKind.REFUSED),
]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_results_are_read_back_as_they_were(tmp_path: Path, suffix: str) -> None:
    write_results(RECORDS, tmp_path / f"r{suffix}")
    assert read_results(tmp_path / f"r{suffix}") == RECORDS


def test_each_line_of_jsonl_has_every_documented_key(tmp_path: Path) -> None:
    write_results(RECORDS, tmp_path / "r.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [tuple(line) for line in lines] == [COLUMNS] * 3


def test_the_docstring_explains_every_column() -> None:
    import flyball.lab.load.results as module

    documented = {
        name.strip()
        for line in (module.__doc__ or "").splitlines()
        if line.startswith("| ")
        for name in line.split("|")[1].split(",")
    }
    assert set(COLUMNS) <= documented


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="is no results file of this version"):
        read_results(tmp_path / "x.csv")
