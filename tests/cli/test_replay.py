"""`flyball replay`: from a folder and from a running operator, equal and not, and what is said when there is none."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from core import cases

from flyball.cli.main import main
from flyball.core.decide import decide
from flyball.core.memory import Memory
from flyball.ledger.files import SMALLEST_BYTES, RecordFiles
from flyball.ledger.record import Record, encode, record_of


def make(**changed: object) -> Record:
    spec = cases.spec(cases.variant())
    seen = cases.observation(signal=(cases.signals(),), state=(cases.running(),))
    decision, _ = decide(spec, seen, Memory())
    return record_of(spec, seen, Memory(), replace(decision, **changed))


def write(folder: Path, record: Record) -> Path:
    RecordFiles(folder, SMALLEST_BYTES).append(encode(record))
    return folder


def invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["replay", *arguments], env=environment)


def test_an_equal_decision_is_shown_with_its_causes(tmp_path):
    record = make()
    done = invoke(record.id, "--records", str(write(tmp_path, record)))
    assert done.exit_code == 0, done.output
    variant = record.decision.variants[0]
    assert f"{variant.name}: {variant.current} now, {variant.desired} wanted" in done.output
    assert f"  because {variant.causes[0].text}" in done.output
    assert "the same in every bit" in done.output


def test_the_folder_may_come_from_the_environment_as_in_the_operators_pod(tmp_path):
    record = make()
    assert invoke(record.id, FLYBALL_RECORDS=str(write(tmp_path, record))).exit_code == 0


def test_a_different_decision_fails_and_names_the_places(tmp_path):
    record = make(summary="another", arrivals_per_second=99.0)
    done = invoke(record.id, "--records", str(write(tmp_path, record)))
    assert done.exit_code == 1
    assert "differs in 2 places" in done.output
    assert 'summary: recorded "another", now "' in done.output
    assert "arrivals_per_second: recorded 99.0, now " in done.output


def test_another_version_is_named_as_a_possible_reason(tmp_path):
    record = replace(make(summary="another"), version="0.0.9")
    assert "recorded by Flyball 0.0.9" in invoke(record.id, "--records", str(write(tmp_path, record))).output


@pytest.mark.parametrize(("changed", "code"), [({}, 0), ({"summary": "another"}, 1)], ids=["equal", "different"])
def test_json_says_the_same(tmp_path, changed, code):
    record = make(**changed)
    done = invoke(record.id, "--records", str(write(tmp_path, record)), "-o", "json")
    document = json.loads(done.stdout)
    assert done.exit_code == code
    assert document["equal"] is (code == 0)
    assert [d["path"] for d in document["differences"]] == (["summary"] if code else [])
    assert document["targets"][0]["causes"][0]["code"] == record.decision.variants[0].causes[0].code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["000000000000"], "say where the record is: --records FOLDER, or --url", id="no place"),
        pytest.param(["000000000000", "--records", "nowhere"], "nowhere holds no records", id="no folder"),
        pytest.param(["000000000000", "--records", "full"], "is not recorded in full", id="another id"),
        pytest.param(["deadbeef0000", "--records", "broken"], "cannot be read: spec: Field required", id="no record"),
        pytest.param(
            ["000000000000", "--url", "http://127.0.0.1:9"], "http://127.0.0.1:9 does not answer", id="no operator"
        ),
    ],
)
def test_what_cannot_be_replayed_is_explained(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "full", make())
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "decisions-00000001.jsonl").write_text('{"id":"deadbeef0000","schema":1,"version":"1"}\n')
    done = invoke(*arguments)
    assert done.exit_code in (1, 2)
    assert message in done.output
