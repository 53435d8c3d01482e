import pytest
from support.lab_runs import made_conclusion, made_run

from flyball.lab.report.verdict import dominates, verdict
from flyball.lab.suite.results import Role


def test_a_suite_is_summed_up_over_its_counted_scenarios() -> None:
    conclusions = [
        made_conclusion(
            made_run(cost=12.0, ratios={"hpa-gpu*": 0.7, "dynamo*": 1.1}),
            made_run(policy="oracle", cost=10.0),
            name="one",
        ),
        made_conclusion(
            made_run(ttft=0.90, cost=12.0, ratios={"keda-concurrency*": 0.9, "dynamo*": 0.9}),
            made_run(policy="oracle", cost=10.0),
            made_run(policy="kpa", cost=30.0),
            name="two",
        ),
        made_conclusion(made_run(ttft=0.5), name="sizing", not_counted="a sizing check"),
        made_conclusion(name="gone", skipped="no trace"),
    ]
    assert verdict(conclusions) == [
        "2 scenarios counted of 4.",
        "flyball met the objectives of 1.",
        "Of the 2 that the clairvoyant plan meets it met 1.",
        "It missed two, which kpa met with their defaults.",
        (
            "At equal attainment, against HPA and KEDA tuned in hindsight, it cost 0.80 × in the median and "
            "0.90 × at worst (keda-concurrency*, two)."
        ),
        (
            "At equal attainment, against the other rivals tuned in hindsight, it cost 1.00 × in the median and "
            "1.10 × at worst (dynamo*, one)."
        ),
        "It cost 2.00 (median; 2.00 to 2.00) × the floor.",
        "It cost 1.20 (median; 1.20 to 1.20) × the best known clairvoyant plan.",
    ]


def test_where_nothing_counts_nothing_is_claimed() -> None:
    assert verdict([made_conclusion(name="gone", skipped="no trace")]) == ["0 scenarios counted of 1."]
    assert verdict([made_conclusion(made_run(policy="kpa"))]) == ["1 scenario counted of 1.", "flyball was not played."]


@pytest.mark.parametrize(
    ("savings", "margins", "expected"),
    [
        pytest.param([1.0], [0.0], True, id="one seed, cheaper and as good"),
        pytest.param([1.0], [-0.01], False, id="cheaper and worse"),
        pytest.param([-1.0], [0.01], False, id="better and dearer"),
        pytest.param([1.0, 1.1, 0.9], [0.01, 0.0, 0.01], True, id="every seed about as much"),
        pytest.param([9.0, -5.0, 1.0], [0.01, 0.01, 0.01], False, id="within chance"),
    ],
)
def test_dominance_is_beyond_the_interval_of_paired_seeds(
    savings: list[float], margins: list[float], expected: bool
) -> None:
    runs = []
    for seed, (saving, margin) in enumerate(zip(savings, margins, strict=True), start=1):
        runs.append(made_run(seed=seed, ttft=0.96, cost=20.0))
        runs.append(made_run(policy="kpa", seed=seed, ttft=0.96 + margin, cost=20.0 - saving))
        runs.append(made_run(policy="kpa", seed=seed, ttft=1.0, cost=1.0, role=Role.SWEEP))
    conclusion = made_conclusion(*runs)
    assert dominates(conclusion, "kpa", "flyball") is expected
    assert any("kpa with its defaults attained no less" in line for line in verdict([conclusion])) is expected
