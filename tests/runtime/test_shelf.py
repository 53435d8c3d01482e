"""Declared objects of one kind by name."""

from typing import Any

import pytest

from flyball.api.v1alpha1 import GPUPool
from flyball.runtime.shelf import Raw, Shelf

GOOD = {"inventory": [{"accelerator": "NVIDIA-L4", "gpus": 4}]}


def pool(name: str = "a", generation: int = 1, spec: Any = GOOD, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": name, "generation": generation, **metadata}, "spec": spec}


def _name(raw: Raw) -> str:
    return str(raw["metadata"]["name"])


@pytest.fixture
def shelf() -> Shelf[str, GPUPool]:
    return Shelf(GPUPool, _name)


def test_what_is_news(shelf: Shelf[str, GPUPool]) -> None:
    assert shelf.put(pool())
    labelled = pool(labels={"a": "b"}) | {"status": {"summary": {}}}
    assert not shelf.put(labelled), "labels and a status are none"
    assert shelf.raw["a"] == labelled
    assert shelf.put(pool(generation=2))
    assert shelf.put(pool(generation=2, uid="other"))


@pytest.mark.parametrize("spec", [None, [], "text", {"inventory": []}], ids=repr)
def test_what_is_invalid_is_kept_with_what_is_wrong(shelf: Shelf[str, GPUPool], spec: object) -> None:
    shelf.put(pool())
    assert shelf.put(pool(generation=2, spec=spec))
    assert (list(shelf.valid), list(shelf.invalid), list(shelf.raw)) == ([], ["a"], ["a"])
    assert "spec" in str(shelf.invalid["a"][0])
    assert shelf.put(pool(generation=3))
    assert (list(shelf.valid), list(shelf.invalid)) == (["a"], [])
    shelf.remove("a")
    shelf.remove("nobody")
    assert not shelf.raw


def test_a_complete_list_adds_and_drops_but_for_what_moved_later(shelf: Shelf[str, GPUPool]) -> None:
    for name in ("gone", "fresh", "edited"):
        shelf.put(pool(name))
    shelf.put(pool("edited", 2))
    listed = {"new": pool("new"), "edited": pool("edited"), "deleted": pool("deleted")}
    assert shelf.reconcile(listed, {"fresh", "edited", "deleted"})
    assert {name: raw["metadata"]["generation"] for name, raw in shelf.raw.items()} == {
        "fresh": 1,
        "edited": 2,
        "new": 1,
    }
    assert not shelf.reconcile(dict(shelf.raw), set())
