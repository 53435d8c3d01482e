"""Imports a few modules of a large package as they are, and stands in for everything else that they import.

A serving engine's metrics code counts; what it imports (torch, configurations, kernels) is for its types alone.
"""

import importlib
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any


class _Kind(type):
    """Of classes that have whatever is asked of them, so that they can be annotations, bases and decorators."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Kind(name, (Anything,), {})

    def __getitem__(cls, _: object) -> Any:
        return cls


class Anything(metaclass=_Kind):
    """Has every attribute, does nothing when it is called, and is false; given a function, it gives that back."""

    def __init__(self, *_: object, **__: object) -> None:
        """Take whatever is given."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()

    def __call__(self, *given: object, **_: object) -> Any:
        return given[0] if len(given) == 1 and callable(given[0]) else Anything()

    def __bool__(self) -> bool:
        return False


class _Standin(ModuleType):
    """A module that has whatever is asked of it but for its `real` modules, which are left to be imported."""

    def __init__(self, name: str, real: Sequence[str]) -> None:
        super().__init__(name)
        self._real = real

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or f"{self.__name__}.{name}" in self._real:
            raise AttributeError(name)
        return _Kind(name, (Anything,), {})


class _Finder:
    """Finds stand-ins for all modules of those packages that are not `real`."""

    def __init__(self, packages: Iterable[str], real: Sequence[str]) -> None:
        self._packages, self._real = frozenset(packages), real

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name.partition(".")[0] not in self._packages or name in self._real:
            return None
        spec = ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]
        folders = (Path(folder, *name.split(".")) for folder in sys.path)
        spec.submodule_search_locations = [str(folder) for folder in folders if folder.is_dir()]
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Standin(spec.name, self._real)

    def exec_module(self, _: ModuleType) -> None:
        """There is nothing to run."""


def load(*real: str, besides: Iterable[str] = ()) -> list[ModuleType]:
    """Those modules, with stand-ins for the rest of their packages and for all of the packages `besides`."""
    sys.meta_path.insert(0, _Finder({*(name.partition(".")[0] for name in real), *besides}, real))  # type: ignore[arg-type]
    return [importlib.import_module(name) for name in real]
