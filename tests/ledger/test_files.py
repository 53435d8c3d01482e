"""The folder of records: bounded, rotating, and readable after a crash in the middle of a line."""

from dataclasses import replace

import pytest
from core import cases

from flyball.core.decide import decide
from flyball.core.memory import Memory
from flyball.ledger.files import FILES, SMALLEST_BYTES, RecordFiles, files_of, find_line, read_all
from flyball.ledger.record import Record, decode, encode, record_of


def record(number: int) -> Record:
    spec = cases.spec(cases.variant())
    seen = replace(cases.observation(), at=cases.START + number)
    decision, _ = decide(spec, seen, Memory())
    return record_of(spec, seen, Memory(), decision)


def test_a_record_is_found_by_its_id(tmp_path):
    files = RecordFiles(tmp_path / "new" / "folder", SMALLEST_BYTES)
    records = [record(number) for number in range(3)]
    for each in records:
        files.append(encode(each))
    line = find_line(tmp_path / "new" / "folder", records[1].id)
    assert line is not None
    assert decode(line).decision == records[1].decision


@pytest.mark.parametrize("wanted", ["000000000000", "", "../secret", "0" * 13, "ABCDEF012345"])
def test_what_is_not_recorded_is_not_found(tmp_path, wanted):
    RecordFiles(tmp_path, SMALLEST_BYTES).append(encode(record(1)))
    assert find_line(tmp_path, wanted) is None


def test_a_folder_that_does_not_exist_holds_nothing(tmp_path):
    assert find_line(tmp_path / "none", "000000000000") is None
    assert list(read_all(tmp_path / "none")) == []


def test_the_folder_stays_within_its_bound_and_keeps_the_newest(tmp_path):
    files = RecordFiles(tmp_path, SMALLEST_BYTES)
    line = b"x" * 50_000 + b"\n"
    for _ in range(100):
        files.append(line)
        assert sum(path.stat().st_size for path in files_of(tmp_path)) <= SMALLEST_BYTES
    assert len(files_of(tmp_path)) == FILES
    assert files_of(tmp_path)[-1].name == "decisions-00000050.jsonl"


def test_a_new_process_goes_on_where_the_last_one_stopped(tmp_path):
    first, second = record(1), record(2)
    RecordFiles(tmp_path, SMALLEST_BYTES).append(encode(first))
    RecordFiles(tmp_path, SMALLEST_BYTES).append(encode(second))
    assert [each.id for each in read_all(tmp_path)] == [first.id, second.id]
    assert len(files_of(tmp_path)) == 1


@pytest.mark.parametrize("kept", [1, 40, 400, -1])
def test_a_torn_last_line_is_skipped_and_written_past(tmp_path, kept):
    whole, torn, after = record(1), record(2), record(3)
    RecordFiles(tmp_path, SMALLEST_BYTES).append(encode(whole))
    with files_of(tmp_path)[0].open("ab") as file:
        file.write(encode(torn)[:kept])
    assert [each.id for each in read_all(tmp_path)] == [whole.id]
    assert find_line(tmp_path, torn.id) is None
    RecordFiles(tmp_path, SMALLEST_BYTES).append(encode(after))
    assert [each.id for each in read_all(tmp_path)][-1] == after.id
    assert find_line(tmp_path, after.id) == encode(after)


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "decisions-1.jsonl").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    files = RecordFiles(tmp_path, SMALLEST_BYTES)
    for _ in range(30):
        files.append(b"x" * 100_000 + b"\n")
    assert (tmp_path / "decisions-1.jsonl").read_text() == "mine"
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_bound_too_small_for_records_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"1000 bytes are too few.*give 1048576 or more"):
        RecordFiles(tmp_path, 1000)
