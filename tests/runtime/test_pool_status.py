"""What a pool's status says, on cases."""

import pytest

from flyball.core.names import WorkloadKey
from flyball.core.pools.gpu_pools import Ask, Grant, Pool, Stock
from flyball.core.spec import FieldError
from flyball.runtime.pool_status import MOST_WORKLOADS, conditions, invalid, parts

L4 = Stock("L4", 8, reserve=1)
POOL = Pool("shared", (L4,))
WHY = "GPUPool shared hands out 7 L4"


def grant(
    name: str, replicas: int, desired: int, *, priority: int = 0, gpus: int = 1, accelerator: str = "L4"
) -> Grant:
    ask = Ask(WorkloadKey("team", name), "gpu", accelerator, gpus, 1, replicas, desired, priority)
    return Grant(ask, replicas, "shared", WHY if replicas < desired else "")


@pytest.mark.parametrize(
    ("pool", "grants", "summary"),
    [
        pytest.param(POOL, [], {"granted": "0 of 7", "asked": "0", "short": "nobody"}, id="nobody draws on it"),
        pytest.param(
            POOL, [grant("chat", 2, 2, gpus=2)], {"granted": "4 of 7", "asked": "4", "short": "nobody"}, id="enough"
        ),
        pytest.param(
            POOL, [grant("chat", 2, 3, gpus=2)],
            {"granted": "4 of 7", "asked": "6", "short": f"team/chat 4 of 6: {WHY}"}, id="one is short",
        ),
        pytest.param(
            POOL, [grant("chat", 1, 3), grant("search", 1, 2, priority=5)],
            {"granted": "2 of 7", "asked": "5", "short": f"2 targets, first team/search 1 of 2: {WHY}"},
            id="of two the higher priority is named",
        ),
        pytest.param(
            Pool("shared", (L4, Stock("H100", None))), [grant("chat", 2, 2, accelerator="H100")],
            {"granted": "2 of at least 7", "asked": "2", "short": "nobody"}, id="not all are counted",
        ),
    ],
)  # fmt: skip
def test_the_columns(pool: Pool, grants: list[Grant], summary: dict[str, str]) -> None:
    assert parts(pool, grants)["summary"] == summary


def test_gpus_are_told_by_accelerator() -> None:
    found = parts(Pool("shared", (L4, Stock("H100", None))), [grant("a", 1, 2), grant("b", 3, 3, accelerator="H100")])
    assert found["accelerators"] == [
        {"accelerator": "L4", "capacity": 8, "reserve": 1, "granted": 1, "asked": 2},
        {"accelerator": "H100", "reserve": 0, "granted": 3, "asked": 3},
    ]


def test_of_many_workloads_those_that_are_short_are_shown() -> None:
    many = [grant(f"w{i:03}", 1, 1) for i in range(MOST_WORKLOADS + 5)]
    found = parts(POOL, [*many, grant("zebra", 1, 2)])
    assert found["workloads"][0]["name"] == "zebra"
    assert found["workloads"][0]["reason"] == f"1 of the 2 replicas asked for is granted: {WHY}"
    assert (len(found["workloads"]), found["workloadsNotShown"]) == (MOST_WORKLOADS, 6)
    assert parts(POOL, many[:3])["workloadsNotShown"] is None


def pool(name: str, *accelerators: str, namespaces: tuple[str, ...] = ()) -> Pool:
    return Pool(name, tuple(Stock(each, 4) for each in accelerators), frozenset(namespaces))


@pytest.mark.parametrize(
    ("others", "said"),
    [
        pytest.param([], "", id="alone"),
        pytest.param([pool("a", "H100")], "", id="another accelerator"),
        pytest.param([pool("a", "L4", namespaces=("x",))], "", id="a pool of a namespace's own goes first by right"),
        pytest.param([pool("z", "L4")], "", id="a later name gives way itself"),
        pytest.param(
            [pool("a", "L4", "H100")], "L4 for all namespaces comes from GPUPool a, the first by name", id="taken"
        ),
    ],
)
def test_a_pool_that_another_goes_before_says_so(others: list[Pool], said: str) -> None:
    own = pool("m", "L4")
    ready = conditions(own, [own, *others], [], "")[0]
    assert (ready.status, ready.reason) == ((False, "Overlaps") if said else (True, "Reconciled"))
    assert ready.message.startswith(said or "the pool is in use")


def test_pools_of_one_namespace_overlap_there() -> None:
    first, second = pool("a", "L4", namespaces=("x", "y")), pool("b", "L4", namespaces=("y", "z"))
    assert conditions(first, [first, second], [], "")[0].status is True
    assert conditions(second, [first, second], [], "")[0].message.startswith("L4 for namespace y comes from GPUPool a")


@pytest.mark.parametrize(
    ("grants", "message"),
    [
        pytest.param([grant("a", 1, 1)], "every workload is granted what it asks for", id="enough"),
        pytest.param([grant("a", 1, 3, gpus=4)], "team/a is short of 8 GPUs", id="one"),
        pytest.param([grant("a", 1, 2), grant("b", 1, 2)], "team/a and team/b are short of 2 GPUs", id="two"),
        pytest.param(
            [grant(name, 1, 2) for name in "abcdefg"],
            "team/a, team/b, team/c, team/d, team/e and 2 other workloads are short of 7 GPUs", id="many",
        ),
    ],
)  # fmt: skip
def test_whether_there_is_enough(grants: list[Grant], message: str) -> None:
    found = conditions(POOL, [POOL], grants, "")[1]
    assert (found.message, found.status) == (message, not any(each.short for each in grants))


def test_what_is_not_counted_is_unknown() -> None:
    unknown = Pool("shared", (Stock("L4", None), Stock("H100", None)))
    found = conditions(unknown, [unknown], [], "")[1]
    assert (found.status, found.reason) == (None, "InventoryUnknown")
    assert found.message == "L4 and H100: the nodes were not counted yet; until then nobody is limited"


def test_what_is_wrong_with_a_spec() -> None:
    [found] = invalid((FieldError("spec.inventory", "it is empty", "list an accelerator"),))
    assert (found.status, found.message) == (False, "spec.inventory: it is empty; list an accelerator")
