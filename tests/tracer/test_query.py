"""Questions about arrays, positions of elements, index expressions, iteration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import against_numpy as against
import numpy as np
import pytest

import pullback as pb
from pullback.ir.errors import ConcretizationError, UnsupportedError
from pullback.ir.samples import numbers

Case = Callable[..., Any]

INDEX = np.array([[0, 5, 11], [3, 2, 7]])
DTYPES = ("f8", "f4", "i4", "c16")


def flat_stores(x: Any) -> Any:
    x = x.copy()
    x.flat[3] = 7
    x.flat[::5] = [1, 2]
    x.flat[[1, 1]] = x[2, :2]
    return x


def flat_store_of_transposed(x: Any) -> Any:
    x = x.T.copy().T
    x.flat = 3
    x.flat[1:4] = x[:, 0]
    return x


def filled_in_place(x: Any) -> Any:
    y = x.copy()
    return y, np.nan_to_num(y, copy=False, nan=5)


CASES: dict[str, Case] = {
    "r_": lambda x, i: np.r_[x[0], 0, x[1], 2.5],
    "r_ matrix": lambda x, i: (np.r_[x, x], np.r_["1", x, x], np.r_["0,2", x[0], x]),
    "r_ columns": lambda x, i: np.r_["0,2,0", x[0], x[0]],
    "r_ range": lambda x, i: np.r_[1:4, x[0, 0], x[0]],
    "r_ points": lambda x, i: np.r_[0 : x[0, 0].real : 5j],
    "r_ lists": lambda x, i: np.r_[x[0], [1, 2], True],
    "r_ scalars": lambda x, i: np.r_[x[0, 0], 1],
    "c_": lambda x, i: (np.c_[x[0], x[1]], np.c_[x, x[:, 0]], np.c_[x[0], 1:5], np.c_[x]),
    "mgrid": lambda x, i: np.mgrid[0 : x[0, 0].real : 5j],
    "mgrid 2": lambda x, i: np.mgrid[0 : x[0, 0].real : 5j, x[0, 1].real : 2 : 3j],
    "mgrid one": lambda x, i: np.mgrid[0 : x[0, 0].real : 1j, :2:2j],
    "mgrid static": lambda x, i: x[0, 0] * np.mgrid[0:2, 0:3],
    "ogrid": lambda x, i: np.ogrid[0 : x[0, 0].real : 5j, x[0, 1].real : 2 : 3j],
    "s_": lambda x, i: (np.s_[x][0], np.index_exp[x, 1][0]),
    "ix_": lambda x, i: x[np.ix_([0, 2], [1, 3])],
    "ix_ mask": lambda x, i: x[np.ix_([True, False, True], [1, 3])],
    "ix_ traced": lambda x, i: x[np.ix_((x[:, 0].real > 0).astype(int), [1, 3])],
    "ix_ traced mask": lambda x, i: x[np.ix_(x[:, 0].real > 0, [1, 3])],
    "ix_ matrix": lambda x, i: np.ix_(x),
    "tril_indices_from": lambda x, i: x[np.tril_indices_from(x)],
    "triu_indices_from": lambda x, i: x[np.triu_indices_from(x, 1)],
    "tril of a vector": lambda x, i: np.tril_indices_from(x[0]),
    "diag_indices_from": lambda x, i: x[:3, :3][np.diag_indices_from(x[:3, :3])],
    "diag of a wide one": lambda x, i: np.diag_indices_from(x),
    "static positions": lambda x, i: (
        x[np.diag_indices(3)], x[np.tril_indices(3)], x[np.mask_indices(3, np.triu)],
        x[:, :3] * np.indices((3, 3))[0],
    ),
    "unravel_index": lambda x, i: np.unravel_index(i, (3, 4)),
    "unravel_index F": lambda x, i: np.unravel_index(i[0, 1], (3, 4), order="F"),
    "unravel_index far": lambda x, i: np.unravel_index(i + 3, (3, 4)),
    "unravel_index flat": lambda x, i: np.unravel_index(i, 12),
    "unravel_index values": lambda x, i: np.unravel_index(x, 12),
    "unravel argmax": lambda x, i: x[np.unravel_index(np.argmax(x), x.shape)],
    "ravel_multi_index": lambda x, i: np.ravel_multi_index((i % 3, i % 4), (3, 4)),
    "ravel wrap": lambda x, i: np.ravel_multi_index((i, i), (3, 4), mode="wrap"),
    "ravel modes": lambda x, i: np.ravel_multi_index((i, i), (3, 4), ("clip", "wrap"), "F"),
    "ravel far": lambda x, i: np.ravel_multi_index((i, i), (3, 4)),
    "ravel array": lambda x, i: np.ravel_multi_index(i, (12, 12)),
    "ravel scalars": lambda x, i: np.ravel_multi_index((i[0, 0], 2), (12, 12)),
    "ravel uneven": lambda x, i: np.ravel_multi_index(i, (12, 12, 12)),
    "ndenumerate": lambda x, i: [k[0] * v for k, v in np.ndenumerate(x)],
    "ndindex": lambda x, i: sum(x[k] for k in np.ndindex(*x.shape)),
    "flat": lambda x, i: (x.flat[3], x.flat[1:3], x.flat[[0, 2]], len(x.flat), x.T.flat[1:5]),
    "flat loop": lambda x, i: [v * 2 for v in x.flat],
    "flat arrays": lambda x, i: (np.sum(x.flat), np.array(x.flat), np.sin(x.flat), x.flat == 2),
    "flat joined": lambda x, i: np.concatenate([x.flat, x[0]]),
    "flat far": lambda x, i: x.flat[99],
    "flat mask": lambda x, i: x.flat[x.real > 0],
    "flat stores": lambda x, i: flat_stores(x),
    "flat of transposed": lambda x, i: flat_store_of_transposed(x),
    "nan_to_num": lambda x, i: np.nan_to_num(x, nan=x[0, 0].real),
    "nan_to_num in place": lambda x, i: filled_in_place(x),
    "copies": lambda x, i: [
        *x.copy().strides, *x.copy("F").strides, *x.T.copy("K").strides, *np.copy(x.T).strides,
    ],
    "copy of a list": lambda x, i: np.copy([x[0], x[1]]),
    "real_if_close": lambda x, i: np.real_if_close(x.real),
    "isscalar": lambda x, i: [int(np.isscalar(x[0, 0])), int(np.isscalar(x)), x],
    "iterable": lambda x, i: [int(np.iterable(x)), int(np.iterable(x[0, 0])), x],
    "shapes": lambda x, i: [*np.broadcast_shapes(x.shape, (1, 1, 4)), x],
    "dtypes": lambda x, i: [
        int(np.promote_types(x.dtype, "f4") == np.result_type(x, np.float32)),
        int(np.isdtype(x.dtype, "real floating")),
        int(np.common_type(x.real.astype(float), np.ones(2, "f4")) is np.float64),
        x,
    ],
    "einsum_path": lambda x, i: len(np.einsum_path("ij,jk->ik", x, x.T)[0]) * x,
    "equal": lambda x, i: (
        np.array_equal(x, x), np.array_equiv(x, x[0]), np.allclose(x, x + 1), np.isclose(x, x),
    ),
    "matrix_transpose": lambda x, i: np.matrix_transpose(x),
    "block": lambda x, i: np.block([[x, x], [x[:1], x[1:2]]]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_answers_are_those_of_numpy(name: str) -> None:
    for dtype in DTYPES:
        x = numbers(3, 4, dtype=dtype, low=-4, high=5)
        against.compare(CASES[name], [x, INDEX])


def test_special_values_are_replaced_in_place() -> None:
    against.compare(filled_in_place, [np.array([1, np.nan, np.inf, -np.inf])])
    against.compare(filled_in_place, [np.array([1, np.nan, complex(0, np.inf), -np.inf])])
    against.compare(lambda z: np.nan_to_num(z, nan=1j), [np.ones(2, complex)])


DIFFERENTIABLE: dict[str, Case] = {
    "r_": lambda x: np.r_[x[0], x[0, 0] * x[1], 2.5],
    "c_": lambda x: np.c_[x[0], x[1] * x[0]],
    "mgrid": lambda x: np.mgrid[0 : x[0, 0] : 5j, x[0, 1] : 2 : 3j] ** 2,
    "ndenumerate": lambda x: [(k[0] + 1) * v * v for k, v in np.ndenumerate(x)],
    "ix_": lambda x: x[np.ix_([0, 2], [1, 1])] ** 2,
    "flat": lambda x: sum(v * v for v in x.flat),
    "flat stores": flat_stores,
    "nan_to_num": lambda x: np.nan_to_num(x * x),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    against.differentiate(DIFFERENTIABLE[name], [numbers(3, 4)])


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: np.real_if_close(x * 1j), ConcretizationError, "np.real"),
        (lambda x: np.r_["r", x], UnsupportedError, "matrix directive"),
        (lambda x: np.mgrid[0 : x[0]], UnsupportedError, "number of points"),
        (lambda x: np.nditer(x), UnsupportedError, "ndindex"),
        (lambda x: np.broadcast(x, x), UnsupportedError, "broadcast_shapes"),
        (lambda x: np.shares_memory(x, x), UnsupportedError, "shares_memory"),
        (lambda x: np.array_str(x) + np.array2string(x), UnsupportedError, "known only when"),
    ],
)
def test_refusals_say_what_to_write(function: Case, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pb.compile(function)(np.ones(3))
