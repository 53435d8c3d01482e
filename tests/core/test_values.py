"""Core's values: made and compared as the standard library's frozen dataclasses are."""

import dataclasses
import pickle

import pytest

from flyball.core.values import dataclass, replace


@dataclass(frozen=True, slots=True, order=True)
class Size:
    name: str
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class Sizes:
    all: tuple[Size, ...]


def test_values_are_equal_ordered_and_hashed_by_their_fields() -> None:
    assert Size("a", 2) == Size("a", 2) != Size("a", 3)
    assert sorted([Size("b"), Size("a", 2), Size("a")]) == [Size("a"), Size("a", 2), Size("b")]
    assert len({Size("a"), Size("a", 1), Size("b")}) == 2
    assert pickle.loads(pickle.dumps(Sizes((Size("a"),)))) == Sizes((Size("a"),))


@pytest.mark.parametrize("copied", [replace, dataclasses.replace])
def test_a_copy_has_other_fields_and_leaves_the_value_alone(copied: object) -> None:
    value, sizes = Size("a", 2), Sizes(())
    assert copied(value, replicas=3) == Size("a", 3)  # type: ignore[operator]
    assert copied(sizes, all=(value,)) == Sizes((value,))  # type: ignore[operator]
    assert (value, sizes) == (Size("a", 2), Sizes(()))


def test_there_is_no_other_field() -> None:
    with pytest.raises(AttributeError):
        replace(Size("a"), replica=3)  # type: ignore[call-arg]
    assert not hasattr(Size("a"), "__dict__")
