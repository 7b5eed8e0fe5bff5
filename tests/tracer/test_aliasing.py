"""What shares memory with what: results of traced functions, against NumPy.

Every function of the tables runs plainly and traced; a result shares the argument's memory, and may
be written into, exactly where NumPy's does.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import against_numpy as against
import function_cases as cases
import numpy as np
import pytest

import pullback as pb
from pullback.ir.builder import Builder
from pullback.ir.core import Value
from pullback.ir.samples import numbers
from pullback.ir.types import Kind, layout_of, type_of
from pullback.tracer.array import TracedArray
from pullback.tracer.inputs import Inputs
from pullback.tracer.state import Trace
from pullback.tracer.trace import call_traced

Case = Callable[..., Any]

ARRAYS: dict[str, np.ndarray] = {
    "vector": numbers(5),
    "matrix": numbers(3, 3),
    "cube": numbers(2, 3, 2),
    "fortran": np.asfortranarray(numbers(3, 4)),
    "transposed": numbers(2, 3, 4).transpose(2, 0, 1),
    "reversed": numbers(6, 8)[::-2, ::-2],
    "column": numbers(3, 1),
    "row": numbers(1, 3),
    "one": np.array([0.5]),
    "0-d": np.asarray(1.25),
    "f4": numbers(3, 4, dtype="f4"),
    "ints": np.arange(12).reshape(3, 4),
    "bools": numbers(3, 3) > 0,
    "complex": numbers(3, 4, dtype="c16"),
    "complex vector": numbers(4, dtype="c16"),
}

MORE: dict[str, Case] = {
    "itself": lambda x: x,
    "asarray": lambda x: (np.asarray(x), np.asanyarray(x), np.asarray(x, x.dtype)),
    "asarray f4": lambda x: np.asarray(x, np.float32),
    "asarray F": lambda x: np.asarray(x, order="F"),
    "asarray C": lambda x: np.asarray(x, order="C"),
    "asarray copy": lambda x: np.asarray(x, copy=True),
    "array": lambda x: np.array(x),
    "array no copy": lambda x: np.array(x, copy=None),
    "array ndmin": lambda x: np.array(x, copy=None, ndmin=4),
    "ascontiguousarray": lambda x: np.ascontiguousarray(x),
    "asfortranarray": lambda x: np.asfortranarray(x),
    "require": lambda x: np.require(x, requirements="C"),
    "require dtype": lambda x: np.require(x, np.float64),
    "astype": lambda x: (x.astype(x.dtype), x.astype(x.dtype, copy=False)),
    "astype f8": lambda x: x.astype(np.float64, copy=False),
    "np.astype": lambda x: (np.astype(x, x.dtype), np.astype(x, x.dtype, copy=False)),
    "astype order": lambda x: x.astype(x.dtype, order="F", copy=False),
    "copy": lambda x: (x.copy(), np.copy(x), +x, x.__copy__()),
    "reshape same": lambda x: x.reshape(x.shape),
    "reshape copy": lambda x: np.reshape(x, (-1,), copy=True),
    "reshape no copy": lambda x: np.reshape(x, (-1,), copy=False),
    "reshape method no copy": lambda x: x.reshape(-1, copy=False),
    "reshape split": lambda x: x.reshape(x.shape[0], 1, -1),
    "ravel": lambda x: (x.ravel(), np.ravel(x, "F"), np.ravel(x, "A"), np.ravel(x, "K")),
    "flatten": lambda x: (x.flatten(), x.flatten("F"), x.flatten("K")),
    "T of T": lambda x: x.T.T,
    "T ravel": lambda x: (x.T.ravel(), x.T.ravel("F"), x.T.ravel("K")),
    "ravel of slices": lambda x: (x[1:].ravel(), x[..., 1:].ravel(), x[::2].reshape(-1)),
    "matrix_transpose": lambda x: (np.matrix_transpose(x), x.mT),
    "permute_dims": lambda x: np.permute_dims(x),
    "squeeze": lambda x: (np.squeeze(x), x.squeeze(), x[None].squeeze(0)),
    "expand_dims": lambda x: np.expand_dims(x, 0),
    "atleast": lambda x: (np.atleast_1d(x), np.atleast_2d(x), np.atleast_3d(x)),
    "broadcast_to": lambda x: (np.broadcast_to(x, (2, *x.shape)), np.broadcast_to(x, x.shape)),
    "real": lambda x: (np.real(x), x.real, x.real.T),
    "imag": lambda x: (np.imag(x), x.imag),
    "conj": lambda x: (x.conj(), np.conj(x), x.conjugate()),
    "nan_to_num": lambda x: (np.nan_to_num(x), np.nan_to_num(x, copy=False)),
    "clip": lambda x: (np.clip(x, 0, 1), x.clip(0, 1)),
    "round": lambda x: (np.round(x), x.round(), x.round(2)),
    "split": lambda x: (*np.split(x, [1]), *np.array_split(x, 2)),
    "hsplit": lambda x: np.hsplit(x, [1]),
    "vsplit": lambda x: np.vsplit(x, [1]),
    "dsplit": lambda x: np.dsplit(x, [1]),
    "unstack": lambda x: np.unstack(x),
    "diagonal": lambda x: (np.diagonal(x), x.diagonal(), np.diag(x), np.linalg.diagonal(x)),
    "diagflat": lambda x: np.diagflat(x),
    "tril": lambda x: (np.tril(x), np.triu(x)),
    "take": lambda x: (np.take(x, 0, axis=0), np.take(x, [0]), x.take(0)),
    "compress": lambda x: np.compress([True], x, axis=0),
    "extract": lambda x: np.extract(x == x, x),
    "choose": lambda x: np.choose([0], [x]),
    "select": lambda x: np.select([x == x], [x]),
    "where": lambda x: np.where(True, x, x),
    "trim_zeros": lambda x: np.trim_zeros(x),
    "trim_zeros front": lambda x: np.trim_zeros(x, "f"),
    "delete": lambda x: (np.delete(x, []), np.delete(x, 0, 0), np.delete(x, slice(0, 0), 0)),
    "insert": lambda x: np.insert(x, 0, 1),
    "append": lambda x: np.append(x, []),
    "resize": lambda x: np.resize(x, x.shape),
    "roll": lambda x: (np.roll(x, 0), np.roll(x, 0, 0)),
    "rot90": lambda x: (np.rot90(x, 0), np.rot90(x), np.rot90(x, 2), np.rot90(x, 3)),
    "flip": lambda x: (np.flip(x), np.flip(x, 0), np.flip(x, ())),
    "moveaxis": lambda x: (np.moveaxis(x, 0, 0), np.moveaxis(x, 0, -1), np.rollaxis(x, 0)),
    "swapaxes": lambda x: (np.swapaxes(x, 0, 0), np.swapaxes(x, 0, -1)),
    "repeat": lambda x: np.repeat(x, 1),
    "tile": lambda x: (np.tile(x, 1), np.tile(x, ())),
    "pad": lambda x: np.pad(x, 0),
    "concatenate": lambda x: (np.concatenate([x]), np.stack([x])),
    "vstack": lambda x: (np.vstack([x]), np.hstack([x]), np.dstack([x]), np.column_stack([x])),
    "block": lambda x: (np.block(x), np.block([x]), np.block([[x]])),
    "meshgrid": lambda x: np.meshgrid(x, copy=False),
    "meshgrid two": lambda x: np.meshgrid(x, [1.0, 2.0], copy=False),
    "meshgrid sparse": lambda x: np.meshgrid(x, [1.0], copy=False, sparse=True),
    "ix_": lambda x: np.ix_(x),
    "sort": lambda x: (np.sort(x), np.partition(x, 0)),
    "unwrap": lambda x: np.unwrap(x),
    "sum of no axes": lambda x: (np.sum(x, axis=()), np.max(x, axis=()), np.any(x, axis=())),
    "mean of no axes": lambda x: (np.mean(x, axis=()), np.median(x, axis=())),
    "cumsum": lambda x: np.cumsum(x, 0),
    "diff 0": lambda x: np.diff(x, 0),
    "matrix_power": lambda x: (np.linalg.matrix_power(x, 1), np.linalg.multi_dot([x, np.eye(3)])),
    "einsum view": lambda x: np.einsum("ij->ji", x),
    "einsum diagonal": lambda x: np.einsum("ii->i", x),
    "einsum itself": lambda x: np.einsum("...", x),
    "einsum sum": lambda x: np.einsum("ij->i", x),
    "einsum optimize": lambda x: np.einsum("ij->ji", x, optimize=True),
    "windows": lambda x: np.lib.stride_tricks.sliding_window_view(x, 1, axis=0),
    "item": lambda x: (x[0], x[0, ...], x[:1], x[None], x[()], x[...]),
    "item of all": lambda x: x[(0,) * x.ndim + (...,)],
    "gather": lambda x: (x[[0]], x[np.array([0])], x[x == x]),
    "flags": lambda x: (x[True], x[True, ...]),
    "view": lambda x: x.view(),
    "view of all": lambda x: x[:].view(),
    "iteration": lambda x: list(x),
    "positive": lambda x: (np.positive(x), abs(x), np.abs(x)),
    "apply_along_axis": lambda x: np.apply_along_axis(lambda r: r, 0, x),
    "broadcast_arrays": lambda x: np.broadcast_arrays(x, 1.0),
    "fft": lambda x: (np.fft.fftshift(x), np.fft.ifftshift(x)),
    "vander": lambda x: np.vander(x, 1),
    "array_split": lambda x: np.array_split(x, 1),
    "full_like": lambda x: (np.full_like(x, 1), np.zeros_like(x), np.empty_like(x)),
    "full of it": lambda x: np.full(x.shape, x),
    "copies": lambda x: (copy.copy(x), copy.deepcopy(x)),
    "real ravel": lambda x: (x.real.ravel(), x.real.reshape(-1), x.real[..., :1].reshape(-1)),
    "fill of a view": lambda x: x[1:].fill(0) or x,
    "setflags": lambda x: (lambda y: y.setflags(write=False) or y)(x[1:]),
}
CASES: dict[str, Case] = {
    **{f"{name} (table)": f for name, f in {**cases.MOVES, **cases.INDICES, **cases.MATHS}.items()},
    **MORE,
}


def leaves(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [leaf for part in value for leaf in leaves(part)]
    return [value]


def plainly(function: Case, x: np.ndarray) -> list[Any] | None:
    """Return for each result whether it shares memory with the argument and may be written."""
    x = x.copy(order="K")
    try:
        results = leaves(function(x))
    except against.ERRORS:
        return None
    return [_plain_facts(r, x) for r in results]


def _plain_facts(result: Any, x: np.ndarray) -> Any:
    if not isinstance(result, np.ndarray):
        return None
    return None if not result.size else (np.shares_memory(result, x), result.flags.writeable)


def traced(function: Case, x: np.ndarray) -> list[Any]:
    """Return the same of the traced function."""
    x = x.copy(order="K")
    builder = Builder()
    with Trace(builder, None, Inputs(builder)) as state:
        param = builder.param(Value(type_of(x), "x", layout=layout_of(x)))
        argument = TracedArray(param, Kind.ARRAY, state)
        storage = argument._as_view().storage
        results = leaves(call_traced(function, (argument,), {}))
        return [_facts(r, storage) for r in results]


def _facts(result: Any, storage: Any) -> Any:
    if (
        not isinstance(result, TracedArray)
        or result._kind is not Kind.ARRAY
        or 0 in result.type.shape
    ):
        return None
    view = result._as_view()
    return (view.storage is storage, view.writeable)


@pytest.mark.parametrize("case", CASES)
def test_results_share_memory_exactly_where_numpys_do(case: str) -> None:
    for label, x in ARRAYS.items():
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            expected = plainly(CASES[case], x)
            if expected is None:
                continue
            found = traced(CASES[case], x)
            if case in READ_ONLY:
                expected, found = [[f and f[0] for f in facts] for facts in (expected, found)]
            assert found == expected, label


READ_ONLY = (
    "broadcast_arrays", "broadcast_arrays (table)", "meshgrid two",
)  # fmt: skip
"""NumPy warns of a write into broadcast arrays, which it means to make read-only; ours are."""


def test_a_result_that_is_checked_is_no_view_and_takes_no_writes() -> None:
    def function(x: Any) -> Any:
        y = np.asarray_chkfinite(x)
        y[0] = 1
        return x

    with pytest.raises(ValueError, match="read-only"):
        pb.compile(function)(np.zeros(3))
