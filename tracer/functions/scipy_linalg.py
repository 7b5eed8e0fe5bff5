"""scipy.linalg: systems, factors, decompositions and functions of matrices, with SciPy's bits.

Arguments that let SciPy overwrite its own arguments are accepted and ignored: what they leave there
is undefined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ir.errors import ShapeError
from ...ir.ops.lapack import MatrixShapeError
from ...ir.ops.matfun import Expm, Logm, Sqrtm
from ...ir.ops.scipy_lapack import (
    EuclideanNorm,
    ScipyCholesky,
    ScipyDet,
    ScipyEigh,
    ScipyEigVals,
    ScipyEigValsH,
    ScipyInv,
    ScipyQr,
    ScipySolve,
    ScipySvd,
    ScipySvdVals,
)
from ...ir.ops.triangular import ChoFactor, ChoSolve, SolveTriangular
from ..array import FUNCTIONS, emit, unsupported
from .create import zeros
from .join import concatenate
from .lazy import implements_lazily
from .linalg import inexact, linalg_dtype, strong
from .shape import as_python, cast, emit_reshape

_TRANS = {0: 0, "N": 0, 1: 1, "T": 1, 2: 2, "C": 2}


def _pair(a: Any, b: Any) -> tuple[Any, Any, int]:
    """Return a matrix and right-hand sides in one dtype, and how many axes of b are the core."""
    a, b = strong(a), strong(b)
    dtype = linalg_dtype(a, b)
    return cast(a, dtype), cast(b, dtype), 1 if b.ndim == 1 else 2


def _refuse_if(name: str, condition: bool, what: str, instead: str = "") -> None:
    if condition:
        raise unsupported(f"scipy.linalg.{name} with {what}", instead)


def _matrix(name: str, a: Any) -> Any:
    a = inexact(a)
    if a.ndim < 2:
        raise ShapeError(f"scipy.linalg.{name}: expected a matrix, got an array of {a.ndim} axes")
    _refuse_if(name, a.ndim > 2, "stacks of matrices", f"Use np.linalg.{name}.")
    return a


# ---- systems and factors -------------------------------------------------------------------------


@implements_lazily("scipy.linalg.solve_triangular")
def solve_triangular(
    a: Any,
    b: Any,
    trans: Any = 0,
    lower: Any = False,
    unit_diagonal: Any = False,
    overwrite_b: Any = False,
    check_finite: Any = True,
) -> Any:
    """As `scipy.linalg.solve_triangular`."""
    a, b, right = _pair(a, b)
    if trans not in _TRANS:
        raise ValueError(f"illegal value of trans: {trans!r}")
    flags = (bool(lower), bool(unit_diagonal), bool(check_finite))
    return emit(SolveTriangular(right, _TRANS[trans], *flags), (a, b))


@implements_lazily("scipy.linalg.cholesky")
def cholesky(a: Any, lower: Any = False, overwrite_a: Any = False, check_finite: Any = True) -> Any:
    """As `scipy.linalg.cholesky`: the upper factor by default."""
    return emit(ScipyCholesky(not lower, bool(check_finite)), (inexact(a),))


@implements_lazily("scipy.linalg.cho_factor")
def cho_factor(
    a: Any, lower: Any = False, overwrite_a: Any = False, check_finite: Any = True
) -> Any:
    """As `scipy.linalg.cho_factor`."""
    return emit(ChoFactor(not lower, bool(check_finite)), (inexact(a),)), lower


@implements_lazily("scipy.linalg.cho_solve", always=True)
def cho_solve(c_and_lower: Any, b: Any, overwrite_b: Any = False, check_finite: Any = True) -> Any:
    """As `scipy.linalg.cho_solve`."""
    c, lower = c_and_lower
    c, b, right = _pair(c, b)
    if c.ndim != 2 or b.ndim > 2:
        raise unsupported("scipy.linalg.cho_solve with stacks of matrices")
    return emit(ChoSolve(right, not lower, bool(check_finite)), (c, b))


_STRUCTURES = (
    None, "general", "gen", "diagonal", "tridiagonal", "upper triangular", "lower triangular",
    "symmetric", "sym", "hermitian", "her", "positive definite", "pos",
)  # fmt: skip


@implements_lazily("scipy.linalg.solve")
def solve(
    a: Any,
    b: Any,
    lower: Any = False,
    overwrite_a: Any = False,
    overwrite_b: Any = False,
    check_finite: Any = True,
    assume_a: Any = None,
    transposed: Any = False,
) -> Any:
    """As `scipy.linalg.solve`: only the part of a that `assume_a` names has a gradient."""
    _refuse_if("solve", assume_a == "banded", "assume_a='banded'", "Leave assume_a out.")
    if assume_a not in _STRUCTURES:
        raise ValueError(f"{assume_a} is not a recognized matrix structure")
    a, b, right = _pair(a, b)
    op = ScipySolve(right, bool(lower), assume_a, bool(transposed), bool(check_finite))
    if transposed and a.dtype.kind == "c":
        raise NotImplementedError("scipy.linalg.solve with transposed=True of complex matrices")
    return emit(op, (a, b))


@implements_lazily("scipy.linalg.inv")
def inv(
    a: Any,
    overwrite_a: Any = False,
    check_finite: Any = True,
    *,
    assume_a: Any = None,
    lower: Any = False,
) -> Any:
    """As `scipy.linalg.inv`, without an assumption on the matrix."""
    _refuse_if("inv", assume_a not in (None, "general", "gen"), "assume_a=", "Leave it out.")
    return emit(ScipyInv(check_finite=bool(check_finite)), (inexact(a),))


@implements_lazily("scipy.linalg.det")
def det(a: Any, overwrite_a: Any = False, check_finite: Any = True) -> Any:
    """As `scipy.linalg.det`."""
    return emit(ScipyDet(bool(check_finite)), (inexact(a),))


# ---- decompositions ------------------------------------------------------------------------------


@implements_lazily("scipy.linalg.qr")
def qr(
    a: Any,
    overwrite_a: Any = False,
    lwork: Any = None,
    mode: Any = "full",
    pivoting: Any = False,
    check_finite: Any = True,
) -> Any:
    """As `scipy.linalg.qr` without pivoting, of one matrix."""
    modes = {"full": "complete", "economic": "reduced", "r": "r"}
    _refuse_if("qr", mode == "raw", "mode='raw'", "Use the mode 'economic' or 'r'.")
    _refuse_if("qr", bool(pivoting), "pivoting=True")
    if mode not in modes:
        raise ValueError("Mode argument should be one of ['full', 'r', 'economic', 'raw']")
    result = emit(ScipyQr(modes[mode], bool(check_finite)), (_matrix("qr", a),))
    return (result,) if mode == "r" else result


@implements_lazily("scipy.linalg.svd")
def svd(
    a: Any,
    full_matrices: Any = True,
    compute_uv: Any = True,
    overwrite_a: Any = False,
    check_finite: Any = True,
    lapack_driver: Any = "gesdd",
) -> Any:
    """As `scipy.linalg.svd`, of one matrix."""
    if lapack_driver not in ("gesdd", "gesvd"):
        raise ValueError(f"lapack_driver must be 'gesdd' or 'gesvd', not {lapack_driver!r}")
    a, flags = _matrix("svd", a), (lapack_driver, bool(check_finite))
    if not compute_uv:
        return emit(ScipySvdVals(*flags), (a,))
    return emit(ScipySvd(bool(full_matrices), *flags), (a,))


@implements_lazily("scipy.linalg.svdvals")
def svdvals(a: Any, overwrite_a: Any = False, check_finite: Any = True) -> Any:
    """As `scipy.linalg.svdvals`, of one matrix."""
    return svd(a, compute_uv=False, check_finite=check_finite)


_DRIVERS = (None, "ev", "evd", "evr", "evx")


@implements_lazily("scipy.linalg.eigh")
def eigh(
    a: Any,
    b: Any = None,
    *,
    lower: Any = True,
    eigvals_only: Any = False,
    overwrite_a: Any = False,
    overwrite_b: Any = False,
    type: Any = 1,
    check_finite: Any = True,
    subset_by_index: Any = None,
    subset_by_value: Any = None,
    driver: Any = None,
) -> Any:
    """As `scipy.linalg.eigh` of one matrix, all eigenvalues of the ordinary problem."""
    _refuse_if("eigh", b is not None, "b=", "Reduce it with the Cholesky factor of b.")
    subset = subset_by_index is not None or subset_by_value is not None
    _refuse_if("eigh", subset, "a subset of the eigenvalues", "Take a slice of the results.")
    if driver not in _DRIVERS:
        raise ValueError(f"{driver} is not a driver of the ordinary eigenvalue problem")
    op = ScipyEigValsH if eigvals_only else ScipyEigh
    return emit(op(not lower, driver, bool(check_finite)), (_matrix("eigh", a),))


@implements_lazily("scipy.linalg.eigvalsh")
def eigvalsh(a: Any, b: Any = None, **options: Any) -> Any:
    """As `scipy.linalg.eigvalsh`; see `eigh`."""
    return eigh(a, b, eigvals_only=True, **options)


@implements_lazily("scipy.linalg.eigvals")
def eigvals(
    a: Any,
    b: Any = None,
    overwrite_a: Any = False,
    check_finite: Any = True,
    homogeneous_eigvals: Any = False,
) -> Any:
    """As `scipy.linalg.eigvals` of one matrix; unlike NumPy's they are complex always."""
    _refuse_if("eigvals", b is not None or bool(homogeneous_eigvals), "a generalized problem")
    return emit(ScipyEigVals(check_finite=bool(check_finite)), (_matrix("eigvals", a),))


@implements_lazily("scipy.linalg.norm")
def norm(
    a: Any, ord: Any = None, axis: Any = None, keepdims: Any = False, check_finite: Any = True
) -> Any:
    """As `scipy.linalg.norm`: of all elements by BLAS, the others by `np.linalg.norm`."""
    a, of_numpy = strong(a), FUNCTIONS[np.linalg.norm]
    if axis is not None or keepdims or a.dtype.char not in "fdFD" or a.size == 0:
        return of_numpy(a, ord, axis, keepdims)
    is_all = ord is None or (ord == 2 and a.ndim == 1) or (ord in ("fro", "f") and a.ndim == 2)
    if is_all and a.ndim in (1, 2):
        result = emit(EuclideanNorm(bool(check_finite)), (a,))
        return as_python(result) if a.ndim == 1 else result
    _refuse_if("norm", a.ndim == 2 and ord in (1, np.inf), f"ord={ord}", "Use np.linalg.norm.")
    return of_numpy(a, ord, axis, keepdims)


# ---- functions of matrices -----------------------------------------------------------------------


def _square(name: str, a: Any) -> Any:
    a = strong(a)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise MatrixShapeError(f"scipy.linalg.{name} takes square matrices, not {list(a.shape)}")
    return inexact(a)


@implements_lazily("scipy.linalg.expm")
def expm(A: Any) -> Any:
    """As `scipy.linalg.expm`."""
    return emit(Expm(), (_square("expm", A),))


@implements_lazily("scipy.linalg.sqrtm")
def sqrtm(A: Any, **options: Any) -> Any:
    """As `scipy.linalg.sqrtm`; the root of a real matrix must be real, or the program raises."""
    _refuse_if("sqrtm", bool(options), f"{', '.join(options)}=", "Leave it out.")
    return emit(Sqrtm(), (_square("sqrtm", A),))


@implements_lazily("scipy.linalg.logm")
def logm(A: Any, **options: Any) -> Any:
    """As `scipy.linalg.logm`; that of a real matrix must be real, or the program raises."""
    _refuse_if("logm", bool(options), f"{', '.join(options)}=", "Leave it out.")
    return emit(Logm(), (_square("logm", A),))


# ---- matrices from parts -------------------------------------------------------------------------


@implements_lazily("scipy.linalg.block_diag")
def block_diag(*arrs: Any) -> Any:
    """As `scipy.linalg.block_diag`, of matrices, vectors (as rows) and numbers."""
    blocks = [strong(a) for a in arrs]
    _refuse_if("block_diag", any(b.ndim > 2 for b in blocks), "stacks of matrices")
    blocks = [emit_reshape(b, [1] * (2 - b.ndim) + list(b.shape)) for b in blocks]
    dtype = np.result_type(*[b.dtype for b in blocks])
    width: Any = 0
    for block in blocks:
        width = width + block.shape[1]
    rows: list[Any] = []
    left: Any = 0
    for block in blocks:
        m, n = block.shape
        parts = [zeros((m, left), dtype), cast(block, dtype), zeros((m, width - left - n), dtype)]
        rows.append(concatenate(parts, 1))
        left = left + n
    return concatenate(rows, 0)


def _vector(name: str, a: Any) -> Any:
    a = strong(a)
    _refuse_if(name, a.ndim > 1, "arrays of more than one axis", "Flatten the argument.")
    return emit_reshape(a, [a.size])


def _windows(values: Any, starts: Sequence[int], count: int) -> Any:
    positions = np.asarray(starts, np.intp)[:, None] + np.arange(count)
    return values[positions]


@implements_lazily("scipy.linalg.toeplitz")
def toeplitz(c: Any, r: Any = None) -> Any:
    """As `scipy.linalg.toeplitz`, of vectors."""
    c = _vector("toeplitz", c)
    r = np.conjugate(c) if r is None else _vector("toeplitz", r)
    m, n = c.shape[0], r.shape[0]
    values = concatenate([c[::-1], r[1:]])
    return _windows(values, range(m - 1, -1, -1), n)


@implements_lazily("scipy.linalg.circulant")
def circulant(c: Any) -> Any:
    """As `scipy.linalg.circulant`, of a vector."""
    c = _vector("circulant", c)
    n = c.shape[0]
    return c[(np.arange(n)[:, None] - np.arange(n)) % max(n, 1)]


@implements_lazily("scipy.linalg.hankel")
def hankel(c: Any, r: Any = None) -> Any:
    """As `scipy.linalg.hankel`, of vectors."""
    c = _vector("hankel", c)
    r = np.zeros_like(c) if r is None else _vector("hankel", r)
    values = concatenate([c, r[1:]])
    return _windows(values, range(c.shape[0]), r.shape[0])
