"""What the reports of faults and of the soak say, and what counts as broken."""

import json
from dataclasses import asdict
from typing import Any

import pytest
from e2e.faults import __main__ as faults
from e2e.faults.cases import FAULTS
from e2e.faults.stage import Seen
from e2e.soak import __main__ as soak

CALM = Seen(2.5, 30, 0, {}, 0, 0, 0, 0, 0)
LEG: dict[str, Any] = {
    "seconds": 600,
    "faults": ["leader killed", "etcd stopped"],
    "requests": 900,
    "lost": {},
    "replica changes": 6,
    "unexplained": 1,
    "stray writes": 0,
    "due ticks not made": 0,
    "failed ticks and defects": 0,
    "samples": 118,
    "memory MB": 131,
    "memory grown MB": 1.5,
    "files grown": 0.5,
    "tasks grown": 2.0,
    "restarts": 1,
}


def test_every_fault_has_a_name_and_a_file_of_its_own() -> None:
    assert len({faults._file(fault) for fault in FAULTS}) == len(FAULTS)


def test_what_was_measured_can_be_read_again() -> None:
    assert Seen(**json.loads(json.dumps(asdict(CALM)))) == CALM


@pytest.mark.parametrize(
    ("seen", "sound"),
    [
        pytest.param(CALM, True, id="calm"),
        pytest.param(Seen(2.5, 30, 0, {}, 1, 0, 0, 0, 0), False, id="a scale that was not asked for"),
        pytest.param(Seen(2.5, 30, 0, {}, 0, 1, 0, 0, 0), False, id="done twice"),
        pytest.param(Seen(2.5, 30, 0, {}, 0, 0, 2, 0, 0), False, id="a route that was moved"),
        pytest.param(Seen(2.5, 30, 0, {}, 0, 0, 0, 1, 0), False, id="written without the Lease"),
        pytest.param(Seen(2.5, 30, 2, {"timeout": 2}, 0, 0, 0, 0, 0), False, id="requests lost"),
    ],
)
def test_what_is_sound(seen: Seen, sound: bool) -> None:
    elsewhere = next(fault for fault in FAULTS if not fault.in_path)
    assert faults._sound(elsewhere, seen) is sound


def test_requests_may_be_lost_where_what_is_broken_passes_them_on() -> None:
    gateway = next(fault for fault in FAULTS if fault.in_path)
    assert faults._sound(gateway, Seen(2.5, 30, 2, {"timeout": 2}, 0, 0, 0, 0, 0))


def test_a_row_names_what_was_lost() -> None:
    row = faults._table({FAULTS[0]: Seen(2.5, 30, 2, {"timeout": 2}, 0, 0, 0, 0, 1, 11.2)})[-1]
    assert row == f"| {FAULTS[0].what} | 30 | 2 (timeout × 2) | 11.2 s | 2.5 s | 0 | 0 | 0 | 1 |"


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        pytest.param({}, [], id="one Event went with the one that was killed"),
        pytest.param({"unexplained": 2}, ["replicas changed without a reason"], id="more than were killed"),
        pytest.param({"lost": {"connection": 1}}, ["requests were lost"], id="a request"),
        pytest.param({"stray writes": 1}, ["somebody wrote without the Lease"], id="a stray"),
        pytest.param({"due ticks not made": 3}, ["due ticks were not made"], id="ticks"),
        pytest.param({"memory grown MB": 40.0}, ["memory grew"], id="memory"),
        pytest.param({"files grown": 50.0, "tasks grown": 50.0}, ["files leaked", "tasks leaked"], id="leaks"),
    ],
)
def test_what_is_broken(change: dict[str, Any], broken: list[str]) -> None:
    assert soak._broken({**LEG, **change}) == broken


def test_legs_are_added_up_and_the_worst_is_shown() -> None:
    other = {
        **LEG,
        "lost": {"timeout": 3},
        "memory MB": 140,
        "broken": ["requests were lost"],
        "faults": ["etcd stopped"],
    }
    total = soak._total([{**LEG, "broken": []}, other])
    assert total["minutes"] == 20
    assert total["requests"] == 1800
    assert total["faults"] == "3: etcd stopped × 2, leader killed × 1"
    assert total["requests lost"] == "3 ({'timeout': 3})"
    assert total["memory MB, worst"] == 140
    assert total["broken"] == "requests were lost"
