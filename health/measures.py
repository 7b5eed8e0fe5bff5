"""What is measured of an array: its norm and range, zeros, and what is not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Measure(NamedTuple):
    """Figures of an array, or of several that are taken as one.

    `norm` is the Euclidean one, `largest` the largest magnitude, `zeros` and `bad` count entries
    that are zero and that are not finite, `low` and `high` are the range of what is not nan (of the
    real parts), nan where there is nothing.
    """

    size: int
    norm: float
    largest: float
    zeros: int
    bad: int
    low: float
    high: float

    @property
    def rms(self) -> float:
        """The root of the mean square."""
        return self.norm / math.sqrt(self.size) if self.size else 0.0

    @property
    def zero_share(self) -> float:
        """The fraction of entries that are zero."""
        return self.zeros / self.size if self.size else 0.0

    @property
    def bad_share(self) -> float:
        """The fraction of entries that are infinite or nan."""
        return self.bad / self.size if self.size else 0.0


def measure(value: Any) -> Measure:
    """Return the figures of an array or number."""
    array = np.asarray(value)
    if array.size == 0:
        return Measure(0, 0.0, 0.0, 0, 0, math.nan, math.nan)
    with np.errstate(all="ignore"):  # figures of infinity and nan are figures
        magnitudes = np.abs(array).ravel()
        if magnitudes.dtype != np.float64:
            magnitudes = magnitudes.astype(np.float64)
        largest = float(magnitudes.max())
        zeros = array.size - int(np.count_nonzero(array))
        parts = np.real(array)
        if math.isfinite(largest):
            low, high, bad = float(parts.min()), float(parts.max()), 0
            norm = _norm(magnitudes, largest)
        else:
            bad = array.size - int(np.count_nonzero(np.isfinite(array)))
            known = parts[~np.isnan(parts)]
            low, high = (float(known.min()), float(known.max())) if known.size else (math.nan,) * 2
            norm = largest  # inf, or nan
    return Measure(array.size, norm, largest, zeros, bad, low, high)


def _norm(magnitudes: np.ndarray, largest: float) -> float:
    if 1e-140 < largest < 1e140:
        return math.sqrt(float(np.dot(magnitudes, magnitudes)))
    if largest == 0:
        return 0.0
    scaled = magnitudes / largest  # the squares would over- or underflow
    return largest * math.sqrt(float(np.dot(scaled, scaled)))


def together(measures: Sequence[Measure]) -> Measure:
    """Return the figures of several arrays taken as one."""
    if len(measures) == 1:
        return measures[0]
    lows = [m.low for m in measures if not math.isnan(m.low)]
    highs = [m.high for m in measures if not math.isnan(m.high)]
    largest = [m.largest for m in measures]
    return Measure(
        sum(m.size for m in measures),
        math.hypot(*[m.norm for m in measures]),
        math.nan if any(map(math.isnan, largest)) else max(largest, default=0.0),
        sum(m.zeros for m in measures),
        sum(m.bad for m in measures),
        min(lows, default=math.nan),
        max(highs, default=math.nan),
    )


__all__ = ["Measure", "measure", "together"]
