"""The methods of ufuncs, ufuncs with several results, and reductions with all their options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import against_numpy as against
import numpy as np
import pytest

import pullback as pb
from pullback.ir.errors import DifferentiationError
from pullback.ir.samples import numbers

Case = Callable[..., Any]

BINARY = sorted(
    (
        u
        for name in dir(np)
        if isinstance(u := getattr(np, name), np.ufunc) and u.__name__ == name
        if u.nin == 2 and u.nout == 1 and u is not np.ldexp  # whose operands differ in kind
    ),
    key=lambda u: u.__name__,
)
ARRAYS: dict[str, Any] = {
    "f8": numbers(3, 4, low=0.5, high=1.5),
    "f4 strided": numbers(6, 5, dtype="f4", low=0.5, high=1.5)[::-2, ::2],
    "i4": numbers(3, 2, dtype="i4", low=1, high=5),
    "u1": np.array([[3, 200, 7], [1, 2, 90]], "u1"),
    "bool": np.array([[True, False], [True, True], [False, True]]),
    "c16": numbers(3, 2, dtype="c16"),
    "f2": numbers(2, 3, dtype="f2", low=0.5, high=1.5),
    "longdouble": numbers(3, 2, dtype=np.longdouble, low=0.5, high=1.5),
    "special": np.array([[0.0, -0.0, np.inf], [np.nan, 1e300, -np.inf]]),
    "0-d": np.asarray(1.25),
    "empty": np.zeros((0, 3)),
    "no columns": np.zeros((2, 0)),
}
MASK = np.array([True, False, True])

EACH: dict[str, Case] = {
    "reduce": lambda u, x: u.reduce(x),
    "reduce last": lambda u, x: u.reduce(x, axis=-1, keepdims=True),
    "reduce all": lambda u, x: u.reduce(x, axis=None),
    "reduce none": lambda u, x: u.reduce(x, axis=()),
    "reduce initial": lambda u, x: u.reduce(x, axis=-1, initial=2),
    "reduce first": lambda u, x: u.reduce(x, initial=None),
    "reduce where": lambda u, x: u.reduce(x, axis=-1, where=x == x),
    "reduce where initial": lambda u, x: u.reduce(x, where=x.real > 1, initial=3),
    "reduce dtype": lambda u, x: u.reduce(x, dtype=np.float64),
    "accumulate": lambda u, x: u.accumulate(x),
    "accumulate last": lambda u, x: u.accumulate(x, axis=(0,), dtype=np.float64),
    "reduceat": lambda u, x: u.reduceat(x, [0, 1]),
    "reduceat last": lambda u, x: u.reduceat(x, np.array([1, 0, 1]), axis=-1),
    "outer": lambda u, x: u.outer(x, np.float64(0.5)),
    "outer both": lambda u, x: u.outer(x[..., 0], x),
}


@pytest.mark.parametrize("method", EACH)
@pytest.mark.parametrize("ufunc", BINARY, ids=lambda u: u.__name__)
def test_methods_are_those_of_numpy(ufunc: np.ufunc, method: str) -> None:
    function = EACH[method]
    whole = ufunc.__name__ in ("add", "subtract", "logaddexp", "maximum", "logical_and", "hypot")
    labels = ARRAYS if whole else ("f8", "i4", "c16")
    for label in labels:
        try:
            against.compare(lambda x: function(ufunc, x), [ARRAYS[label]])
        except BaseException as error:
            error.add_note(f"on {label}")
            raise


OPTIONS: dict[str, Case] = {
    "sum of chunks": lambda x: np.sum(np.repeat(x, 5000), dtype=np.float64),
    "sum complex": lambda x: np.add.reduce(x, dtype=complex),
    "sum integers": lambda x: np.sum(x, axis=0, dtype=np.int64),
    "sum narrow": lambda x: np.sum(x, dtype=np.float32, keepdims=True),
    "sum initial": lambda x: np.sum(x, axis=1, initial=0.25),
    "sum initial traced": lambda x: np.sum(x[1:], axis=0, initial=x[0, 0]),
    "sum initial None": lambda x: np.sum(-0 * x, initial=None),
    "sum initial vector": lambda x: np.sum(x, initial=x[0]),
    "sum initial complex": lambda x: np.sum(x, initial=1j),
    "sum where": lambda x: np.sum(x, axis=(0, 1), where=MASK),
    "sum where row": lambda x: np.sum(x, axis=-1, where=[[1], [0]]),
    "sum where ints": lambda x: np.sum(x, where=np.array([1, 0, 1])),
    "sum where large": lambda x: np.sum(x, where=np.ones((2, 2, 3), bool)),
    "sum where column": lambda x: x.sum(axis=0, where=x[:, :1] > 0, keepdims=True),
    "prod where": lambda x: np.prod(x, axis=0, where=MASK, initial=3),
    "max where": lambda x: np.max(x, axis=1, where=MASK, initial=0.5),
    "max initial": lambda x: x.max(initial=0.5),
    "max initial None": lambda x: np.max(x, initial=None),
    "min where": lambda x: np.min(x, where=x > 0, initial=9),
    "min without initial": lambda x: np.min(x, where=x > 0),
    "any where": lambda x: np.any(x > 0, axis=0, where=MASK),
    "all where": lambda x: np.all(x, axis=-1, keepdims=True, where=MASK),
    "axes": lambda x: (np.prod(x[None], axis=(0, -1)), np.max(x[None], axis=(1, 2))),
    "axes twice": lambda x: np.sum(x, axis=(0, 0)),
    "axis far": lambda x: np.add.accumulate(x, axis=2),
    "axis list": lambda x: np.add.reduce(x, axis=[0, 1]),
    "accumulate axes": lambda x: np.add.accumulate(x, axis=(0, 1)),
    "accumulate None": lambda x: np.add.accumulate(x[0], axis=None),
    "reduceat empty": lambda x: np.multiply.reduceat(x, [], axis=1),
    "reduceat far": lambda x: np.add.reduceat(x, [2]),
    "reduceat negative": lambda x: np.add.reduceat(x, [-1]),
    "reduceat one": lambda x: np.add.reduceat(x, 0),
    "reduceat dtype": lambda x: np.add.reduceat(x, [0, 2], 1, np.float32),
    "cumulative_sum": lambda x: np.cumulative_sum(x, axis=1),
    "cumulative_sum initial": lambda x: np.cumulative_sum(x, axis=0, include_initial=True),
    "cumulative_sum vector": lambda x: np.cumulative_sum(x[0], dtype=np.float32),
    "cumulative_sum no axis": lambda x: np.cumulative_sum(x),
    "cumulative_prod": lambda x: np.cumulative_prod(x, axis=-1, include_initial=True),
    "argmax axes": lambda x: np.argmax(x, axis=(0, 1)),
    "cumsum axes": lambda x: np.cumsum(x, axis=()),
    "not binary": lambda x: np.sin.reduce(x),
    "two results": lambda x: np.divmod.reduce(x),
    "core dims": lambda x: np.matmul.reduce(x),
    "core outer": lambda x: np.vecdot.outer(x, x),
    "unary outer": lambda x: np.sin.outer(x),
    "outer of two results": lambda x: np.divmod.outer(x[0], x[1]),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_are_those_of_numpy(name: str) -> None:
    for dtype in ("f8", "f4", "i4"):
        against.compare(OPTIONS[name], [numbers(2, 3, dtype=dtype, low=-4, high=4)])


DIFFERENTIABLE: dict[str, Case] = {
    "initial": lambda x: [u.reduce(x[1:], 0, initial=x[0, 0]) for u in FIXED],
    "where": lambda x: [u.reduce(x[1:], axis=0, where=MASK, initial=x[0, 0]) for u in MASKED],
    "rows": lambda x: [u.reduce(x, axis=-1) for u in FIXED],
    "accumulate": lambda x: [u.accumulate(x, axis=1) for u in (*FIXED, np.power, np.arctan2)],
    "reduceat": lambda x: [u.reduceat(x, [0, 2], axis=1) for u in MASKED],
    "reduceat overlapping": lambda x: [u.reduceat(x, [1, 2, 0, 1]) for u in MASKED],
    "reduceat dtype": lambda x: np.add.reduceat(x, [1, 2], dtype=complex).real,
    "sum dtype": lambda x: np.sum(x, axis=0, dtype=np.longdouble),
    "divmod": lambda x: np.divmod(x[0], 0.3 * x[1]),
    "parts": lambda x: (np.modf(x / 5 + 0.6), np.frexp(x / 5 + 0.6)[0], np.ldexp(x, 2)),
    "outer": lambda x: (np.divide.outer(x[0], x), np.arctan2.outer(x[0], x[1])),
    "cumulative_sum": lambda x: np.cumulative_sum(x, axis=0, include_initial=True),
}  # fmt: skip
FIXED = (
    np.add, np.subtract, np.multiply, np.divide, np.maximum, np.fmin, np.logaddexp, np.hypot,
    np.logaddexp2, np.copysign, np.fmod,
)  # fmt: skip
MASKED = FIXED[:9]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    against.differentiate(DIFFERENTIABLE[name], [numbers(3, 3, low=0.5, high=1.5)])


def test_complex_gradients_agree_with_finite_differences() -> None:
    x = numbers(3, 3, dtype="c16")
    for u in (np.add, np.subtract, np.multiply, np.divide):
        against.differentiate(lambda x, u=u: u.reduceat(x, [1, 0], initial_axis(x)), [x])
        against.differentiate(lambda x, u=u: u.reduce(x, where=MASK, initial=x[0, 0]), [x])


PARTS: dict[str, Case] = {
    "divmod": lambda x: np.divmod(x, 0.75),
    "divmod operator": lambda x: divmod(x, 2),
    "divmod dtype": lambda x: np.divmod(x, 2, dtype=np.float64),
    "modf": lambda x: np.modf(x),
    "modf dtype": lambda x: np.modf(x, dtype=np.float64),
    "frexp": lambda x: np.frexp(x),
    "frexp dtype": lambda x: np.frexp(x, dtype=np.float32),
    "ldexp": lambda x: np.ldexp(x, np.arange(x.shape[-1]) if x.ndim else 2),
    "isnat": lambda x: np.isnat(x),
    "matvec": lambda x: (np.matvec(x, x[0]), np.vecdot(x, x), np.vecmat(x[:, 0], x)),
}


@pytest.mark.parametrize("name", PARTS)
def test_ufuncs_of_several_results_are_those_of_numpy(name: str) -> None:
    for label, x in ARRAYS.items():
        if name == "matvec" and label == "c16":
            continue  # the products of complex numbers are added up in another order
        try:
            against.compare(PARTS[name], [x])
        except BaseException as error:
            error.add_note(f"on {label}")
            raise


def initial_axis(x: Any) -> int:
    return int(x.ndim - 1)


def test_ties_share_the_gradient_with_the_initial_value() -> None:
    x = np.array([2.0, 2.0, 1.0])
    gradient = pb.grad(lambda x: np.max(x, initial=2.0))(x)
    assert gradient.tolist() == [1 / 3, 1 / 3, 0]


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: np.power.reduce(x), DifferentiationError, "another order"),
        (lambda x: np.sum(np.remainder.reduceat(x, [0, 1])), DifferentiationError, "reduceat"),
        (
            lambda x: np.sum(np.add.reduceat(x, (x > 1).astype(int))),
            DifferentiationError,
            "only at run time",
        ),
        (lambda x: np.fmod.reduce(x, where=x > 1, initial=1.0), DifferentiationError, "where="),
    ],
)
def test_refusals_say_why(function: Case, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pb.grad(function)(numbers(3, low=0.5, high=1.5))


def test_positions_of_segments_may_be_traced() -> None:
    x, k = numbers(5), np.array([3, 0, 2])
    against.compare(lambda x, k: np.add.reduceat(x, k), [x, k])
    against.compare(lambda x, k: np.add.reduceat(x, k + 9), [x, k])
