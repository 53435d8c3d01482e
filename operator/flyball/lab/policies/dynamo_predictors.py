"""Dynamo's load predictors: the next interval's value from those of past intervals, one step ahead.

`constant` and `kalman` are two of the source's four choices (core/load/predictors.py). Its default, automatic ARIMA,
and Prophet need statistics packages that the lab does not carry; the local linear trend that `kalman` follows is what
exponential smoothing with a trend (ARIMA(0,2,2)) converges to, and stands in for them. Leading zeros are skipped,
values that are not finite count as zero, and with fewer than five values, or all the same, the last one is repeated.
"""

import math
from typing import Protocol

import numpy as np

_MIN_POINTS = 5
_Q_LEVEL, _Q_TREND, _R = 1.0, 0.1, 10.0


class Predictor(Protocol):
    def add(self, value: float) -> None: ...

    def predict(self) -> float | None:
        """None before the first value that counts."""
        ...


class Constant:
    """The last value."""

    def __init__(self) -> None:
        self._values: list[float] = []

    def add(self, value: float) -> None:
        clean = value if math.isfinite(value) else 0.0
        if self._values or clean != 0.0:
            self._values = [clean]

    def predict(self) -> float | None:
        return self._values[-1] if self._values else None


class Kalman:
    """A Kalman filter on level and trend, with the source's noise levels: level 1.0, trend 0.1, observation 10."""

    def __init__(self) -> None:
        self._count = 0
        self._all_equal = True
        self._last = 0.0
        self._state = np.zeros(2)
        self._covariance = np.eye(2)

    def add(self, value: float) -> None:
        clean = value if math.isfinite(value) else 0.0
        if self._count == 0 and clean == 0.0:
            return
        if self._count == 0:
            self._state = np.array([clean, 0.0])
        else:
            self._all_equal = self._all_equal and clean == self._last
            self._update(clean)
        self._count += 1
        self._last = clean

    def predict(self) -> float | None:
        if self._count == 0:
            return None
        if self._count < _MIN_POINTS or self._all_equal:
            return self._last
        return max(0.0, float(self._state[0] + self._state[1]))

    def _update(self, value: float) -> None:
        step = np.array([[1.0, 1.0], [0.0, 1.0]])
        ahead = step @ self._state
        covariance = step @ self._covariance @ step.T + np.diag([_Q_LEVEL, _Q_TREND])
        gain = covariance[:, 0] / (covariance[0, 0] + _R)
        self._state = ahead + gain * (value - ahead[0])
        self._covariance = covariance - np.outer(gain, covariance[0])


PREDICTORS: dict[str, type[Constant] | type[Kalman]] = {"constant": Constant, "kalman": Kalman}
