"""Replica-seconds between any two times, against a count second by second."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.lab.fleet.outcome import PaidReplicas
from flyball.lab.fleet.replicas import Ledger

CHANGES = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=12)


@given(changes=CHANGES, start=st.integers(0, 60), length=st.integers(0, 60))
def test_paid_seconds_are_those_of_each_second_summed(changes: list[tuple[int, int]], start: int, length: int) -> None:
    ledger, per_second = Ledger(), np.zeros(121)
    for at, replicas in sorted(changes):
        ledger.change(float(at), replicas)
        per_second[at:] += replicas
    paid = PaidReplicas(np.array(ledger.times), np.array(ledger.paid, float))
    assert paid.seconds(start, start + length) == pytest.approx(per_second[start : start + length].sum())
