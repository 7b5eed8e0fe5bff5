"""`out=`, `where=`, `casting=`, `dtype=` and `order=` of ufuncs and functions, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import against_numpy as against
import numpy as np
import pytest

import pullback as pb
from pullback.ir.errors import UnsupportedError
from pullback.ir.op import ELEMENTWISE
from pullback.ir.samples import numbers

Case = Callable[..., Any]

ARRAYS: dict[str, Any] = {
    "f8": numbers(4, 4, low=0.2, high=1.5),
    "f4": numbers(4, 4, dtype="f4", low=0.2, high=1.5),
    "i4": numbers(4, 4, dtype="i4", low=1, high=6),
    "bool": numbers(4, 4) > 0,
    "c16": numbers(4, 4, dtype="c16"),
    "strided": numbers(8, 8)[::-2, ::2],
}
TARGETS: dict[str, Case] = {
    "f8": lambda: np.full((4, 4), 7.0),
    "f4": lambda: np.full((4, 4), 7, np.float32),
    "i8": lambda: np.full((4, 4), 7),
    "bool": lambda: np.full((4, 4), True),
    "c16": lambda: np.full((4, 4), 7 + 1j),
    "strided": lambda: np.full((8, 8), 7.0)[::2, ::-2],
    "transposed": lambda: np.full((4, 4), 7.0).T,
    "small": lambda: np.full((2, 4), 7.0),
    "large": lambda: np.full((2, 4, 4), 7.0),
}
MASK = np.array([True, False, True, False])

UFUNCS: dict[str, Case] = {
    "add": lambda x, o: np.add(x, x, out=o),
    "add number": lambda x, o: np.add(x, 1.5, o),
    "multiply row": lambda x, o: np.multiply(x, x[0], out=(o,)),
    "less": lambda x, o: np.less(x, 1, out=o),
    "sin": lambda x, o: np.sin(x, o),
    "unsafe": lambda x, o: np.add(x, 1, out=o, casting="unsafe"),
    "safe": lambda x, o: np.add(x, 1, out=o, casting="safe"),
    "dtype": lambda x, o: np.add(x, 1, out=o, dtype=np.float32),
    "signature": lambda x, o: np.add(x, 1, out=o, signature="dd->d"),
    "where": lambda x, o: np.add(x, 1, out=o, where=x != x[0]),
    "where row": lambda x, o: np.multiply(x[0], 2, out=o, where=MASK[:, None]),
    "where list": lambda x, o: np.negative(x, out=o, where=[True, False, True, True]),
    "where ints": lambda x, o: np.negative(x, out=o, where=np.arange(4)),
    "where false": lambda x, o: np.add(x, x, out=o, where=False),
    "scalars": lambda x, o: np.add(x[0, 0], 2, out=o),
    "into itself": lambda x, o: (np.add(o, x, out=o), o)[1],
    "shifted": lambda x, o: np.add(o[1:], o[:-1], out=o[:-1]),
    "matmul": lambda x, o: np.matmul(x, x, out=o),
    "matmul of one": lambda x, o: np.matmul(x, x[None], out=o),
    "matmul row": lambda x, o: np.matmul(x, x[0], out=o[0]),
    "divmod": lambda x, o: np.divmod(x, 2, out=(o, np.zeros((4, 4)))),
    "divmod half": lambda x, o: np.divmod(x, 2, out=(None, o)),
    "modf": lambda x, o: np.modf(x, o, np.zeros((4, 4))),
    "reduce": lambda x, o: np.add.reduce(x, axis=0, out=o[0]),
    "reduce max": lambda x, o: np.maximum.reduce(x, 0, None, o[:, 1]),
    "accumulate": lambda x, o: np.subtract.accumulate(x, axis=1, out=o),
    "reduceat": lambda x, o: np.add.reduceat(x, [0, 2, 1, 3], out=o),
    "outer": lambda x, o: np.multiply.outer(x[0], x[1], out=o),
    "iadd view": lambda x, o: np.add(o[0], 1, out=o[0]),
}
FUNCTIONS: dict[str, Case] = {
    "sum": lambda x, o: np.sum(x, axis=0, out=o[0]),
    "sum keepdims": lambda x, o: np.sum(x, axis=0, keepdims=True, out=o[:1]),
    "sum all": lambda x, o: np.sum(x, out=o[0, 0, ...]),
    "sum dtype": lambda x, o: x.sum(1, np.float64, o[1]),
    "prod": lambda x, o: np.prod(x, axis=0, out=o[0]),
    "max": lambda x, o: x.max(axis=1, out=o[0]),
    "min initial": lambda x, o: np.min(x, axis=1, initial=1, out=o[0]),
    "any": lambda x, o: np.any(x, axis=0, out=o[0]),
    "all where": lambda x, o: np.all(x, axis=0, out=o[0], where=MASK),
    "cumsum": lambda x, o: np.cumsum(x, axis=0, out=o),
    "cumprod": lambda x, o: x.cumprod(axis=1, out=o),
    "cumulative_sum": lambda x, o: np.cumulative_sum(x, axis=0, out=o),
    "mean": lambda x, o: np.mean(x, axis=0, out=o[0]),
    "mean all": lambda x, o: x.mean(out=o[0, 0, ...]),
    "argmax": lambda x, o: np.argmax(x.real, axis=0, out=o[0]),
    "argmin method": lambda x, o: x.real.argmin(0, o[0]),
    "trace": lambda x, o: np.trace(x[None] * np.ones((4, 1, 1)), axis1=1, axis2=2, out=o[0]),
    "clip": lambda x, o: np.clip(x, 0.5, 1, out=o),
    "clip method": lambda x, o: x.clip(1, out=o),
    "clip where": lambda x, o: np.clip(x, 0, 1, out=o, where=MASK),
    "round": lambda x, o: np.round(x, out=o),
    "round 1": lambda x, o: x.round(1, out=o),
    "round -1": lambda x, o: np.around(x * 30, -1, out=o),
    "fix": lambda x, o: np.fix(x, out=o),
    "isposinf": lambda x, o: np.isposinf(x, out=o),
    "take": lambda x, o: np.take(x, [1, 0, 3, 3], axis=0, out=o),
    "take method": lambda x, o: x.take([1, 0, 3, 3], out=o[0]),
    "compress": lambda x, o: np.compress([1, 1, 1, 1], x, axis=0, out=o),
    "choose": lambda x, o: np.choose([0, 1, 0, 1], [x, 2 * x], out=o),
    "concatenate": lambda x, o: np.concatenate([x[:1], x[1:]], out=o),
    "concatenate unsafe": lambda x, o: np.concatenate([x[:1], x[1:]], out=o, casting="unsafe"),
    "concatenate itself": lambda x, o: np.concatenate([o[1:], o[:1]], out=o),
    "concatenate None": lambda x, o: np.concatenate([x, x], axis=None, out=o),
    "stack": lambda x, o: np.stack([x[0], x[1], x[2], x[3]], axis=1, out=o),
    "dot": lambda x, o: np.dot(x, x, out=o),
    "dot method": lambda x, o: x.dot(x[0], out=o[0]),
    "outer": lambda x, o: np.outer(x[0], x[1], out=o),
    "einsum": lambda x, o: np.einsum("ij,jk", x, x, out=o),
}
# NumPy computes some of their steps in the dtype of `out`, so another one is refused.
SAME: dict[str, Case] = {
    "var": lambda x, o: np.var(x, axis=0, out=o[0]),
    "std": lambda x, o: x.std(axis=0, out=o[0]),
    "ptp": lambda x, o: np.ptp(x, axis=0, out=o[0]),
    "median": lambda x, o: np.median(x, axis=0, out=o[0]),
    "quantile": lambda x, o: np.quantile(x, 0.3, axis=0, out=o[0]),
    "percentile": lambda x, o: np.percentile(x, 30, axis=0, out=o[0]),
    "nansum": lambda x, o: np.nansum(x, axis=0, out=o[0]),
    "nanmean": lambda x, o: np.nanmean(x, axis=0, out=o[0]),
    "nanmax": lambda x, o: np.nanmax(x, axis=0, out=o[0]),
    "nanstd": lambda x, o: np.nanstd(x, axis=0, out=o[0]),
    "nanmedian": lambda x, o: np.nanmedian(x, axis=0, out=o[0]),
    "nanquantile": lambda x, o: np.nanquantile(x, 0.3, axis=0, out=o[0]),
    "nancumsum": lambda x, o: np.nancumsum(x, axis=0, out=o),
}
CASES = {**UFUNCS, **FUNCTIONS}


def writing(case: Case, target: Case) -> Case:
    """Return a function of what a call returns, whether that is `out`, and what `out` holds."""

    def function(x: Any) -> Any:
        out = target()
        view = out[:1]
        result = case(x, out)
        return result, out, view, result is out

    return function


@pytest.mark.parametrize("case", CASES)
def test_values_dtypes_and_errors_are_those_of_numpy(case: str) -> None:
    for target in TARGETS.values():
        for x in ARRAYS.values():
            against.compare(writing(CASES[case], target), (x,))


@pytest.mark.parametrize("case", SAME)
def test_functions_that_take_an_array_of_the_dtype_of_the_result(case: str) -> None:
    against.compare(writing(SAME[case], TARGETS["f8"]), (ARRAYS["f8"],))
    against.compare(writing(SAME[case], TARGETS["strided"]), (ARRAYS["strided"],))
    against.compare(writing(SAME[case], TARGETS["f4"]), (ARRAYS["f4"],))


def test_another_dtype_is_refused_where_numpy_computes_in_it() -> None:
    with pytest.raises(UnsupportedError, match="float32 for a result of dtype float64"):
        pb.compile(writing(SAME["var"], TARGETS["f4"]))(ARRAYS["f8"])


FLAWED = (
    "dtype",
    "where ints",
    "safe",
    "concatenate None",
    "signature",
    "dot method",
    "argmax",
    "argmin method",
)
"""Computed in float32, or refused by NumPy."""


@pytest.mark.parametrize("case", [c for c in {**CASES, **SAME} if c not in FLAWED])
def test_gradients(case: str) -> None:
    x = ARRAYS["f8"]
    function = {**CASES, **SAME}[case]

    def result(x: Any) -> Any:
        out = np.zeros((4, 4)) + x * 0.5
        function(x, out)
        return out

    against.differentiate(result, (x,))


@pytest.mark.parametrize(
    "ufunc", [u for u in ELEMENTWISE if getattr(np, u.__name__, None) is u], ids=str
)
def test_what_a_mask_leaves_out_is_not_computed(ufunc: np.ufunc) -> None:
    op = ELEMENTWISE[ufunc]
    if any(dtype.kind != "f" for dtype in _loop(ufunc)):
        return  # integers have no values that warn, with 1 for those left out
    values = [np.array([low + 0.3 * (high - low), np.nan, np.inf]) for low, high in op.domain]
    mask = np.array([True, False, False])

    def function(*operands: Any) -> Any:
        return ufunc(*operands, out=np.zeros(3), where=mask)

    expected = function(*values)
    found = pb.compile(function, exact=True)(*values)
    assert against.same_bits(found, expected)
    if op.has_gradient:
        slopes = pb.grad(lambda *v: np.sum(function(*v)), argnums=tuple(range(ufunc.nin)))(*values)
        assert all(np.all(s[1:] == 0) for s in slopes)


def _loop(ufunc: np.ufunc) -> tuple[np.dtype, ...]:
    try:
        return ufunc.resolve_dtypes((np.dtype(float),) * ufunc.nin + (None,))[:-1]
    except TypeError:
        return (np.dtype(object),)


def test_where_without_out_leaves_elements_without_a_value() -> None:
    with pytest.raises(UnsupportedError, match="without out="):
        pb.compile(lambda x: np.sqrt(x, where=x > 0))(np.array([1.0, -1.0]))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.add(x, 1, out=x[0, 0]),
        lambda x: np.sum(x, out=3.0),
        lambda x: np.add(x, 1, out=np.broadcast_to(x[0], x.shape)),
        lambda x: np.add(x, 1, out=[0.0]),
        lambda x: np.sum(x, out=(x, x)),
        lambda x: np.add(x, 1, bad=3),
        lambda x: np.add(x, 1, out=(x, x)),
        lambda x: np.add(x, 1, dtype=float, signature="dd->d"),
        lambda x: np.concatenate([x, x], out=np.zeros((8, 4)), dtype=float),
    ],
)
def test_errors(function: Case) -> None:
    against.compare(function, (ARRAYS["f8"],))


@pytest.mark.parametrize("order", ["C", "F", "A", "K"])
def test_order_says_how_a_fresh_result_lies_in_memory(order: Any) -> None:
    def function(x: Any) -> Any:
        y = np.add(x, 1, order=order)
        return y, y.ravel("K"), len(y.strides)

    for x in (numbers(3, 4), np.asfortranarray(numbers(3, 4)), numbers(3, 4).T):
        against.compare(function, (x,))


def test_an_argument_is_written_into() -> None:
    def function(x: Any, out: Any) -> None:
        np.multiply(x, 2, out=out)

    out = np.zeros(3)
    pb.compile(function)(np.arange(3.0), out)
    assert out.tolist() == [0, 2, 4]
