"""Stand-ins for Prometheus, and a real one."""

from collections.abc import Callable, Iterator

import pytest
from support.prometheus import Respond, Stub


@pytest.fixture
def start() -> Iterator[Callable[[Respond], Stub]]:
    started: list[Stub] = []

    def serve(answer: Respond) -> Stub:
        started.append(Stub(answer))
        return started[-1]

    yield serve
    for one in started:
        one.close()
