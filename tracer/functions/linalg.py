"""Products and linear algebra."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ...ir.errors import DTypeError, ShapeError
from ...ir.ops.linalg import Band, Cholesky, Det, Inv, MatrixShapeError, SLogDet, Solve
from ...ir.ops.matmul import Dot, MatMul, VecDot, same_bits_as_dot
from ...ir.ops.shape import Copy
from ...ir.types import Kind
from ..array import UFUNCS, TracedArray, emit, implements, method, unsupported
from ..source import current_location
from .shape import as_array, cast, emit_reshape, moveaxis, swapaxes, traced, transpose
from .write import c_array, with_out

SlogdetResult: Any = type(np.linalg.slogdet(np.eye(1)))


def strong(value: Any) -> TracedArray:
    """Return a value as NumPy's `asarray` has it: Python numbers get a dtype of their own."""
    a = traced(value)
    return TracedArray(a._atom, Kind.ARRAY, a._trace) if a._kind is Kind.PYTHON else a


def warn_deprecated(message: str) -> None:
    """Warn as NumPy of a deprecated form, once, at the line that is traced."""
    location = current_location()
    if location is None:
        warnings.warn(message, DeprecationWarning, stacklevel=4)
    else:
        warnings.warn_explicit(message, DeprecationWarning, location.file, location.line)


def _promoted(a: Any, b: Any, dtype: Any = None) -> tuple[TracedArray, TracedArray]:
    a, b = strong(a), strong(b)
    dtype = np.result_type(a.dtype, b.dtype) if dtype is None else dtype
    return cast(a, dtype), cast(b, dtype)


# ---- products ------------------------------------------------------------------------------------


def _refuse(name: str, options: dict[str, Any]) -> None:
    for key, value in options.items():
        if value is not None:
            raise unsupported(f"{name} with {key}=")


def matmul(a: Any, b: Any, /, *, dtype: Any = None, **options: Any) -> Any:
    """As `np.matmul`, which casts into C order."""
    _refuse("np.matmul", options)
    given = strong(a), strong(b)
    a, b = [
        x if x.dtype == y.dtype or x._atom.layout is None else emit(Copy("C"), (x,))
        for x, y in zip(_promoted(*given, dtype), given, strict=True)
    ]
    if not a.shape or not b.shape:
        raise ShapeError("matmul: an operand has no axes; write a * b for a product with a scalar")
    return emit(MatMul(min(a.ndim, 2), min(b.ndim, 2)), (a, b))


@implements(np.dot)
@with_out(c_array)
def dot(a: Any, b: Any, out: Any = None) -> Any:
    """As `np.dot`: for more than two axes of `b`, over its last axis but one."""
    a, b = _promoted(a, b)
    if not a.shape or not b.shape:
        return a * b
    same_bits = a.dtype.kind in "biu" or same_bits_as_dot([a._atom, b._atom])
    if a.ndim <= 2 and b.ndim <= 2 and same_bits:
        return emit(MatMul(a.ndim, b.ndim), (a, b))
    return emit(Dot(a.ndim, b.ndim), (a, b))


@implements(np.inner)
def inner(a: Any, b: Any, /) -> Any:
    """As `np.inner`: over the last axes of both."""
    b = strong(b)
    return dot(a, b if b.ndim < 2 else swapaxes(b, -1, -2))


@implements(np.vdot)
def vdot(a: Any, b: Any, /) -> Any:
    """As `np.vdot`: both flattened, the first conjugated."""
    a, b = _promoted(a, b)
    a, b = emit_reshape(a, [a.size]), emit_reshape(b, [b.size])
    return dot(a, b) if a.dtype.kind != "c" else emit(VecDot(), (a, b))


@implements(np.outer)
def outer(a: Any, b: Any, out: Any = None) -> Any:
    """As `np.outer`: both flattened."""
    a, b = strong(a), strong(b)
    return np.multiply(emit_reshape(a, [a.size, 1]), emit_reshape(b, [1, b.size]), out=out)


@implements(np.linalg.outer)
def vector_outer(x1: Any, x2: Any, /) -> Any:
    """As `np.linalg.outer`: of vectors only."""
    a, b = strong(x1), strong(x2)
    if a.ndim != 1 or b.ndim != 1:
        raise ShapeError(f"outer takes vectors, not arrays of {a.ndim} and {b.ndim} axes")
    return outer(a, b)


@implements(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """As `np.tensordot`, by the same calls: transpose, reshape, one product of matrices."""
    a, b = strong(a), strong(b)
    if hasattr(axes, "__iter__"):
        of_a, of_b = ([x] if not hasattr(x, "__len__") else list(x) for x in axes)
    else:
        of_a, of_b = list(range(-axes, 0)), list(range(axes))
    if len(set(of_a)) != len(of_a) or len(set(of_b)) != len(of_b):
        raise ValueError("duplicate axes are not allowed in tensordot")
    if len(of_a) != len(of_b) or any(
        a.shape[i] != b.shape[j] for i, j in zip(of_a, of_b, strict=True)
    ):
        raise ShapeError("tensordot: shape-mismatch for sum")
    of_a, of_b = [i % a.ndim for i in of_a], [j % b.ndim for j in of_b]
    rows = [i for i in range(a.ndim) if i not in of_a]
    columns = [j for j in range(b.ndim) if j not in of_b]
    shape = [*[a.shape[i] for i in rows], *[b.shape[j] for j in columns]]
    count = prod([a.shape[i] for i in of_a])
    left = emit_reshape(transpose(a, [*rows, *of_a]), [prod([a.shape[i] for i in rows]), count])
    right = emit_reshape(
        transpose(b, [*of_b, *columns]), [count, prod([b.shape[j] for j in columns])]
    )
    return emit_reshape(dot(left, right), shape)


@implements(np.kron)
def kron(a: Any, b: Any) -> Any:
    """As `np.kron`: a product of all pairs of elements, in blocks."""
    a, b = strong(a), strong(b)
    if not a.shape or not b.shape:
        return a * b
    ndim = max(a.ndim, b.ndim)
    sizes_a = [*[1] * (ndim - a.ndim), *a.shape]
    sizes_b = [*[1] * (ndim - b.ndim), *b.shape]
    blocks = emit_reshape(a, [d for size in sizes_a for d in (size, 1)])
    product: Any = np.multiply(blocks, emit_reshape(b, [d for size in sizes_b for d in (1, size)]))
    return emit_reshape(product, [m * n for m, n in zip(sizes_a, sizes_b, strict=True)])


@implements(np.cross)
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """As `np.cross`; vectors of two elements warn of their deprecation while tracing."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = strong(a), strong(b)
    if not a.shape or not b.shape:
        raise ShapeError("At least one array has zero dimension")
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    sizes = (a.shape[-1], b.shape[-1])
    if any(size not in (2, 3) for size in sizes):
        raise ShapeError("incompatible dimensions for cross product\n(dimension must be 2 or 3)")
    if 2 in sizes:
        warn_deprecated(
            "Arrays of 2-dimensional vectors are deprecated. Use arrays of 3-dimensional vectors "
            "instead. (deprecated in NumPy 2.0)"
        )
    x, y = [a[..., k] for k in range(sizes[0])], [b[..., k] for k in range(sizes[1])]
    last = x[0] * y[1] - x[1] * y[0]
    if sizes == (2, 2):
        return as_array(last)
    if sizes == (2, 3):
        parts = [x[1] * y[2], -(x[0] * y[2]), last]
    elif sizes == (3, 2):
        parts = [-(x[2] * y[1]), x[2] * y[0], last]
    else:
        parts = [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], last]
    return moveaxis(np.stack(parts, axis=-1), -1, axisc)


def vecdot(a: Any, b: Any, /, *, axis: int = -1, dtype: Any = None, **options: Any) -> Any:
    """As `np.vecdot`: the first is conjugated."""
    _refuse("np.vecdot", options)
    a, b = _promoted(a, b, dtype)
    if not a.shape or not b.shape:
        raise ShapeError("vecdot: an operand has no axes")
    a, b = moveaxis(a, axis, -1), moveaxis(b, axis, -1)
    return emit(VecDot() if a.dtype.kind == "c" else MatMul(1, 1), (a, b))


def matvec(a: Any, b: Any, /, *, dtype: Any = None, **options: Any) -> Any:
    """As `np.matvec`: matrices and vectors in the last axes."""
    _refuse("np.matvec", options)
    a, b = _promoted(a, b, dtype)
    if a.ndim < 2 or not b.shape:
        raise ShapeError("matvec takes matrices and vectors")
    return emit(MatMul(2, 1), (a, b))


def vecmat(a: Any, b: Any, /, *, dtype: Any = None, **options: Any) -> Any:
    """As `np.vecmat`: the vectors are conjugated."""
    _refuse("np.vecmat", options)
    a, b = _promoted(a, b, dtype)
    if not a.shape or b.ndim < 2:
        raise ShapeError("vecmat takes vectors and matrices")
    a = np.conjugate(a) if a.dtype.kind == "c" else a
    return emit(MatMul(1, 2), (a, b))


@implements(np.linalg.multi_dot)
@with_out(c_array)
def multi_dot(arrays: Any, *, out: Any = None) -> Any:
    """As `np.linalg.multi_dot`: in the order with the fewest operations."""
    factors = [strong(a) for a in arrays]
    if len(factors) < 2:
        raise ValueError("Expecting at least two arrays.")
    if len(factors) == 2:
        return dot(*factors)
    drop = [k for k in (0, -1) if factors[k].ndim == 1]
    if 0 in drop:
        factors[0] = emit_reshape(factors[0], [1, factors[0].size])
    if -1 in drop:
        factors[-1] = emit_reshape(factors[-1], [factors[-1].size, 1])
    for factor in factors:
        if factor.ndim != 2:
            raise MatrixShapeError(f"multi_dot: {factor.ndim}-dimensional array given, not 2")
    sizes = [*[f.shape[0] for f in factors], factors[-1].shape[1]]
    if any(not isinstance(d, int) for d in sizes):
        raise unsupported("np.linalg.multi_dot of sizes known only at run time", "Write a @ b @ c.")
    result = _chain(factors, sizes)
    if len(drop) == 2:
        return result[0, 0]
    return emit_reshape(result, [result.size]) if drop else result


def _chain(factors: Sequence[Any], sizes: Sequence[int]) -> Any:
    """Multiply in the cheapest order (Cormen et al., Introduction to Algorithms, chapter 15.2)."""
    n = len(factors)
    cost: dict[tuple[int, int], int] = {(i, i): 0 for i in range(n)}
    split: dict[tuple[int, int], int] = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            found = [
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            ]
            cost[i, j], split[i, j] = min(found)

    def product(i: int, j: int) -> Any:
        if i == j:
            return factors[i]
        return dot(product(i, split[i, j]), product(split[i, j] + 1, j))

    return product(0, n - 1)


@implements(np.linalg.matrix_power)
def matrix_power(a: Any, n: Any) -> Any:
    """As `np.linalg.matrix_power`: by squaring."""
    a, n = strong(a), n.__index__()
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise MatrixShapeError("matrix_power: the last two axes of the array must be square")
    if n == 0:
        return emit(Band(0, 0), (np.ones_like(a),))
    if n < 0:
        a, n = inv(a), -n
    if n == 3:
        return matmul(matmul(a, a), a)
    power, result = a, None
    while n:
        if n & 1:
            result = power if result is None else matmul(result, power)
        n >>= 1
        power = matmul(power, power) if n else power
    return result


# ---- factorisations, solves, determinants --------------------------------------------------------


def linalg_dtype(*arrays: TracedArray) -> np.dtype:
    """Return the dtype that `np.linalg` computes in: integers count as float64."""
    dtypes = [np.dtype(float) if a.dtype.kind in "biu" else a.dtype for a in arrays]
    for dtype in dtypes:
        if dtype.char not in "fdFD":
            raise DTypeError(f"array type {dtype.name} is unsupported in linalg")
    return np.result_type(*dtypes)


def inexact(a: Any) -> Any:
    """Return an array in the dtype that `np.linalg` computes in."""
    a = strong(a)
    return cast(a, linalg_dtype(a))


@implements(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """As `np.linalg.cholesky`."""
    return emit(Cholesky(bool(upper)), (inexact(a),))


@implements(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """As `np.linalg.solve`: `b` is a vector exactly where it has one axis."""
    a, b = strong(a), strong(b)
    dtype = linalg_dtype(a, b)
    return emit(Solve(1 if b.ndim == 1 else 2), (cast(a, dtype), cast(b, dtype)))


@implements(np.linalg.inv)
def inv(a: Any) -> Any:
    """As `np.linalg.inv`."""
    return emit(Inv(), (inexact(a),))


@implements(np.linalg.det)
def det(a: Any) -> Any:
    """As `np.linalg.det`."""
    return emit(Det(), (inexact(a),))


@implements(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """As `np.linalg.slogdet`."""
    return SlogdetResult(*emit(SLogDet(), (inexact(a),)))


UFUNCS[np.matmul] = matmul
UFUNCS[np.vecdot] = vecdot
for _name, _function in {"matvec": matvec, "vecmat": vecmat}.items():
    if hasattr(np, _name):  # NumPy 2.2
        UFUNCS[getattr(np, _name)] = _function
implements(np.matmul)(matmul)
implements(np.linalg.matmul)(matmul)
implements(np.linalg.vecdot)(lambda x1, x2, /, *, axis=-1: vecdot(x1, x2, axis=axis))
implements(np.linalg.tensordot)(lambda x1, x2, /, *, axes=2: tensordot(x1, x2, axes))
implements(np.linalg.matrix_transpose)(lambda x, /: swapaxes(x, -1, -2))
method("dot", dot)
