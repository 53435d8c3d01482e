"""AIBrix's APA, as in source and put right."""

import pytest
from lab.policies.views import Fleet, replica, setting, variant

from flyball.lab.policies.aibrix import Apa, ApaOptions, Cooldown, apa_replicas

SOURCE, FIXED = ApaOptions(), ApaOptions(fixed=True)


@pytest.mark.parametrize(
    ("current", "usage", "expected"),
    [
        pytest.param(4, 0.55, 4, id="within 10%"),
        pytest.param(4, 0.56, 5, id="above"),
        pytest.param(4, 1.5, 8, id="twice at most"),
        pytest.param(4, 0.44, 4, id="below: ceil(3.52)"),
        pytest.param(4, 0.05, 2, id="half at most"),
        pytest.param(5, 0.05, 2, id="floor of half"),
    ],
)
def test_law(current: int, usage: float, expected: int) -> None:
    assert apa_replicas(SOURCE, current, usage) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(SOURCE, [8, 3, 3, 9], id="source: the least of the window, so at once, and after an old dip"),
        pytest.param(FIXED, [8, 8, 8, 9], id="fixed: the greatest of the window holds"),
    ],
)
def test_cooldown(options: ApaOptions, expected: list[int]) -> None:
    cooldown = Cooldown(options)
    assert [cooldown.apply(8, asked, 10.0 * index) for index, asked in enumerate((8, 3, 7, 9))] == expected


def test_an_old_dip_is_forgotten_after_the_window() -> None:
    cooldown = Cooldown(SOURCE)
    assert [cooldown.apply(8, asked, at) for asked, at in ((3, 0.0), (7, 300.0), (7, 310.0))] == [3, 3, 7]


def test_compounds_while_replicas_load() -> None:
    fleet = Fleet(Apa(setting()), replicas=2)
    assert [fleet.step(replica(0, kv_usage=1.0), replica(1, kv_usage=1.0), ready=2) for _ in range(4)] == [4, 8, 16, 32]


def test_missing_metrics_are_skipped() -> None:
    fleet = Fleet(Apa(setting()), replicas=3)
    assert fleet.step(lost=True) == 3


def test_keeps_one_where_zero_would_be_allowed() -> None:
    fleet = Fleet(Apa(setting(variant(min_replicas=0))), replicas=2, bounds=(0, 60))
    assert [fleet.load(kv_usage=0.0) for _ in range(3)] == [1, 1, 1]
