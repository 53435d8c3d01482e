"""Finished work, kept in a folder: one file for each piece, named by a hash of everything that shapes it.

So a suite that was stopped goes on where it was, and one whose scenario, knobs or code changed does that piece anew.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import flyball

PACKAGE = Path(flyball.__file__).parent


class Store:
    """A folder of JSON documents by key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> dict[str, Any] | None:
        """The document of that key; None when there is none, or when it was cut off while being written."""
        try:
            found: dict[str, Any] = json.loads(self._path(key).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return found

    def put(self, key: str, document: Mapping[str, Any]) -> None:
        """Keep a document; whoever reads meanwhile sees the old one or the new one, never a part."""
        part = self._path(key).with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
        part.replace(self._path(key))

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"


def key_of(*parts: object) -> str:
    """A hash of values: dataclasses, mappings, sequences, numbers, text."""
    return hashlib.sha256(json.dumps(plain(parts), sort_keys=True).encode()).hexdigest()[:32]


def plain(value: object) -> Any:
    """The value in JSON's terms, with the names of dataclasses' fields, so that equal values give equal text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (Decimal, Path)):
        return str(value)
    return value


@lru_cache(maxsize=32)
def file_hash(path: str) -> str:
    """A hash of a file's bytes."""
    with Path(path).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@lru_cache(maxsize=8)
def code_hash(included: tuple[str, ...], excluded: tuple[str, ...] = ()) -> str:
    """A hash of the package's modules under `included`, without those under `excluded`; both relative to it."""
    hashed = hashlib.sha256()
    for path in sorted(_modules(included)):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(excluded):
            hashed.update(f"{name} {file_hash(str(path))}\n".encode())
    return hashed.hexdigest()


def _modules(included: Iterable[str]) -> Iterable[Path]:
    for name in included:
        place = PACKAGE / name
        yield from place.rglob("*.py") if place.is_dir() else [place]
