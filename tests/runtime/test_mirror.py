"""The mirror of what is declared: events, complete lists that correct it, and what may not be lost between the two."""

from typing import Any

import pytest
from support.objects import workload_slo

from flyball.core.names import WorkloadKey
from flyball.core.spec import Invalid, WorkloadSpec
from flyball.runtime.mirror import FINALIZER, Mirror

BOOK = {
    "apiVersion": "flyball.dev/v1alpha1",
    "kind": "PriceBook",
    "metadata": {"name": "gpus", "generation": 1, "uid": "book"},
    "spec": {"source": "contract", "gpus": [{"accelerator": "NVIDIA-L4", "onDemand": "0.80"}]},
}


def raw(name: str = "chat", generation: int = 1, uid: str = "", **metadata: Any) -> dict[str, Any]:
    found = workload_slo(name)
    own = {
        "namespace": "team",
        "generation": generation,
        "uid": uid or name,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    found["metadata"] |= own | metadata
    return found


def priced(name: str = "chat", **metadata: Any) -> dict[str, Any]:
    found = raw(name, **metadata)
    found["spec"]["cost"] = {"priceBookRef": {"name": "gpus"}}
    return found


def names(mirror: Mirror) -> list[str]:
    return [entry.key.name for entry in mirror.declared()]


def spec_of(mirror: Mirror) -> WorkloadSpec:
    spec = mirror.declared()[0].spec
    assert isinstance(spec, WorkloadSpec)
    return spec


@pytest.mark.parametrize(
    ("changed", "news"),
    [
        pytest.param(raw() | {"status": {"mode": "Auto"}}, False, id="a status is none"),
        pytest.param(raw(labels={"a": "b"}), False, id="a label is none"),
        pytest.param(raw(generation=2), True, id="a new generation"),
        pytest.param(raw(uid="other"), True, id="another object of that name"),
        pytest.param(raw(finalizers=[FINALIZER]), True, id="a finalizer"),
        pytest.param(raw(deletionTimestamp="2026-01-02T00:00:00Z"), True, id="a deletion"),
    ],
)
def test_what_is_news(changed: dict[str, Any], news: bool) -> None:
    mirror = Mirror()
    assert mirror.put(raw())
    assert mirror.put(changed) is news
    assert mirror.declared()[0].raw == changed


def test_an_invalid_object_is_kept_as_data() -> None:
    mirror = Mirror()
    broken = raw()
    broken["spec"]["targets"][0]["maxReplicas"] = "many"
    mirror.put(broken)
    found = mirror.declared()[0].spec
    assert isinstance(found, Invalid)
    assert "maxReplicas" in str(found)


@pytest.mark.parametrize("spec", [None, [], "text", {"targets": None}], ids=repr)
def test_nothing_raises_for_an_object_that_no_api_server_gives(spec: object) -> None:
    mirror = Mirror()
    mirror.put(raw() | {"spec": spec})
    assert isinstance(mirror.declared()[0].spec, Invalid)


def test_the_oldest_come_first_and_names_break_ties() -> None:
    mirror = Mirror()
    for name, created in (("b", "2026-01-02"), ("c", "2026-01-01"), ("a", "2026-01-02")):
        mirror.put(raw(name, creationTimestamp=f"{created}T00:00:00Z"))
    assert names(mirror) == ["c", "a", "b"]


def test_a_complete_list_adds_drops_and_opens_the_gate() -> None:
    mirror = Mirror()
    mirror.put(raw("ghost"))
    assert not mirror.synced
    mirror.reconcile([raw("chat")], [], mirror.mark())
    assert names(mirror) == ["chat"]
    assert mirror.synced


def test_what_the_watch_brought_while_the_list_was_read_is_newer() -> None:
    mirror = Mirror()
    mirror.reconcile([raw("chat"), raw("gone")], [], mirror.mark())
    mark = mirror.mark()
    mirror.put(raw("fresh"))
    mirror.put(raw("chat", generation=2))
    mirror.remove(raw("gone"))
    mirror.put_book(BOOK)
    mirror.reconcile([raw("chat"), raw("gone")], [], mark)
    assert names(mirror) == ["chat", "fresh"]
    assert mirror.declared()[0].raw["metadata"]["generation"] == 2
    mirror.put(priced("chat", generation=3))
    assert mirror.learn_accelerators(spec_of(mirror), {"gpu": "NVIDIA-L4"}).variants[0].price_per_gpu_hour
    mirror.reconcile([raw("chat", generation=3)], [], mirror.mark())
    assert names(mirror) == ["chat"], "the next list has the last word again"


def test_prices_follow_their_book() -> None:
    mirror = Mirror()
    mirror.put(priced())
    spec = mirror.learn_accelerators(spec_of(mirror), {"gpu": "NVIDIA-L4"})
    assert spec.variants[0].price_per_gpu_hour is None
    assert mirror.put_book(BOOK)
    assert str(spec_of(mirror).variants[0].price_per_gpu_hour) == "0.80"
    assert not mirror.put_book(BOOK), "the same again is no news"
    mirror.put_book(BOOK | {"spec": {"gpus": "none"}, "metadata": BOOK["metadata"] | {"generation": 2}})
    assert spec_of(mirror).variants[0].price_per_gpu_hour is None
    mirror.put_book(BOOK | {"metadata": BOOK["metadata"] | {"generation": 3}})
    assert spec_of(mirror).variants[0].price_per_gpu_hour is not None
    mirror.remove_book(BOOK)
    assert spec_of(mirror).variants[0].price_per_gpu_hour is None


def test_a_list_without_the_book_takes_its_prices() -> None:
    mirror = Mirror()
    mirror.reconcile([priced()], [BOOK], mirror.mark())
    mirror.learn_accelerators(spec_of(mirror), {"gpu": "NVIDIA-L4"})
    mirror.reconcile([priced()], [], mirror.mark())
    assert spec_of(mirror).variants[0].price_per_gpu_hour is None


def test_an_accelerator_once_seen_is_remembered_for_that_object_only() -> None:
    mirror = Mirror()
    mirror.put_book(BOOK)
    mirror.put(priced())
    mirror.learn_accelerators(spec_of(mirror), {"gpu": "NVIDIA-L4"})
    assert mirror.learn_accelerators(spec_of(mirror), {}).variants[0].price_per_gpu_hour is not None
    mirror.put(priced(generation=2))
    assert spec_of(mirror).variants[0].price_per_gpu_hour is not None
    mirror.put(priced(uid="another"))
    assert spec_of(mirror).variants[0].price_per_gpu_hour is None


def test_what_is_seen_of_one_target_does_not_unlearn_another() -> None:
    mirror = Mirror()
    mirror.put_book(BOOK)
    two = priced()
    two["spec"]["targets"].append({"name": "spare", "targetRef": {"name": "spare"}, "maxReplicas": 2})
    mirror.put(two)
    mirror.learn_accelerators(spec_of(mirror), {"gpu": "NVIDIA-L4"})
    spec = mirror.learn_accelerators(spec_of(mirror), {"spare": "NVIDIA-L4"})
    assert all(variant.price_per_gpu_hour for variant in spec.variants)


def test_what_is_learned_of_an_object_that_is_gone_changes_nothing() -> None:
    mirror = Mirror()
    mirror.put(priced())
    spec = spec_of(mirror)
    mirror.remove(priced())
    assert mirror.learn_accelerators(spec, {"gpu": "NVIDIA-L4"}) is spec
    assert mirror.declared() == ()


def test_says_what_an_object_is() -> None:
    mirror = Mirror()
    mirror.put(raw(finalizers=[FINALIZER], deletionTimestamp="2026-01-02T00:00:00Z"))
    entry = mirror.declared()[0]
    assert (entry.key, entry.uid, entry.deleting, entry.has_finalizer) == (
        WorkloadKey("team", "chat"),
        "chat",
        True,
        True,
    )


@pytest.mark.parametrize("kind", ["pools", "demand_events"])
def test_what_workloads_share_follows_the_watch_and_the_lists(kind: str) -> None:
    mirror = Mirror()
    put, remove, shelf = {
        "pools": (mirror.put_pool, mirror.remove_pool, mirror.pools),
        "demand_events": (mirror.put_demand_event, mirror.remove_demand_event, mirror.demand_events),
    }[kind]
    shared = {"metadata": {"name": "chat", "namespace": "team", "generation": 1}, "spec": {}}
    mirror.put(raw("chat"))
    assert put(shared)
    assert not put(shared), "the same again is no news"
    mark = mirror.mark()
    mirror.reconcile([raw("chat")], [], mark)
    assert len(shelf.raw) == 1, "a list that could not be read keeps what is known"
    mirror.put(raw("chat", generation=2))  # of the same name, and another kind
    mirror.reconcile([raw("chat")], [], mark, [], [])
    assert (len(shelf.raw), mirror.declared()[0].raw["metadata"]["generation"]) == (0, 2)
    mirror.reconcile([raw("chat")], [], mirror.mark(), [shared], [shared])
    assert len(shelf.raw) == 1
    remove(shared)
    assert len(shelf.raw) == 0
