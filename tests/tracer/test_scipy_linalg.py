"""scipy.linalg, compiled, against SciPy itself: bits, memory order, kinds, errors, gradients."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg as sl

import pullback as pb
from pullback.ir.samples import numbers

Program = Callable[..., Any]


def positive(n: int, *lead: int, dtype: Any = np.float64) -> np.ndarray:
    x = numbers(*lead, n, n, dtype=dtype)
    made: np.ndarray = (x @ np.swapaxes(x, -1, -2).conj() + n * np.eye(n)).astype(dtype)
    return made


def leaves(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple) else [result]


def check(program: Program, *arguments: Any) -> None:
    """Compare bits, dtype, shape, memory order and type in exact mode, values in the default."""
    expected = program(*arguments)
    found = pb.compile(program, exact=True)(*arguments)
    assert type(found) is type(expected)
    for f, e in zip(leaves(found), leaves(expected), strict=True):
        assert type(f) is type(e)
        assert np.asarray(f).dtype == np.asarray(e).dtype
        assert np.shape(f) == np.shape(e)
        assert np.array_equal(f, e, equal_nan=True)
        if isinstance(e, np.ndarray) and e.size:
            assert f.strides == e.strides or 1 in e.shape
    for f, e in zip(leaves(pb.compile(program)(*arguments)), leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(f), np.asarray(e), rtol=1e-4, atol=1e-4)


DTYPES = ("f8", "f4", "c16", "c8", "i8")
SYSTEMS: dict[str, Program] = {
    "solve_triangular": lambda a, b: sl.solve_triangular(a, b),
    "solve_triangular lower": lambda a, b: sl.solve_triangular(a, b, lower=True),
    "solve_triangular trans": lambda a, b: sl.solve_triangular(a, b, 1, unit_diagonal=True),
    "solve_triangular dual": lambda a, b: sl.solve_triangular(a, b, "C", True),
    "cho_solve": lambda a, b: sl.cho_solve(sl.cho_factor(a), b),
    "cho_solve lower": lambda a, b: sl.cho_solve(sl.cho_factor(a, lower=True), b),
    "solve": lambda a, b: sl.solve(a, b),
    "solve transposed": lambda a, b: sl.solve(a.real, b.real, transposed=True),
    "solve pos": lambda a, b: sl.solve(a, b, assume_a="pos"),
    "solve her": lambda a, b: sl.solve(a, b, lower=True, assume_a="her"),
    "solve sym": lambda a, b: sl.solve(a, b, assume_a="sym"),
    "solve diagonal": lambda a, b: sl.solve(a, b, assume_a="diagonal"),
    "solve lower triangular": lambda a, b: sl.solve(a, b, assume_a="lower triangular"),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SYSTEMS)
def test_systems_are_those_of_scipy(name: str, dtype: str) -> None:
    a = positive(3, dtype=dtype)
    for b in (numbers(3, dtype=dtype, high=5), numbers(3, 2, dtype=dtype, high=5)):
        check(SYSTEMS[name], a, b)
        check(SYSTEMS[name], np.asfortranarray(a), b)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_gradients_of_systems(name: str, dtype: str) -> None:
    a = positive(3, dtype=dtype) + 0.1 * numbers(3, 3, dtype=dtype)
    b = numbers(3, 2, dtype=dtype)
    pb.check_grads(SYSTEMS[name], (a, b), rtol=1e-4, atol=1e-5)
    pb.check_grads(SYSTEMS[name], (a, b[:, 0].copy()), order=1)


MATRICES: dict[str, Program] = {
    "cholesky": lambda a: sl.cholesky(a),
    "cholesky lower": lambda a: sl.cholesky(a, lower=True),
    "cho_factor": lambda a: sl.cho_factor(a),
    "cho_factor lower": lambda a: sl.cho_factor(a, True),
    "inv": lambda a: sl.inv(a),
    "det": lambda a: sl.det(a),
    "qr": lambda a: sl.qr(a),
    "qr economic": lambda a: sl.qr(a[:, :2], mode="economic"),
    "qr r": lambda a: sl.qr(a, mode="r"),
    "svd": lambda a: sl.svd(a),
    "svd reduced": lambda a: sl.svd(a[:2], full_matrices=False),
    "svd values": lambda a: sl.svd(a, compute_uv=False),
    "svd gesvd": lambda a: sl.svd(a, lapack_driver="gesvd"),
    "svdvals": lambda a: sl.svdvals(a),
    "eigh": lambda a: sl.eigh(a),
    "eigh upper": lambda a: sl.eigh(a, lower=False, driver="evd"),
    "eigh values": lambda a: sl.eigh(a, eigvals_only=True),
    "eigvalsh": lambda a: sl.eigvalsh(a, lower=False),
    "eigvals": lambda a: sl.eigvals(a),
    "norm": lambda a: sl.norm(a),
    "norm of a vector": lambda a: sl.norm(a[0], 2),
    "norm axis": lambda a: sl.norm(a, axis=0),
    "norm 2": lambda a: sl.norm(a, 2),
    "expm": lambda a: sl.expm(a / 8),
    "sqrtm": lambda a: sl.sqrtm(a + 0.0),
    "logm": lambda a: sl.logm(a * 1.0 + 0.0),
    "block_diag": lambda a: sl.block_diag(a, a[:1], a[0], 2.0),
    "toeplitz": lambda a: sl.toeplitz(a[0]),
    "toeplitz row": lambda a: sl.toeplitz(a[0], a[1, :2]),
    "circulant": lambda a: sl.circulant(a[0]),
    "hankel": lambda a: sl.hankel(a[0]),
    "hankel row": lambda a: sl.hankel(a[0], a[1, :2]),
}


@pytest.mark.filterwarnings("ignore:logm result may be inaccurate")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MATRICES)
def test_functions_of_a_matrix_are_those_of_scipy(name: str, dtype: str) -> None:
    a = positive(3, dtype=dtype)
    check(MATRICES[name], a)
    if dtype != "i8":
        check(MATRICES[name], np.asfortranarray(a))


@pytest.mark.parametrize("name", ["cholesky", "inv", "det", "expm", "sqrtm", "logm"])
def test_stacks_are_those_of_scipy(name: str) -> None:
    check(MATRICES[name], positive(3, 2))
    pb.check_grads(MATRICES[name], (positive(2, 2),), order=1)


# The default driver of eigh may change the signs of vectors with the last bits of the matrix.
@pytest.mark.parametrize("name", sorted(set(MATRICES) - {"eigh"}))
@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_gradients_of_functions_of_a_matrix(name: str, dtype: str) -> None:
    order = 1 if name in ("expm", "sqrtm", "logm") else 2
    pb.check_grads(MATRICES[name], (positive(3, dtype=dtype),), order, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("function", [sl.expm, sl.sqrtm, sl.logm])
def test_second_derivatives_of_functions_of_a_matrix(function: Program) -> None:
    pb.check_grads(lambda a: function(a), (positive(2) / 4,), rtol=1e-4, atol=1e-5)


def test_errors_are_those_of_scipy() -> None:
    x = numbers(3, 3)
    with pytest.raises(np.linalg.LinAlgError):
        pb.compile(lambda a: sl.cholesky(a))(-positive(3))
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        pb.compile(lambda a: sl.solve_triangular(a, a))(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="infs or NaNs"):
        pb.compile(lambda a: sl.solve_triangular(a, a))(x * np.nan)
    for program in (lambda a: sl.expm(a), lambda a: sl.det(a), lambda a: sl.sqrtm(a)):
        with pytest.raises(ValueError, match=r"[a-z]"):
            pb.compile(program)(numbers(2, 3))
    with pytest.raises(ValueError, match="trans"):
        pb.compile(lambda a: sl.solve_triangular(a, a, trans=5))(x)
    with pytest.raises(ValueError, match="structure"):
        pb.compile(lambda a: sl.solve(a, a, assume_a="round"))(x)
    with pytest.raises(ValueError, match="driver"):
        pb.compile(lambda a: sl.svd(a, lapack_driver="x"))(x)
    with pytest.raises(ValueError, match="Mode"):
        pb.compile(lambda a: sl.qr(a, mode="x"))(x)


def test_functions_whose_dtype_depends_on_the_values() -> None:
    negative = -positive(2)
    for function in (sl.sqrtm, sl.logm):
        with pytest.raises(pb.UnsupportedError, match=r"astype\(complex\)"):
            pb.compile(lambda a, f=function: f(a))(negative)
        found = pb.compile(lambda a, f=function: f(a.astype(complex)))(negative)
        np.testing.assert_allclose(found, function(negative.astype(complex)))


REFUSED: dict[str, Program] = {
    "pivoting": lambda a: sl.qr(a, pivoting=True),
    "raw": lambda a: sl.qr(a, mode="raw"),
    "generalized": lambda a: sl.eigh(a, a),
    "subset": lambda a: sl.eigh(a, subset_by_index=[0, 1]),
    "stacks": lambda a: sl.svd(np.stack([a, a])),
    "norm 1": lambda a: sl.norm(a, 1),
    "banded": lambda a: sl.solve(a, a, assume_a="banded"),
    "schur": lambda a: sl.schur(a),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    with pytest.raises(pb.UnsupportedError, match="traced"):
        pb.compile(REFUSED[name])(numbers(3, 3))


def test_factors_made_outside() -> None:
    factor = sl.cho_factor(positive(3))
    check(lambda b: sl.cho_solve(factor, b), numbers(3))


def test_tracing_imports_no_scipy() -> None:
    source = (
        "import sys, numpy as np, pullback as pb\n"
        "pb.grad(lambda a: np.sum(np.linalg.eigh(a)[1]))(np.diag([1.0, 2.0]))\n"
        "assert not any(name.startswith('scipy') for name in sys.modules)\n"
    )
    root = Path(__file__).parents[2] / ".src"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r})\n{source}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
