"""Decompositions, pseudo-inverses and least squares: the rest of `np.linalg`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.errors import ShapeError
from ...ir.ops.decompose import Qr, Svd, SvdVals
from ...ir.ops.eigen import Eig, Eigh, EigVals, EigValsH
from ...ir.ops.lapack import MatrixShapeError, real_dtype
from ...ir.ops.least_squares import ConditionNumber, LstSq, LstSqResiduals, Pinv
from ...ir.ops.linalg import Inv
from ..array import FUNCTIONS, emit, implements, unsupported
from .create import literal
from .linalg import inexact, inv, linalg_dtype, solve, strong, warn_deprecated
from .norm import norm
from .shape import (
    MISSING,
    as_python,
    as_scalar,
    cast,
    constant,
    emit_reshape,
    swapaxes,
    transpose,
)

QRResult: Any = type(np.linalg.qr(np.eye(1)))
EighResult: Any = type(np.linalg.eigh(np.eye(1)))
EigResult: Any = type(np.linalg.eig(np.eye(1)))
SVDResult: Any = type(np.linalg.svd(np.eye(1)))


# ---- eigenvalues ---------------------------------------------------------------------------------


def _is_upper(triangle: Any) -> bool:
    triangle = triangle.upper()
    if triangle not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    return bool(triangle == "U")


@implements(np.linalg.eigh)
def eigh(a: Any, UPLO: Any = "L") -> Any:
    """As `np.linalg.eigh`: one triangle is read, and the gradient is zero in the other one."""
    return EighResult(*emit(Eigh(_is_upper(UPLO)), (inexact(a),)))


@implements(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: Any = "L") -> Any:
    """As `np.linalg.eigvalsh`: one triangle is read, and the gradient is zero in the other one."""
    return emit(EigValsH(_is_upper(UPLO)), (inexact(a),))


@implements(np.linalg.eig)
def eig(a: Any) -> Any:
    """As `np.linalg.eig` where its results are complex.

    Those of a real matrix are real in NumPy where all eigenvalues are, which only the values tell.
    The program then raises UnsupportedError; a matrix converted to complex has complex results
    always, in NumPy too.
    """
    return EigResult(*emit(Eig(), (inexact(a),)))


@implements(np.linalg.eigvals)
def eigvals(a: Any) -> Any:
    """As `np.linalg.eigvals` where its result is complex; see `eig`."""
    return emit(EigVals(), (inexact(a),))


def complex_eigvals(a: Any) -> Any:
    """Return the eigenvalues as complex numbers also where all of them are real."""
    return emit(EigVals(True), (inexact(a),))


# ---- factors -------------------------------------------------------------------------------------


@implements(np.linalg.qr)
def qr(a: Any, mode: Any = "reduced") -> Any:
    """As `np.linalg.qr`, but for the modes that return LAPACK's own form ("raw", "economic")."""
    if mode in ("f", "full"):
        warn_deprecated(
            "The 'full' option is deprecated in favor of 'reduced'.\n"
            "For backward compatibility let mode default."
        )
        mode = "reduced"
    if mode in ("raw", "e", "economic"):
        raise unsupported(f"np.linalg.qr with mode={mode!r}", "Use the mode 'reduced' or 'r'.")
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"Unrecognized mode '{mode}'")
    result = emit(Qr(mode), (inexact(a),))
    return result if mode == "r" else QRResult(*result)


@implements(np.linalg.svd)
def svd(a: Any, full_matrices: Any = True, compute_uv: Any = True, hermitian: Any = False) -> Any:
    """As `np.linalg.svd`."""
    if hermitian:
        return _hermitian_svd(a) if compute_uv else _hermitian_svdvals(a)
    if not compute_uv:
        return svdvals(a)
    return SVDResult(*emit(Svd(bool(full_matrices)), (inexact(a),)))


def _hermitian_svd(a: Any) -> Any:
    s, u = eigh(a)
    sign = np.copysign(1.0, s)
    s = abs(s)
    order = np.argsort(s)[..., ::-1]
    sign = np.take_along_axis(sign, order, axis=-1)
    s = np.take_along_axis(s, order, axis=-1)
    u = np.take_along_axis(u, order[..., None, :], axis=-1)
    vt = swapaxes(u * sign[..., None, :], -1, -2).conjugate()
    return SVDResult(u, s, vt)


def _hermitian_svdvals(a: Any) -> Any:
    return np.sort(abs(eigvalsh(a)))[..., ::-1]


@implements(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """As `np.linalg.svdvals`."""
    return emit(SvdVals(), (inexact(x),))


# ---- pseudo-inverses and least squares -----------------------------------------------------------


@implements(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: Any = False, *, rtol: Any = MISSING) -> Any:
    """As `np.linalg.pinv`; the gradient holds where the rank does not change."""
    a = strong(a)
    if rcond is not None and rtol is not MISSING:
        raise ValueError("`rtol` and `rcond` can't be both set.")
    if rcond is None:
        rcond = 1e-15 if rtol is MISSING else rtol
    if rcond is None:
        rcond = max(a.shape[-2:]) * np.finfo(a.dtype).eps
    if a.ndim >= 2 and 0 in a.shape[-2:]:
        return constant(np.empty((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype))
    return emit(Pinv(bool(hermitian)), (inexact(a), _cutoff(rcond)))


def _cutoff(value: Any) -> Any:
    cutoff = strong(value)
    return cutoff if cutoff.dtype.kind == "f" else cast(cutoff, float)


@implements(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """As `np.linalg.lstsq`; the gradient holds where the rank does not change.

    NumPy returns residuals only where the rank is the number of columns. A program that uses them
    raises LinAlgError where it is smaller.
    """
    a, b = strong(a), strong(b)
    dtype = linalg_dtype(a, b)
    a, b = cast(a, dtype), cast(b, dtype)
    if a.ndim != 2 or b.ndim not in (1, 2):
        raise MatrixShapeError(
            f"lstsq takes two-dimensional arrays, not arrays of {a.ndim} and {b.ndim} axes"
        )
    if a.shape[0] != b.shape[0]:
        raise MatrixShapeError("Incompatible dimensions")
    if not (a.type.is_static and b.type.is_static):
        raise unsupported("np.linalg.lstsq of sizes known only at run time")
    m, n = a.shape
    if rcond is None:
        rcond = literal(np.finfo(np.float64).eps * max(m, n), np.float64)
    operands = (a, b, _cutoff(rcond))
    x, rank, s = emit(LstSq(b.ndim), operands)
    if m <= n:
        residuals = constant(np.array([], real_dtype(dtype)))
    else:
        residuals = emit(LstSqResiduals(b.ndim), operands)
    return x, residuals, rank, s


@implements(np.linalg.matrix_rank)
def matrix_rank(A: Any, tol: Any = None, hermitian: Any = False, *, rtol: Any = None) -> Any:
    """As `np.linalg.matrix_rank`; it has the derivative zero."""
    if rtol is not None and tol is not None:
        raise ValueError("`tol` and `rtol` can't be both set.")
    a = strong(A)
    if a.ndim < 2:
        return as_python(cast(np.any(a != 0), np.intp))
    s = svd(a, compute_uv=False, hermitian=hermitian)
    if tol is not None:
        tol = strong(tol)[..., None]
    else:
        if rtol is None:
            rtol = max(a.shape[-2:]) * np.finfo(s.dtype).eps
        else:
            rtol = strong(rtol)[..., None]
        tol = np.max(s, axis=-1, keepdims=True, initial=0) * rtol
    return np.count_nonzero(s > tol, axis=-1)


@implements(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """As `np.linalg.cond`; of a singular matrix it is inf, and has no gradient."""
    a = strong(x)
    if a.ndim >= 2 and 0 in a.shape[-2:]:
        raise MatrixShapeError("cond is not defined on empty arrays")
    if p is None or p in {2, -2}:
        return emit(ConditionNumber(p == -2), (inexact(a),))
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise MatrixShapeError("cond: the last two axes of the array must be square")
    dtype = linalg_dtype(a)
    wide = np.complex128 if dtype.kind == "c" else np.float64
    inverse = emit(Inv(quiet=True), (cast(a, wide),))
    result = norm(a, p, axis=(-2, -1)) * norm(inverse, p, axis=(-2, -1))
    result = cast(result, real_dtype(dtype))
    lost = np.isnan(result) & ~np.any(np.isnan(a), axis=(-2, -1))
    found = np.where(lost, literal(np.inf, result.dtype), result)
    return found if result.shape else as_scalar(found)


# ---- tensors -------------------------------------------------------------------------------------


@implements(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """As `np.linalg.tensorsolve`."""
    a, b = strong(a), strong(b)
    if axes is not None:
        order = list(range(a.ndim))
        for k in axes:
            order.remove(k)
            order.insert(a.ndim, k)
        a = transpose(a, order)
    shape = a.shape[-(a.ndim - b.ndim) :]
    count = 1
    for size in shape:
        count = count * size
    if a.size != count * count:
        raise MatrixShapeError(
            "Input arrays must satisfy the requirement "
            "prod(a.shape[b.ndim:]) == prod(a.shape[:b.ndim])"
        )
    x = solve(emit_reshape(a, [count, count]), emit_reshape(b, [b.size]))
    return emit_reshape(x, shape)


@implements(np.linalg.tensorinv)
def tensorinv(a: Any, ind: Any = 2) -> Any:
    """As `np.linalg.tensorinv`."""
    a = strong(a)
    if ind <= 0:
        raise ValueError("Invalid ind argument.")
    count: Any = 1
    for size in a.shape[ind:]:
        count = count * size
    inverse = inv(np.reshape(a, (count, -1)))
    return np.reshape(inverse, (*a.shape[ind:], *a.shape[:ind]))


def _vectors_of_three(x1: Any, x2: Any, /, *, axis: Any = -1) -> Any:
    """As `np.linalg.cross`."""
    a, b = strong(x1), strong(x2)
    if a.shape[axis] != 3 or b.shape[axis] != 3:
        raise ShapeError(
            "Both input arrays must be (arrays of) 3-dimensional vectors, but they are "
            f"{a.shape[axis]} and {b.shape[axis]} dimensional instead."
        )
    return FUNCTIONS[np.cross](a, b, axis=axis)


implements(np.linalg.cross)(_vectors_of_three)
implements(np.linalg.trace)(
    lambda x, /, *, offset=0, dtype=None: FUNCTIONS[np.trace](x, offset, -2, -1, dtype)
)
implements(np.linalg.diagonal)(lambda x, /, *, offset=0: FUNCTIONS[np.diagonal](x, offset, -2, -1))
