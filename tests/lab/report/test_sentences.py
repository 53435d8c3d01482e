import pytest
from support.lab_runs import made_conclusion, made_run

from flyball.lab.report.sentences import findings, objectives_text
from flyball.lab.suite.results import Role, Run


def rival(name: str, ttft: float, cost: float) -> Run:
    return made_run(policy=name, ttft=ttft, cost=cost, role=Role.TUNED if name.endswith("*") else Role.DEFAULT)


def test_objectives_are_one_phrase() -> None:
    assert objectives_text(made_conclusion()) == (
        "TimeToFirstToken within 1s for 95% and InterTokenLatency within 100ms for 90%"
    )


def test_a_winner_is_told_with_its_bounds_and_rivals() -> None:
    ours = made_run(ttft=0.96, cost=12.0, ratios={"kpa*": 0.8, "hpa-gpu*": 0.75, "kpa": 0.5})
    conclusion = made_conclusion(
        ours, rival("oracle", 0.95, 10.0), rival("static-peak", 0.96, 24.0), rival("kpa", 0.90, 20.0),
        rival("kpa*", 0.95, 15.0),
    )  # fmt: skip
    assert findings(conclusion) == [
        "flyball met the objectives (96.0% TimeToFirstToken and 95.0% InterTokenLatency) for 6.0 GPU-hours.",
        (
            "That is 2.00 × the floor, a bound that no policy can beat, within 20% of the best known clairvoyant plan, "
            "50% less than the smallest static fleet."
        ),
        "At equal attainment, against rivals tuned in hindsight, it cost 0.75 × hpa-gpu* and 0.80 × kpa*.",
        "It was the cheapest that met them; 1 rival of 2 met them too.",
    ]


@pytest.mark.parametrize("ours_ttft", [pytest.param(0.96, id="dearer"), pytest.param(0.94, id="a miss")])
def test_a_rival_that_wins_is_shown_winning(ours_ttft: float) -> None:
    ours = made_run(ttft=ours_ttft, cost=12.0)
    found = findings(made_conclusion(ours, rival("dynamo", 0.97, 11.0), rival("kpa", 0.97, 50.0)))
    assert (
        found[-1] == "dynamo won this scenario: it met the objectives for 5.5 GPU-hours (95.0% in its worst objective)."
    )
    assert ("missed the objectives by 1.00 points" in found[0]) is (ours_ttft == 0.94)


def test_rivals_that_cannot_be_compared_are_named() -> None:
    ours = made_run(notReachedBy=["ray*", "ray"], notReached=["wva*"])
    found = findings(made_conclusion(ours))
    assert "No setting of ray* attained as much as it." in found
    assert "It attained at no setting as much as wva*." in found


def test_a_static_fleet_that_misses_the_objectives_is_no_yardstick() -> None:
    found = findings(made_conclusion(made_run(), rival("static-peak", 0.5, 24.0)))
    assert not any("static fleet" in sentence for sentence in found)


def test_costs_are_dollars_where_variants_differ() -> None:
    assert "for $10.00." in findings(made_conclusion(made_run(cost=10.0), by_cost=True))[0]


def test_without_flyball_nothing_is_said_of_it() -> None:
    assert findings(made_conclusion(rival("kpa", 0.96, 3.0))) == []
