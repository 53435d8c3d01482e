"""Compilation of the simulator's inner loops to machine code, kept on disk between runs.

numba keeps a function's machine code as long as that function's own file is unchanged, though it holds the code of all
that it calls. So the directory of the kept code is named after the text of all modules that go into it.
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar, cast

import numba

FunctionT = TypeVar("FunctionT", bound=Callable[..., object])

_SOURCES = (*sorted(Path(__file__).parent.glob("*.py")), Path(__file__).parents[1] / "modelserver" / "histograms.py")


def compiled(function: FunctionT) -> FunctionT:
    """`function` as machine code, for calls from Python."""
    return _compile(function)


def inner(function: FunctionT) -> FunctionT:
    """`function` as machine code that compiled functions call; Python cannot. It compiles in half the time."""
    return _compile(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def _compile(function: FunctionT, **options: bool) -> FunctionT:
    directory = _directory()
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = directory or before
    try:
        decorated = numba.njit(cache=directory is not None, error_model="numpy", **options)(function)
    finally:
        numba.config.CACHE_DIR = before
    return cast("FunctionT", decorated)


@cache
def _directory() -> str | None:
    """Beside the sources, or else the user's cache; None where neither can be written."""
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in _SOURCES)).hexdigest()[:16]
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for parent in (Path(__file__).parent / "__pycache__", user / "flyball"):
        directory = parent / f"compiled-{digest}"
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(directory, os.W_OK):
            return str(directory)
    return None
