from flyball.core.decision import Condition
from flyball.core.names import ConditionType
from flyball.core.told.conditions import KnownCondition, merge

READY, MET = ConditionType.READY, ConditionType.SLO_MET


def test_the_transition_time_moves_only_with_the_status() -> None:
    before = (
        KnownCondition(READY, "True", "Reconciled", "old words", 100.0, 1),
        KnownCondition(MET, "True", "Met", "", 100.0, 1),
    )
    found = (Condition(READY, True, "Reconciled", "new words"), Condition(MET, False, "Breached", "breached: ttft"))
    assert merge(before, found, 200.0, 2) == (
        KnownCondition(READY, "True", "Reconciled", "new words", 100.0, 2),
        KnownCondition(MET, "False", "Breached", "breached: ttft", 200.0, 2),
    )


def test_neither_true_nor_false_is_unknown_and_a_change_to_it_is_one() -> None:
    before = (KnownCondition(MET, "True", "Met", "", 100.0, 1),)
    assert merge(before, (Condition(MET, None, "InsufficientData", ""),), 200.0, 1) == (
        KnownCondition(MET, "Unknown", "InsufficientData", "", 200.0, 1),
    )


def test_what_is_no_longer_found_is_gone_and_order_is_that_of_the_finding() -> None:
    before = (KnownCondition(ConditionType.CONTENDED, "True", "OtherScaler", "", 1.0, 1),)
    found = (Condition(MET, True, "Met", ""), Condition(READY, True, "Reconciled", ""))
    assert [c.type for c in merge(before, found, 2.0, 1)] == [MET, READY]
