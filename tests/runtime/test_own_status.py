"""When the status of a pool or an event is written."""

from collections.abc import Mapping
from typing import Any

import pytest

from flyball.core.decision import Condition
from flyball.core.names import ConditionType
from flyball.core.ports import Missing, PortError, Unavailable
from flyball.runtime.own_status import REWORD_SECONDS, OwnStatuses

AT = 1_767_960_000.0
RAW = {"metadata": {"name": "shared", "uid": "u", "generation": 3}}
READY = Condition(ConditionType.READY, True, "Reconciled", "the pool is in use")


class Written:
    """Statuses over a list of what was sent."""

    def __init__(self) -> None:
        self.sent: list[Mapping[str, Any]] = []
        self.error: PortError | None = None
        self.statuses = OwnStatuses(self._send)

    async def _send(self, name: str, status: Mapping[str, object]) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append(status)

    async def write(
        self, seconds: float = 0.0, raw: Mapping[str, Any] = RAW, condition: Condition = READY, **parts: object
    ) -> None:
        await self.statuses.write("shared", raw, parts, [condition], AT + seconds)


@pytest.fixture
def written() -> Written:
    return Written()


async def test_the_same_is_written_once(written: Written) -> None:
    for tick in range(9):
        await written.write(tick * 15, granted=1, nothing=None, empty=[])
    [status] = written.sent
    assert status["conditions"][0]["lastTransitionTime"] == "2026-01-09T12:00:00Z"
    assert {key: status[key] for key in status if key != "conditions"} == {"observedGeneration": 3, "granted": 1}


async def test_a_number_is_written_at_once_and_a_sentence_after_a_minute(written: Written) -> None:
    await written.write(0, granted=1, why="one reason")
    await written.write(1, granted=2, why="one reason")
    assert len(written.sent) == 2
    await written.write(2, granted=2, why="another reason")
    assert len(written.sent) == 2
    await written.write(1 + REWORD_SECONDS, granted=2, why="another reason")
    assert [status["why"] for status in written.sent] == ["one reason", "one reason", "another reason"]


async def test_a_condition_keeps_the_time_since_which_it_holds(written: Written) -> None:
    await written.write(0)
    await written.write(60, condition=Condition(ConditionType.READY, True, "Reconciled", "in use still"))
    await written.write(120, condition=Condition(ConditionType.READY, False, "InvalidSpec", "no"))
    times = [status["conditions"][0]["lastTransitionTime"][14:19] for status in written.sent]
    assert times == ["00:00", "00:00", "02:00"]


async def test_a_new_process_finds_what_is_written_already(written: Written) -> None:
    await written.write(granted=1)
    successor = Written()
    await successor.write(600, raw={**RAW, "status": written.sent[0]}, granted=1)
    assert successor.sent == []


async def test_an_object_made_anew_begins_anew(written: Written) -> None:
    await written.write(granted=1)
    await written.write(15, raw={"metadata": {**RAW["metadata"], "uid": "other"}}, granted=1)
    assert len(written.sent) == 2
    written.statuses.forget_all_but({})
    await written.write(30, granted=1)
    assert len(written.sent) == 3


@pytest.mark.parametrize("error", [Unavailable("500"), Missing("gone")], ids=lambda e: type(e).__name__)
async def test_a_write_that_failed_is_tried_again(written: Written, error: PortError) -> None:
    written.error = error
    await written.write(granted=1)
    written.error = None
    await written.write(15, granted=1)
    assert len(written.sent) == 1
