"""A fleet that is never scaled."""

from lab.policies.views import counts, setting, variant, view

from flyball.lab.policies.static import Static


def test_keeps_the_initial_counts_or_the_given_one() -> None:
    both = setting(variant("a"), variant("b"))
    seen = view(0.0, [counts(5), counts(7)])
    assert Static(both).decide(seen) == {0: 1, 1: 1}
    assert Static(both, replicas=9).decide(seen) == {0: 9, 1: 1}
