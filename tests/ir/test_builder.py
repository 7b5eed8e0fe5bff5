"""What is emitted: constants are folded where all that an op needs is known."""

from __future__ import annotations

import numpy as np

from pullback.ir.builder import Builder
from pullback.ir.core import Literal, Value
from pullback.ir.dims import Dim, Symbol
from pullback.ir.ops.index import IndexUpdate, Span


def test_constants_are_folded() -> None:
    write = IndexUpdate((Span(1, 2, 1),))
    (made,) = Builder().emit(write, [Literal(np.zeros(3)), Literal(np.float64(2.0))])
    assert made == Literal(np.array([0.0, 2.0, 2.0]))


def test_a_place_that_only_the_run_knows_is_not_folded() -> None:
    start = Dim.of(Symbol("i", 0, 1))
    write = IndexUpdate((Span(start, 2, 1),))
    (made,) = Builder().emit(write, [Literal(np.zeros(3)), Literal(np.float64(2.0))])
    assert isinstance(made, Value)
