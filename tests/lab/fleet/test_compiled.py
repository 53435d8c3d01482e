"""Machine code is kept by the text of all that goes into it."""

from pathlib import Path

import pytest

from flyball.lab.fleet import compiled


def test_a_change_in_any_source_gives_another_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source.py"
    source.write_text("one")
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    monkeypatch.setattr(compiled, "_SOURCES", (source,))
    directory = compiled._directory.__wrapped__
    before = directory()
    assert directory() == before
    assert Path(before).is_relative_to(tmp_path / "__pycache__")
    source.write_text("two")
    assert directory() != before


def test_without_a_place_to_write_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the sources and in the user's cache there are files where directories would have to be."""
    (tmp_path / "__pycache__").write_text("")
    (tmp_path / "cache").write_text("")
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert compiled._directory.__wrapped__() is None


def test_what_calls_only_compiled_code_gives_the_same_numbers() -> None:
    @compiled.inner
    def square(number: int) -> int:
        return number * number

    @compiled.compiled
    def twice(number: int) -> int:
        return 2 * square(number)

    assert twice(3) == 18
