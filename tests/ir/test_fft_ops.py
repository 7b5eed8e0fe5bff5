"""The ops of Fourier transforms: transposes, memory order, precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback.ir.errors import DTypeError
from pullback.ir.ops.fft import (
    Fft,
    InverseFft,
    InverseRealFft,
    InverseRealFftTranspose,
    RealFft,
    RealFftTranspose,
    Transformed,
    resized,
)
from pullback.ir.samples import numbers
from pullback.ir.types import layout_of, type_of


@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8])
def test_real_transforms_and_their_transposes_pair_up(n: int, norm: str) -> None:
    half = n // 2 + 1
    pairs: list[tuple[Transformed, Transformed, Any, Any]] = [
        (
            RealFft(n, -1, norm),
            RealFftTranspose(n, -1, norm),
            numbers(n),
            numbers(half, dtype="c16"),
        ),
        (
            InverseRealFft(n, -1, norm),
            InverseRealFftTranspose(n, -1, norm),
            numbers(half, dtype="c16"),
            numbers(n, seed=1),
        ),
    ]
    for op, transpose, x, g in pairs:
        left = np.sum(np.real(g * op.evaluate(x)))
        right = np.sum(np.real(transpose.evaluate(g) * x))
        assert left == pytest.approx(right, rel=1e-12)


def test_the_first_elements_alone_are_kept() -> None:
    g = numbers(2, 4, dtype="c16")
    whole, part = RealFftTranspose(6).evaluate(g), RealFftTranspose(6, keep=4).evaluate(g)
    assert np.array_equal(whole[:, :4], part)
    assert part.flags.c_contiguous


@pytest.mark.parametrize("op", [Fft(5, -2), InverseFft(3, -1), RealFft(4, -3), InverseRealFft(6)])
def test_layouts_are_those_of_numpy(op: Transformed) -> None:
    x = numbers(3, 4, 5)
    for view in (x.transpose(2, 0, 1), x[::-1], np.asfortranarray(x), x.swapaxes(0, 1)[::2]):
        (found,) = op.layouts([type_of(view)], [layout_of(view)]) or (None,)
        assert found == layout_of(op.evaluate(view))


def test_real_transforms_refuse_complex_numbers() -> None:
    with pytest.raises(DTypeError, match="rfft_n_even"):
        RealFft(4).infer(type_of(numbers(4, dtype="c16")))


def test_single_precision_stays() -> None:
    for op in (Fft(4), InverseFft(4), RealFft(4)):
        assert op.infer(type_of(numbers(4, dtype="f4")))[0].dtype == np.complex64
    assert InverseRealFft(4).infer(type_of(numbers(3, dtype="c8")))[0].dtype == np.float32


def test_resizing() -> None:
    x = numbers(2, 3)
    assert resized(x, -1, 3) is x
    assert np.array_equal(resized(x, -2, 1), x[:1])
    assert np.array_equal(resized(x, -1, 5), np.pad(x, ((0, 0), (0, 2))))
