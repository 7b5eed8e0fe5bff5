"""`numpy.emath` against NumPy, of complex numbers; of real ones it is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import against_numpy as against
import numpy as np
import pytest

import pullback as pb

Z = np.array([0.3 + 0.2j, -1.5 + 0.4j, 2.0 - 1.0j])
NAMES = ("sqrt", "log", "log2", "log10", "arccos", "arcsin", "arctanh")
CASES: dict[str, Callable[..., Any]] = {
    **{name: (lambda z, name=name: getattr(np.emath, name)(z)) for name in NAMES},
    "power": lambda z: np.emath.power(z, 3),
    "power of traced": lambda z: np.emath.power(z, z),
    "logn": lambda z: np.emath.logn(2, z),
    "logn of traced": lambda z: np.emath.logn(z[0], z),
    "list": lambda z: np.emath.sqrt([z[0], z[1]]),
}


@pytest.mark.parametrize("name", CASES)
def test_of_complex_numbers_it_is_as_in_numpy(name: str) -> None:
    against.compare(CASES[name], [Z])
    against.compare(CASES[name], [Z.astype(np.complex64)])
    against.differentiate(CASES[name], [Z])


@pytest.mark.parametrize("name", [*NAMES, "power"])
def test_of_real_numbers_values_decide_on_the_type(name: str) -> None:
    with pytest.raises(pb.UnsupportedError, match=rf"Write np.{name} for real results"):
        pb.compile(CASES[name])(Z.real)
