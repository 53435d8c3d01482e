"""Compilation of the simulator's inner loops."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

FunctionT = TypeVar("FunctionT", bound=Callable[..., object])


def compiled(function: FunctionT) -> FunctionT:
    """`function` as machine code, kept on disk between runs. The import costs a second: only the simulator does it."""
    return cast("FunctionT", numba.njit(cache=True, error_model="numpy")(function))
