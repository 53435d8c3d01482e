"""The restated rivals against what the rivals' own code answered.

`recorded/RIVAL.jsonl` was written by `make rivals` (e2e/rivals): the module and version that answered, then a series a
line with its answers. The series are the lab's own runs and random ones.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from e2e.rivals.replay import RESTATED, read_lines

RECORDED = {rival: read_lines(Path(__file__).parent / "recorded" / f"{rival}.jsonl") for rival in RESTATED}


SERIES = [
    pytest.param(rival, series, id=f"{rival}: {series['name']}")
    for rival, (_, *several) in RECORDED.items()
    for series in several
]


@pytest.mark.parametrize(("rival", "series"), SERIES)
def test_answers_as_the_rival_did(rival: str, series: Mapping) -> None:
    assert RESTATED[rival](series) == series["replicas"]


@pytest.mark.parametrize(
    ("rival", "module"),
    [("hpa", "k8s.io/kubernetes"), ("kpa", "knative.dev/serving"), ("keda", "github.com/kedacore/keda/v2")],
)
def test_the_record_says_who_answered_and_holds_many_changes(rival: str, module: str) -> None:
    (head, *several) = RECORDED[rival]
    assert head["version"].startswith(f"{module} v")
    assert sum(before != after for series in several for before, after in pairwise(series["replicas"])) > 300


def test_the_autoscalers_record_holds_both_branches_and_every_kind_of_metric() -> None:
    specs = [series["spec"] for series in RECORDED["hpa"][1:]]
    assert {"behavior" in spec for spec in specs} == {True, False}
    assert {metric["type"] for spec in specs for metric in spec["metrics"]} == {"External", "Pods", "Resource"}


def test_knatives_record_holds_ticks_without_data() -> None:
    assert any(None in series["replicas"] for series in RECORDED["kpa"][1:])
