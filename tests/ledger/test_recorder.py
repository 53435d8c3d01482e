"""Records are written beside the loop, and a failing disk costs records only."""

import time
from dataclasses import replace

from core import cases
from structlog.testing import capture_logs

from flyball.core.decide import decide
from flyball.core.memory import Memory
from flyball.ledger import recorder as subject
from flyball.ledger.files import SMALLEST_BYTES, read_all
from flyball.ledger.record import Record, encode, record_of
from flyball.ledger.recorder import Recorder


def record(number: int = 0) -> Record:
    spec = cases.spec(cases.variant())
    seen = replace(cases.observation(), at=cases.START + number)
    decision, _ = decide(spec, seen, Memory())
    return record_of(spec, seen, Memory(), decision)


def until(met) -> None:
    end = time.monotonic() + 60
    while not met():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_was_handed_over_is_on_disk_after_closing(tmp_path):
    recorder = Recorder(tmp_path, SMALLEST_BYTES)
    recorder.start()
    records = [record(number) for number in range(50)]
    for each in records:
        recorder.record(each)
    recorder.close()
    assert [each.id for each in read_all(tmp_path)] == [each.id for each in records]
    assert (recorder.recorded, recorder.lost) == (50, 0)
    assert recorder.find_line(records[7].id) == encode(records[7])


def test_a_disk_that_fails_is_counted_and_told_once_and_so_is_its_recovery(tmp_path):
    folder = tmp_path / "records"
    folder.write_text("a file where the folder should be")
    recorder = Recorder(folder, SMALLEST_BYTES)
    with capture_logs() as logs:
        recorder.start()
        for number in range(3):
            recorder.record(record(number))
            until(lambda number=number: recorder.lost == number + 1)
        folder.unlink()
        recorder.record(record(9))
        until(lambda: recorder.recorded == 1)
        recorder.close()
    assert [entry["event"] for entry in logs] == ["decisions are not recorded", "decisions are recorded again"]
    assert logs[1]["lost"] == 3
    assert [each.id for each in read_all(folder)] == [record(9).id]


def test_what_json_cannot_hold_costs_that_record_alone(tmp_path):
    recorder = Recorder(tmp_path, SMALLEST_BYTES)
    recorder.start()
    broken = record(1)
    recorder.record(replace(broken, decision=replace(broken.decision, summary="half a surrogate: \ud800")))
    recorder.record(record(2))
    recorder.close()
    assert [each.id for each in read_all(tmp_path)] == [record(2).id]
    assert (recorder.recorded, recorder.lost) == (1, 1)


def test_more_than_can_wait_is_dropped_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(subject, "WAITING_LIMIT", 2)
    recorder = Recorder(tmp_path, SMALLEST_BYTES)
    for number in range(5):
        recorder.record(record(number))
    assert recorder.lost == 3
    recorder.start()
    recorder.close()
    assert recorder.recorded == 2
