from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from flyball.lab.suite.store import Store, code_hash, key_of


@dataclass(frozen=True)
class Made:
    price: Decimal
    limit: float
    parts: tuple[int, ...] = (1, 2)


def test_what_was_put_is_got_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "store")
    assert store.get("a") is None
    store.put("a", {"x": [1, None]})
    store.put("a", {"x": [2, None]})
    assert Store(tmp_path / "new" / "store").get("a") == {"x": [2, None]}


def test_a_document_that_was_cut_off_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"x": [1,')
    assert Store(tmp_path).get("a") is None


def test_what_is_not_a_number_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Store(tmp_path).put("a", {"x": float("nan")})


def test_equal_values_have_equal_keys_and_others_have_others() -> None:
    made = Made(Decimal("0.80"), float("inf"))
    assert key_of(made, {"a": 1, "b": 2}) == key_of(Made(Decimal("0.80"), float("inf")), {"b": 2, "a": 1})
    others = [Made(Decimal("0.8"), 1.0), Made(Decimal("0.80"), float("inf"), (2, 1)), Made(Decimal(1), float("inf"))]
    assert len({key_of(made), *map(key_of, others)}) == 4


def test_the_codes_hash_is_of_the_modules_named() -> None:
    both = code_hash(("lab/score.py", "core"))
    assert both == code_hash(("core", "lab/score.py"))
    assert both != code_hash(("core",)) == code_hash(("core", "lab/score.py"), ("lab/score.py",))
