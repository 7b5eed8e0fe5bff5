"""The memory order that values would have in NumPy, found without making them."""

from __future__ import annotations

import numpy as np
import pytest

from pullback.ir.builder import Builder
from pullback.ir.core import Value
from pullback.ir.op import Op
from pullback.ir.ops.shape import Reshape, Transpose
from pullback.ir.types import ArrayType, layout_of, type_of


def layout_after(op: Op, x: np.ndarray) -> tuple[int, ...] | None:
    builder = Builder()
    (result,) = builder.emit(op, [builder.param(Value(type_of(x), "x", None, layout_of(x)))])
    return result.layout


FORMS = {
    "transposed": np.zeros((4, 6)).T,
    "columns": np.zeros((4, 6))[:, ::2],
    "reversed": np.zeros((4, 6))[::-1],
    "fortran": np.zeros((4, 6), order="F"),
    "plain": np.zeros((4, 6)),
    "empty": np.zeros((4, 0)).T,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(-1,), (2, 2, -1), (-1, 1, 2), (1, -1)], ids=str)
def test_reshapes_are_views_or_copies_as_in_numpy(form: str, shape: tuple[int, ...]) -> None:
    x = FORMS[form]
    if x.size == 0:
        shape = tuple(max(n, 0) for n in shape)
    result = x.reshape(shape)
    assert layout_after(Reshape(result.shape, 2), x) == layout_of(result)


def test_the_layout_of_a_large_copy_reads_no_memory() -> None:
    big = ArrayType(np.dtype(float), (20_000, 20_000))
    assert Reshape((400_000_000,), 2).layouts([big], [(8, 160_000)]) is None


def test_a_transposed_array_is_not_in_c_order() -> None:
    x = np.zeros((3, 4))
    assert layout_after(Transpose((-1, -2)), x) == x.T.strides
    assert layout_after(Transpose((-1, -2)), x.T) is None
