import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from flyball_cluster.console import wait_until
from flyball_cluster.errors import ClusterError
from flyball_cluster.processes import Processes, identify

SLEEP = ["sleep", "300"]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    table = Processes(tmp_path)
    yield table
    table.stop(table.names(), grace_seconds=0.1)


def test_a_process_is_found_again_by_a_later_command(processes: Processes, tmp_path: Path) -> None:
    processes.start("server", SLEEP)

    later = Processes(tmp_path)
    assert later.names() == ["server"]
    assert later.pid("server") == processes.pid("server") is not None


def test_starting_twice_leaves_the_first(processes: Processes) -> None:
    processes.start("server", SLEEP)
    first = processes.pid("server")
    processes.start("server", SLEEP)

    assert processes.pid("server") == first


def test_stopping_ends_and_forgets(processes: Processes) -> None:
    processes.start("server", SLEEP)
    pid = processes.pid("server")
    assert pid is not None
    processes.stop(["server"])

    assert identify(pid) is None
    assert processes.names() == []


def test_a_process_id_that_somebody_else_has_by_now_is_left_alone(processes: Processes, tmp_path: Path) -> None:
    """A record of this very test process, but for its start time: stopping it must not stop the tests."""
    own = identify(os.getpid())
    assert own is not None
    stale = {"pid": own.pid, "start_ticks": own.start_ticks - 1, "boot": own.boot}
    folder = tmp_path / "processes"
    folder.mkdir()
    (folder / "server.json").write_text(json.dumps({"identity": stale, "argv": SLEEP, "environment": {}}))

    assert processes.pid("server") is None
    processes.stop(["server"])
    assert identify(os.getpid()) == own


def test_a_restart_keeps_the_words_it_was_started_with(processes: Processes) -> None:
    processes.start("server", SLEEP)
    first = processes.pid("server")
    processes.restart("server")
    second = processes.pid("server")

    assert second not in (None, first)
    words = Path(f"/proc/{second}/cmdline")
    # A parent goes on while the kernel still hands its child the words.
    wait_until(lambda: bool(words.read_bytes()), what="the new process's words", timeout_seconds=60)
    assert words.read_bytes() == b"sleep\x00300\x00"


def test_a_process_whose_record_was_lost_is_found_by_its_mark(processes: Processes, tmp_path: Path) -> None:
    processes.start("server", SLEEP)
    pid = processes.pid("server")
    record = tmp_path / "processes" / "server.json"
    kept = record.read_text()
    record.unlink()

    # A parent goes on while the kernel still hands its child the variables.
    wait_until(lambda: bool(processes.stragglers()), what="the process's mark", timeout_seconds=60)
    assert [identity.pid for identity in processes.stragglers()] == [pid]
    record.write_text(kept)


def test_a_program_that_is_not_there_is_named(processes: Processes) -> None:
    with pytest.raises(ClusterError, match="no-such-program is not installed"):
        processes.start("server", ["no-such-program"])


def test_what_has_ended_is_reported_with_the_end_of_its_log(processes: Processes) -> None:
    processes.start("server", SLEEP)
    processes.log("server").write_text("port taken\n")
    processes.stop(["server"], grace_seconds=0.1, forget=False)

    with pytest.raises(ClusterError, match=r"server has ended.*\n.*port taken"):
        processes.require("server")
