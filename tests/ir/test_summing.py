"""Sums as products with ones: where they are, that they are right, and NumPy's bits if exact."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.ops import reducing

SHAPES: list[tuple[tuple[int, ...], Any]] = [
    ((8, 5), 0),
    ((8, 5), 1),
    ((8, 5), (0,)),
    ((4, 3, 5), (0, 1)),
    ((4, 3, 5), (1, 2)),
    ((4, 3, 5), 2),
    ((4, 3, 5), 0),
    ((2, 3, 4, 5), (2, 3)),
]
ELSEWHERE: list[tuple[tuple[int, ...], Any]] = [
    ((4, 3, 5), 1),
    ((4, 3, 5), (0, 2)),
    ((7,), 0),
    ((1, 5), 0),
    ((0, 5), 0),
    ((5, 0), 0),
    ((3, 5000), 1),
    ((2**17 + 1, 2), 0),
]


def compiled(shape: tuple[int, ...], axis: Any, keepdims: bool, dtype: Any, exact: bool) -> Any:
    def f(x: Any) -> Any:
        doubled = x + x
        total = np.sum(doubled, axis=axis, keepdims=keepdims)
        return np.sum(doubled, axis=axis, keepdims=keepdims), total * total

    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    g = pb.compile(f, exact=exact)
    return f(x), g(x), g.inspect(x).source


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_a_sum_over_rows_or_columns_is_a_product(
    shape: tuple[int, ...], axis: Any, keepdims: bool, dtype: Any
) -> None:
    expected, found, source = compiled(shape, axis, keepdims, dtype, False)
    assert "dot(" in source
    assert "add_reduce" not in source
    for a, b in zip(expected, found, strict=True):
        assert (a.dtype, a.shape, a.strides) == (b.dtype, b.shape, b.strides)
        np.testing.assert_allclose(a, b, rtol=1e-5 if dtype == "f4" else 1e-13, atol=1e-5)


@pytest.mark.parametrize(("shape", "axis"), [*SHAPES, *ELSEWHERE])
def test_exact_mode_has_the_bits_of_numpy(shape: tuple[int, ...], axis: Any) -> None:
    expected, found, source = compiled(shape, axis, False, "f8", True)
    assert "dot(" not in source
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("shape", "axis"), ELSEWHERE)
def test_other_sums_are_reductions(shape: tuple[int, ...], axis: Any) -> None:
    expected, found, source = compiled(shape, axis, False, "f8", False)
    assert "dot(" not in source
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize("dtype", ["i8", "i4", "c16", "f2", "?"])
def test_other_dtypes_keep_their_bits(dtype: str) -> None:
    expected, found, source = compiled((4, 3), 0, False, dtype, False)
    assert "dot(" not in source
    for a, b in zip(expected, found, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_sums_of_transposed_and_strided_arrays_are_right() -> None:
    def f(x: Any) -> Any:
        return np.sum(x.T, axis=0), np.sum(x[::2], axis=1), np.sum(x[:, ::-1], axis=0)

    x = np.random.default_rng(0).standard_normal((6, 4))
    for a, b in zip(f(x), pb.compile(f)(x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_inf_and_nan_arrive_and_an_overflow_warns() -> None:
    x = np.array([[np.inf, 1.0, 2.0], [3.0, np.nan, 4.0]])
    f = pb.compile(lambda x: np.sum(x, axis=0))
    np.testing.assert_array_equal(f(x), np.sum(x, axis=0))
    with pytest.warns(RuntimeWarning, match="overflow"):
        f(np.full((2, 3), 1.5e308))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", ["sum", "max", "min"])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((5, 8, 2, 9, 2, 3), (2, 4)),
        ((9, 7, 2, 5, 2), (2, 4)),
        ((40, 3, 5), 1),
        ((40, 2, 2, 4), (1, 2)),
        ((30, 1, 3, 4), (1, 2)),
        ((2, 60, 3, 2), (0, 2)),
    ],
)
def test_entries_that_lie_apart_are_reduced_all_results_at_a_time(
    shape: tuple[int, ...], axes: Any, keepdims: bool, name: str, dtype: str
) -> None:
    def f(x: Any) -> Any:
        found = getattr(np, name)(x + x, axis=axes, keepdims=keepdims)
        return found, found * found

    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    x[0, ..., 0] = np.nan
    g = pb.compile(f)
    assert "slice_by_slice(" in g.inspect(x).source
    assert "slice_by_slice(" not in pb.compile(f, exact=True).inspect(x).source
    for a, b in zip(f(x), g(x), strict=True):
        assert (a.dtype, a.shape, a.strides) == (b.dtype, b.shape, b.strides)
        np.testing.assert_allclose(a, b, rtol=1e-5 if dtype == "f4" else 1e-13, atol=1e-5)


@pytest.mark.parametrize("block", [1, 50, 1 << 18])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axes", [(-4, -2), (-3, -2), (-5, -2), (-4, -3, -2), (-4,), (-4, -1)])
def test_axes_are_reduced_one_after_the_other_in_blocks(
    monkeypatch: pytest.MonkeyPatch, block: int, keepdims: bool, axes: tuple[int, ...]
) -> None:
    monkeypatch.setattr(reducing, "BLOCK", block)
    x = np.random.default_rng(1).integers(-9, 9, (7, 2, 3, 2, 4)).astype(float)
    for whole in (x, x[:, :1], x[:, :, :1], x[..., :1, :]):
        for ufunc in (np.add, np.maximum):
            entries = math.prod([whole.shape[a] for a in axes])
            if entries > 1:
                found = reducing.slice_by_slice(ufunc, axes, whole, keepdims, None)
                expected = ufunc.reduce(whole, axis=axes, keepdims=keepdims)
                np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(4099, 3), (300, 20, 6), (1000, 2, 16), (5, 7), (1, 4)])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_columns_are_reduced_in_long_rows(
    shape: tuple[int, ...], keepdims: bool, count: int
) -> None:
    if count >= len(shape):
        shape = (shape[0], 1, *shape[1:])
    x = np.random.default_rng(1).integers(-9, 9, shape).astype(float)
    x[0, ..., 0] = np.nan
    for ufunc in (np.add, np.maximum):
        expected = ufunc.reduce(x, axis=tuple(range(count)), keepdims=keepdims)
        found = reducing.reduce_columns(ufunc, count, x, keepdims, None)
        np.testing.assert_array_equal(found, expected)
        rows = np.repeat(np.empty_like(expected)[..., None], 2, axis=-1)
        for out in (np.empty_like(expected), rows[..., 0]):
            assert reducing.reduce_columns(ufunc, count, x, keepdims, out) is out
            np.testing.assert_array_equal(out, expected)


def test_greatest_and_least_of_columns_have_gradients() -> None:
    x = np.random.default_rng(2).permutation(6000.0 * np.arange(1, 6001) % 6007).reshape(1000, 6)

    def loss(x: Any) -> Any:
        return np.sum(np.max(x * x, axis=0) * np.min(x * 2, axis=0))

    dx = pb.grad(loss)(x)
    expected = np.zeros_like(x)
    greatest, least = x.argmax(axis=0), x.argmin(axis=0)
    k = np.arange(6)
    expected[greatest, k] += 2 * x[greatest, k] * 2 * x[least, k]
    expected[least, k] += 2 * x[greatest, k] ** 2
    np.testing.assert_allclose(dx, expected)
    assert "reduce_columns(" in pb.grad(loss).inspect(x).source
    assert "reduce_columns(" not in pb.grad(loss, exact=True).inspect(x).source
