"""The memory order of joined arrays is NumPy's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pullback.ir.builder import Builder
from pullback.ir.core import Value
from pullback.ir.ops.shape import Concatenate
from pullback.ir.types import c_strides, layout_of, type_of

FORMS = [
    np.zeros((3, 4, 2)),
    np.zeros((2, 4, 3)).T,
    np.zeros((4, 3, 2)).transpose(1, 0, 2),
    np.zeros((3, 2, 4)).transpose(0, 2, 1)[:, ::-1],
    np.zeros((3, 4, 4))[:, :, ::2],
    np.broadcast_to(np.zeros((4, 2)), (3, 4, 2)),
    np.asfortranarray(np.zeros((1, 4, 2))),
    np.zeros((3, 1, 2)).T.T,
]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("pair", list(itertools.product(range(8), repeat=2)), ids=str)
def test_layouts_of_joined_arrays(pair: tuple[int, int], axis: int) -> None:
    arrays = [FORMS[k] for k in pair]
    rest = [a.shape[:axis] + a.shape[axis + 1 :] for a in arrays]
    if rest[0] != rest[1]:
        arrays[1] = arrays[0]
    builder = Builder()
    params = [builder.param(Value(type_of(a), "x", None, layout_of(a))) for a in arrays]
    (result,) = builder.emit(Concatenate(axis - 3), params)
    expected = np.concatenate(arrays, axis)
    found = result.layout or c_strides(expected.itemsize, expected.shape)
    for n, a, b in zip(expected.shape, found, expected.strides, strict=True):
        assert n == 1 or a == b
