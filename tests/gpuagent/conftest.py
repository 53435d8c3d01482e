"""Fake GPUs in this process: the fake library is loaded under the real one's name, and pynvml finds it there."""

import ctypes
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.gpu import fake

from flyball.gpuagent.sampler import Sampler


class Clock:
    """A clock that the test sets, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The fake, loaded: who asks the loader for a library of its soname gets it."""
    return ctypes.CDLL(str(fake.build(tmp_path_factory.mktemp("nvml"))), mode=ctypes.RTLD_GLOBAL)


@pytest.fixture
def gpus(library: ctypes.CDLL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fake.Script:
    """The script of the fake GPUs: one GPU, until a test writes something else."""
    script = fake.Script(tmp_path / "script")
    monkeypatch.setenv("FAKE_NVML", str(script.path))
    return script


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sampler(gpus: fake.Script, clock: Clock) -> Iterator[Sampler]:
    """A sampler of the fake GPUs, on the test's clock."""
    made = Sampler(clock)
    yield made
    gpus.write()
    made.close()
