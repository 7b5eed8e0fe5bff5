"""Functions and methods that write into their first argument, and `ufunc.at`, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import against_numpy as against
import numpy as np
import pytest

import pullback as pb
from pullback.ir.errors import DifferentiationError, UnsupportedError
from pullback.ir.op import ELEMENTWISE
from pullback.ir.samples import numbers

Case = Callable[..., Any]

ARRAYS: dict[str, Any] = {
    "f8": numbers(4, 3, low=0.2, high=1.5),
    "f4": numbers(4, 3, dtype="f4", low=0.2, high=1.5),
    "i4": numbers(4, 3, dtype="i4", low=1, high=6),
    "u1": np.arange(12, dtype="u1").reshape(4, 3),
    "bool": numbers(4, 3) > 0,
    "c16": numbers(4, 3, dtype="c16"),
    "strided": numbers(8, 6)[::-2, ::2],
    "fortran": np.asfortranarray(numbers(4, 3)),
    "vector": numbers(5),
    "cube": numbers(2, 2, 2),
    "0-d": np.asarray(1.5),
    "empty": np.zeros((0, 3)),
}
MASK = np.array([True, False, True])

FILLS: dict[str, Case] = {
    "fill": lambda x: x.fill(2.5),
    "fill element": lambda x: x.fill(x[..., 0][0]),
    "put": lambda x: np.put(x, [0, -1, 2], [5, 6, 7]),
    "put method": lambda x: x.put([1, 2], 1.5),
    "put few": lambda x: np.put(x, [0, 1, 2, 1], [5, 6]),
    "put wrap": lambda x: np.put(x, [0, 25, -30], [5, 6, 7], mode="wrap"),
    "put clip": lambda x: np.put(x, [0, 25, -30], [5, 6, 7], mode="clip"),
    "put out of bounds": lambda x: np.put(x, [0, 25], 1),
    "put empty": lambda x: np.put(x, [], [1]),
    "put floats": lambda x: np.put(x, [0.0], [1]),
    "put values": lambda x: np.put(x, [1, 0, 2], x.ravel() * 2),
    "put mode": lambda x: np.put(x, [0], 1, mode="no"),
    "place": lambda x: np.place(x, x != x.ravel()[1], [1, 2, 3]),
    "place values": lambda x: np.place(x, x != x.ravel()[1], 2 * x),
    "place static": lambda x: np.place(x, [[1, 0, 1]] * 4, 2),
    "place nothing": lambda x: np.place(x, x != x, 3),
    "place empty": lambda x: np.place(x, x == x, []),
    "place other size": lambda x: np.place(x, MASK, 1),
    "place float": lambda x: np.place(x, x == x, np.float64(1.5)),
    "place list": lambda x: np.place(x, x == x, [1.5, 2.5]),
    "putmask": lambda x: np.putmask(x, x != x.ravel()[1], [1, 2, 3, 4, 5]),
    "putmask same": lambda x: np.putmask(x, x != x.ravel()[0], x),
    "putmask double": lambda x: np.putmask(x, x == x, x * 2),
    "putmask complex": lambda x: np.putmask(x, x == x, 1j),
    "copyto": lambda x: np.copyto(x, x[:1] * 2),
    "copyto number": lambda x: np.copyto(x, 1),
    "copyto float": lambda x: np.copyto(x, 1.5),
    "copyto complex": lambda x: np.copyto(x, 1j),
    "copyto far": lambda x: np.copyto(x, 3000),
    "copyto list": lambda x: np.copyto(x, [1, 2, 3]),
    "copyto wide": lambda x: np.copyto(x, np.ones((1, 4, 3))),
    "copyto f8": lambda x: np.copyto(x, np.full((4, 3), 1.5)),
    "copyto unsafe": lambda x: np.copyto(x, np.full((4, 3), 1.5), casting="unsafe"),
    "copyto no": lambda x: np.copyto(x, np.ones((4, 3)), casting="no"),
    "copyto where": lambda x: np.copyto(x, x * 2, where=x != x.ravel()[0]),
    "copyto where row": lambda x: np.copyto(x, 7, where=MASK),
    "copyto where ints": lambda x: np.copyto(x, 7, where=np.arange(3)),
    "copyto where false": lambda x: np.copyto(x, 7, where=False),
    "copyto overlap": lambda x: np.copyto(x[1:], x[:-1]),
    "copyto wrong": lambda x: np.copyto(x, np.ones(2)),
    "fill_diagonal": lambda x: np.fill_diagonal(x, 7),
    "fill_diagonal wrap": lambda x: np.fill_diagonal(x, [7, 8], wrap=True),
    "fill_diagonal values": lambda x: np.fill_diagonal(x, x.ravel()),
    "fill_diagonal view": lambda x: np.fill_diagonal(x.T, 5),
    "fill_diagonal wide": lambda x: np.fill_diagonal(x[:2], [[1], [2]]),
    "put_along_axis": lambda x: np.put_along_axis(x, np.zeros((4, 1), int), 5, 1),
    "put_along_axis 0": lambda x: np.put_along_axis(x, np.array([[0, 3, 0]]), x[:1] * 2, 0),
    "put_along_axis None": lambda x: np.put_along_axis(x, np.array([0, 2]), [5, 6], None),
    "put_along_axis wrong": lambda x: np.put_along_axis(x, np.array([0.5]), 5, 0),
    "sort": lambda x: x.sort(),
    "sort axis": lambda x: x.sort(axis=0, kind="stable"),
    "sort None": lambda x: x.sort(axis=None),
    "sort row": lambda x: x[1].sort(),
    "partition": lambda x: x.partition(1),
    "partition axis": lambda x: x.partition(1, axis=0),
    "real": lambda x: setattr(x, "real", 2),
    "real values": lambda x: setattr(x, "real", x[::-1]),
    "imag": lambda x: setattr(x, "imag", x.real * 2),
    "flat": lambda x: setattr(x, "flat", [1, 2]),
    "flat item": lambda x: x.flat.__setitem__(slice(None, None, 2), 5),
    "flat transposed": lambda x: x.T.flat.__setitem__(slice(0, 4), 2 * x.ravel()[:4]),
    "transposed": lambda x: x.T.__setitem__((slice(None), 1), 9),
    "delete": lambda x: x.__delitem__(0),
    "nan_to_num": lambda x: np.nan_to_num(x, copy=False),
}
AT: dict[str, Case] = {
    "add": lambda x: np.add.at(x, [0, 1, 0], 1.5),
    "add values": lambda x: np.add.at(x, [0, 0, 3], x[:3]),
    "add ints": lambda x: np.add.at(x, [0, 0, 3], 2),
    "add last": lambda x: np.add.at(x, (slice(None), [0, 0, -1]), 2),
    "add pairs": lambda x: np.add.at(x, ([0, 0, 1], [1, 1, 2]), [1, 2, 3]),
    "add apart": lambda x: np.add.at(x[:, None] * 1, ([0, 0], slice(None), [1, 1]), 2),
    "add mask": lambda x: np.add.at(x, x != x.ravel()[0], 2),
    "add slice": lambda x: np.add.at(x, slice(1, 3), 2),
    "add int": lambda x: np.add.at(x, 1, x[0]),
    "add view": lambda x: np.add.at(x.T, [0, 0], 2),
    "add reshaped": lambda x: np.add.at(x.reshape(-1), [0, 0], 2),
    "add complex": lambda x: np.add.at(x, [0, 0], 1j),
    "add far": lambda x: np.add.at(x, [0, 7], 1),
    "add wrong": lambda x: np.add.at(x, [0, 0], [1, 2, 3, 4, 5]),
    "add single": lambda x: np.add.at(x, [0, 0, 1], np.full((3, 3), 0.3, "f4")),
    "subtract": lambda x: np.subtract.at(x, [0, 0, 1], 3),
    "multiply": lambda x: np.multiply.at(x, [0, 0, 1], 1.1),
    "divide": lambda x: np.divide.at(x, [0, 0, 1], 1.1),
    "maximum": lambda x: np.maximum.at(x, [0, 0, 1], [[1], [3], [2]]),
    "power": lambda x: np.power.at(x, [0, 0, 1], 2),
    "less": lambda x: np.less.at(x, [0, 0, 1], 1),
    "logical_and": lambda x: np.logical_and.at(x, [0, 0], True),
    "left_shift": lambda x: np.left_shift.at(x, [0, 0], 1),
    "negative": lambda x: np.negative.at(x, [0, 0, 1]),
    "square": lambda x: np.square.at(x, [0, 0, 1]),
    "sin": lambda x: np.sin.at(x, ([0, 0], [1, 1])),
    "invert": lambda x: np.invert.at(x, [0, 0, 1]),
    "nothing": lambda x: np.multiply.at(x, np.zeros(0, int), 2),
    "missing": lambda x: np.add.at(x, [0]),
    "unary with two": lambda x: np.negative.at(x, [0], 1),
    "divmod": lambda x: np.divmod.at(x, [0], 1),
    "matmul": lambda x: np.matmul.at(x, [0], 1),
    "scalar": lambda x: np.add.at(1.5, 0, x),
}
CASES = {**FILLS, **{f"{name}.at": case for name, case in AT.items()}}


def writing(case: Case) -> Case:
    """Return a function that writes into a copy, which has a view, and returns what both hold."""

    def function(x: Any) -> Any:
        y = np.array(x)
        view = y[..., :1] if y.ndim else y[...]
        result = case(y)
        return y, view, result is None

    return function


@pytest.mark.parametrize("case", CASES)
def test_writes_are_those_of_numpy(case: str) -> None:
    for x in ARRAYS.values():
        against.compare(writing(CASES[case]), (x,))


@pytest.mark.parametrize("case", [c for c in CASES if c != "add complex.at"])
def test_gradients(case: str) -> None:
    for label in ("f8", "cube"):
        x = numbers(4, 3, low=0.5, high=1.4) if label == "f8" else numbers(3, 3, 3, low=0.5)
        function = writing(CASES[case])
        try:
            function(x)
        except against.ERRORS:
            continue
        against.differentiate(lambda x, f=function: f(x)[0], (x,))


@pytest.mark.parametrize("case", ["add", "subtract", "multiply", "divide", "square", "sin"])
def test_complex_gradients_of_repeats(case: str) -> None:
    against.differentiate(lambda x: writing(AT[case])(x)[0], (ARRAYS["c16"],))


def test_traced_positions_and_values_of_at() -> None:
    def function(x: Any, v: Any, k: Any) -> Any:
        y = x.copy()
        np.multiply.at(y, k, v)
        np.add.at(y, k % 2, v * y[k])
        np.maximum.at(y, k, v)
        return y

    x, v, k = (
        numbers(4, low=0.5, high=1.5),
        numbers(5, low=0.4, high=1.6),
        np.array([0, 2, 0, 0, 1]),
    )
    against.compare(function, (x, v, k))
    against.differentiate(lambda x, v: function(x, v, k), (x, v))


@pytest.mark.parametrize(
    "ufunc",
    [u for u in ELEMENTWISE if u.nin <= 2 and getattr(np, u.__name__, None) is u],
    ids=str,
)
def test_every_ufunc_at_repeats(ufunc: np.ufunc) -> None:
    op = ELEMENTWISE[ufunc]
    k = np.array([0, 1, 0, 2, 0])
    (low, high), *rest = op.domain
    x = numbers(4, low=low, high=high)
    values = [numbers(5, low=a, high=b, seed=1) for a, b in rest]

    def function(x: Any, *values: Any) -> Any:
        y = x.copy()
        ufunc.at(y, k, *values)
        return y

    against.compare(function, (x, *values))
    against.compare(function, (np.array([1, 2, 3, 4]), *[np.arange(1, 6) for _ in values]))


def test_repeats_without_a_derivative_are_refused() -> None:
    def function(z: Any) -> Any:
        y = z.copy()
        np.conjugate.at(y, [0, 0, 1])
        return np.sum(np.abs(y))

    with pytest.raises(DifferentiationError, match="complex"):
        pb.grad(function)(ARRAYS["vector"] + 1j)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.resize(3), "np.resize"),
        (lambda x: x.setfield(1.0, float), "setfield"),
        (lambda x: setattr(x, "shape", (3, 4)), "reshape"),
        (lambda x: setattr(x, "dtype", np.float32), "astype"),
        (lambda x: setattr(x, "strides", (8, 8)), "strides"),
        (lambda x: np.place(x, x > 0, x[::-1]), "just written"),
    ],
)
def test_refusals(function: Case, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        pb.compile(function)(ARRAYS["f8"])


def test_an_argument_is_written_into() -> None:
    def function(x: Any, y: Any) -> None:
        np.add.at(x, [0, 0], 1)
        np.fill_diagonal(y, 2.0)
        y[1].sort()

    x, y = np.zeros(3), np.array([[0.0, 1.0], [5.0, 3.0]])
    pb.compile(function)(x, y)
    assert x.tolist() == [2, 0, 0]
    assert y.tolist() == [[2, 1], [2, 5]]


def swap_rows(x: Any) -> Any:
    x[0], x[1] = x[1], x[0]
    return x


def swap_copies(x: Any) -> Any:
    x[0], x[1] = x[1].copy(), x[0].copy()
    return x


def swap_elements(x: Any) -> Any:
    x[0, 0], x[1, 1] = x[1, 1], x[0, 0]
    return x


def swap_by_list(x: Any) -> Any:
    x[[0, 1]] = x[[1, 0]]
    return x


def unpack(x: Any) -> Any:
    x[0, 0], b = x[1, 0] * 2, x[0, 0]
    (x[1], (c, x[2, 0])) = (x[2] + 1, (b, 7.0))
    x[3], *d = [x[0], x[1], x[2]]
    return x, b, c, d


def loop_target(x: Any) -> Any:
    total = 0.0
    rows = [x[2], x[3]]
    for x[0, 0] in [1.0, 2.0, 3.0]:
        total = total + x[0, 0] * x[1, 1]
    for k, x[1] in enumerate(rows):
        total = total + k * x[1, 0]
    return x, total


def comprehension_and_walrus(x: Any) -> Any:
    rows = [row[...] for row in x]
    rows[0] += 1
    rows[1][:] = 0
    return x, (y := x[2])[0], y


def constructor(x: Any) -> Any:
    y = np.ndarray((4, 3))
    y[:] = x
    z = np.ndarray(3, x.dtype, order="F")
    z[...] = y[0]
    w = np.empty((4, 3), np.float32)
    w[...] = 1
    w[:, 0] = x[:, 0]
    return y, z, w


def deletion(x: Any) -> Any:
    del x[0]
    return x


def chained(x: Any) -> Any:
    x[0] = x[1] = x[2] * 2
    x.T[0][1:] = x[0, 0]
    x.real[0] = 3
    return x


def read_only(x: Any) -> Any:
    x.setflags(write=False)
    x[0] = 1
    return x


PROGRAMS = (
    swap_rows, swap_copies, swap_elements, swap_by_list, unpack, loop_target,
    comprehension_and_walrus, constructor, deletion, chained, read_only,
)  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_programs(program: Case) -> None:
    for label in ("f8", "f4", "i4", "fortran", "strided"):
        x = ARRAYS[label]
        against.compare(lambda x: program(x.copy()), (x,))
    if program not in (deletion, read_only, constructor):
        against.differentiate(lambda x: program(x.copy()), (ARRAYS["f8"],))
