"""Decompositions and the rest of `np.linalg`, compiled, against NumPy: bits, kinds, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.samples import numbers

la = np.linalg
Program = Callable[..., Any]


def hermitian(n: int, *lead: int, dtype: Any = np.float64) -> np.ndarray:
    x = numbers(*lead, n, n, dtype=dtype)
    return x + np.swapaxes(x, -1, -2).conj()


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
        assert not isinstance(e, np.ndarray) or f.strides == e.strides or not e.size
    for f, e in zip(leaves(pb.compile(program)(*arguments)), leaves(expected), strict=True):
        # What does not determine its bits (null vectors, phases of rounding) is not compared.
        np.testing.assert_allclose(np.asarray(f), np.asarray(e), rtol=1e-4, atol=1e-4)


MATRICES: dict[str, np.ndarray] = {
    "square": numbers(3, 3),
    "tall": numbers(4, 2),
    "wide": numbers(2, 4),
    "stack": numbers(2, 3, 2),
    "stack wide": numbers(2, 1, 2, 3),
    "single": numbers(3, 2, dtype="f4"),
    "complex": numbers(3, 2, dtype="c16"),
    "complex wide": numbers(2, 3, dtype="c16"),
    "complex single": numbers(3, 3, dtype="c8"),
    "ints": numbers(3, 2, dtype="i8", low=-9, high=9),
    "strided": numbers(6, 5)[::2, ::-2],
    "fortran": np.asfortranarray(numbers(3, 4)),
    "one": numbers(1, 1),
    "no rows": np.zeros((0, 3)),
    "no columns": np.zeros((2, 0)),
    "none": np.zeros((0, 2, 2)),
}
RECTANGULAR: dict[str, Program] = {
    "qr": la.qr,
    "qr complete": lambda a: la.qr(a, mode="complete"),
    "qr r": lambda a: la.qr(a, "r"),
    "svd": la.svd,
    "svd reduced": lambda a: la.svd(a, full_matrices=False),
    "svd values": lambda a: la.svd(a, compute_uv=False),
    "svdvals": la.svdvals,
    "pinv": la.pinv,
    "pinv rtol": lambda a: la.pinv(a, rtol=0.3),
    "pinv rcond": lambda a: la.pinv(a, 1e-3),
    "pinv default rtol": lambda a: la.pinv(a + 0.0, rtol=None),
    "rank": la.matrix_rank,
    "rank tol": lambda a: la.matrix_rank(a, 0.5),
    "rank rtol": lambda a: la.matrix_rank(a, rtol=0.5),
    "trace": la.trace,
    "trace offset": lambda a: la.trace(a, offset=1),
    "diagonal": lambda a: la.diagonal(a, offset=-1).copy(),
    "norm 2": lambda a: la.norm(a, 2, axis=(-2, -1)),
    "norm -2": lambda a: la.norm(a + 0.0, -2, axis=(-1, -2), keepdims=True),
    "norm nuc": lambda a: la.norm(a, "nuc", axis=(-2, -1)),
    "norm nuc outer axes": lambda a: la.norm(a, "nuc", axis=(0, -1), keepdims=True),
    "matrix norm 2": lambda a: la.matrix_norm(a, ord=2),
    "vector norm axis": lambda a: la.vector_norm(a, axis=0, keepdims=True),
    "vector norm axes": lambda a: la.vector_norm(a, axis=(-1, 0), ord=3),
    "cond": lambda a: la.cond(a),
    "cond -2": lambda a: la.cond(a, -2),
}


@pytest.mark.parametrize("name", RECTANGULAR)
def test_functions_of_matrices_are_those_of_numpy(name: str) -> None:
    program = RECTANGULAR[name]
    for label, a in MATRICES.items():
        try:
            expected = program(a)
        except (la.LinAlgError, ValueError) as error:
            with pytest.raises(type(error)):
                pb.compile(program)(a)
            continue
        assert expected is not None
        try:
            check(program, a)
        except BaseException as error:
            error.add_note(f"on {label}")
            raise


SQUARE: dict[str, Program] = {
    "eigh": la.eigh,
    "eigh upper": lambda a: la.eigh(a, "u"),
    "eigvalsh": la.eigvalsh,
    "eigvalsh upper": lambda a: la.eigvalsh(a, UPLO="U"),
    "svd hermitian": lambda a: la.svd(a, hermitian=True),
    "svdvals hermitian": lambda a: la.svd(a, compute_uv=False, hermitian=True),
    "pinv hermitian": lambda a: la.pinv(a, hermitian=True),
    "rank hermitian": lambda a: la.matrix_rank(a, hermitian=True),
    "eig complex": lambda a: la.eig(a.astype(complex)),
    "eigvals complex": lambda a: la.eigvals(a + 0j),
    "power": lambda a: la.matrix_power(a, -3),
    "tensorinv": lambda a: la.tensorinv(a, 1) if a.ndim == 2 else a,
    "cond 1": lambda a: la.cond(a, 1),
    "cond inf": lambda a: la.cond(a, -np.inf),
    "cond fro": lambda a: la.cond(a, "fro"),
    "cond nuc": lambda a: la.cond(a, "nuc"),
}
SQUARES: dict[str, np.ndarray] = {
    "real": hermitian(3),
    "stack": hermitian(3, 2),
    "complex": hermitian(3, dtype="c16"),
    "single": hermitian(4, dtype="f4"),
    "complex single": hermitian(2, dtype="c8"),
    "lopsided": numbers(3, 3),
    "ints": hermitian(3, dtype="i8"),
    "one": numbers(1, 1),
}


@pytest.mark.parametrize("name", SQUARE)
def test_functions_of_square_matrices_are_those_of_numpy(name: str) -> None:
    for label, a in SQUARES.items():
        try:
            check(SQUARE[name], a)
        except BaseException as error:
            error.add_note(f"on {label}")
            raise


def test_eigenvalues_of_real_matrices_are_complex_or_refused() -> None:
    turning = np.array([[1.0, -2.0], [3.0, 0.5]])
    for program in (la.eig, la.eigvals):
        check(program, turning)
        check(program, turning.astype("f4"))
        check(program, np.stack([turning, np.eye(2)]))
        with pytest.raises(pb.UnsupportedError, match=r"astype\(complex\)"):
            pb.compile(program)(np.eye(2))


def test_singular_matrices_have_infinite_condition_numbers_without_a_warning() -> None:
    singular = np.stack([np.ones((2, 2)), 2 * np.eye(2)])
    for p in (None, 2, -2, 1, np.inf, "fro"):
        check(lambda a, p=p: la.cond(a, p), singular)
        check(lambda a, p=p: la.cond(a, p), np.zeros((2, 2)))
        check(lambda a, p=p: la.cond(a, p), np.array([[np.nan, 1.0], [1.0, 1.0]])) if p in (
            1,
            "fro",
        ) else None


SYSTEMS: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "tall": (numbers(4, 2), numbers(4, 3)),
    "tall vector": (numbers(4, 2), numbers(4)),
    "wide": (numbers(2, 4), numbers(2, 3)),
    "square": (numbers(3, 3), numbers(3)),
    "mixed": (numbers(4, 2, dtype="f4"), numbers(4, 1, dtype="c8")),
    "ints": (numbers(4, 2, dtype="i8", low=-9, high=9), numbers(4, dtype="i4", low=-9, high=9)),
    "no sides": (numbers(4, 2), np.zeros((4, 0))),
    "complex": (numbers(3, 2, dtype="c16"), numbers(3, dtype="c16")),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_least_squares_are_those_of_numpy(name: str) -> None:
    check(lambda a, b: la.lstsq(a, b), *SYSTEMS[name])
    check(lambda a, b: la.lstsq(a, b, 1e-3)[0], *SYSTEMS[name])
    check(lambda a, b: la.lstsq(a, b, rcond=-1)[2], *SYSTEMS[name])


def test_residuals_of_a_deficient_system_are_refused_where_they_are_used() -> None:
    a, b = np.ones((4, 2)), numbers(4)
    check(lambda a, b: la.lstsq(a, b, rcond=None)[0], numbers(4, 2), b)
    found = pb.compile(lambda a, b: la.lstsq(a, b)[0])(a, b)
    np.testing.assert_allclose(found, la.lstsq(a, b)[0])
    with pytest.raises(la.LinAlgError, match="rank 1"):
        pb.compile(lambda a, b: la.lstsq(a, b)[1])(a, b)


def test_tensors() -> None:
    a, b = numbers(2, 3, 6), numbers(2, 3)
    check(la.tensorsolve, a, b)
    check(lambda a, b: la.tensorsolve(a, b, axes=(1,)), numbers(2, 6, 3), b)
    check(lambda a: la.tensorinv(a), numbers(4, 6, 8, 3))
    check(lambda a: la.tensorinv(a, ind=1), numbers(6, 2, 3))
    for program in (lambda a: la.tensorinv(a, 0), lambda a: la.tensorinv(a, 1)):
        with pytest.raises(ValueError, match=r"[Ii]nvalid|square"):
            pb.compile(program)(numbers(6, 2, 2))
    with pytest.raises(la.LinAlgError, match="requirement"):
        pb.compile(la.tensorsolve)(a, numbers(2))
    pb.check_grads(la.tensorsolve, (a, b))
    pb.check_grads(lambda a: la.tensorinv(a, ind=1), (numbers(6, 2, 3),))


@pytest.mark.parametrize("shapes", [((2,), (2,)), ((2,), (3,)), ((4, 3), (2,)), ((3,), (1, 3))])
def test_cross_products(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = numbers(*shapes[0]), numbers(*shapes[1], seed=1)
    if shapes[0][-1] == shapes[1][-1] == 3:
        check(np.cross, a, b)
        check(la.cross, a, b)
        return
    with pytest.warns(DeprecationWarning, match="2-dimensional vectors"):
        expected = np.cross(a, b)
    with pytest.warns(DeprecationWarning, match="2-dimensional vectors") as caught:
        found = pb.compile(lambda a, b: np.cross(a, b), exact=True)(a, b)
    assert caught[0].filename == __file__
    assert type(found) is type(expected)
    assert np.array_equal(found, expected)
    with pytest.raises(ValueError, match="3-dimensional"):
        pb.compile(la.cross)(a, b)


def test_what_is_refused() -> None:
    x = numbers(3, 3)
    for mode in ("raw", "economic"):
        with pytest.raises(pb.UnsupportedError, match="mode="):
            pb.compile(lambda a, m=mode: la.qr(a, m))(x)
    with pytest.raises(ValueError, match="Unrecognized"):
        pb.compile(lambda a: la.qr(a, "x"))(x)
    with pytest.warns(DeprecationWarning, match="full"):
        pb.compile(lambda a: la.qr(a, "full"))(x)
    with pytest.raises(ValueError, match="UPLO"):
        pb.compile(lambda a: la.eigh(a, "x"))(x)
    with pytest.raises(ValueError, match="both"):
        pb.compile(lambda a: la.pinv(a, 1e-3, rtol=1e-3))(x)
    with pytest.raises(ValueError, match="both"):
        pb.compile(lambda a: la.matrix_rank(a, 1e-3, rtol=1e-3))(x)
    with pytest.raises(la.LinAlgError, match="converge"):
        pb.compile(la.svdvals)(x * np.nan)
    with pytest.raises(la.LinAlgError, match="infs or NaNs"):
        pb.compile(la.eigvals)(x * np.nan)
    for program in (la.eigh, la.eigvals, la.qr, la.svd, la.pinv, lambda a: la.lstsq(a, a)):
        with pytest.raises(la.LinAlgError):
            pb.compile(program)(numbers(3))
        with pytest.raises(TypeError, match="float16"):
            pb.compile(program)(x.astype("f2"))


GRADIENTS: dict[str, tuple[Program, np.ndarray]] = {
    "svd of a tall matrix": (la.svd, numbers(3, 2)),
    "svd of a wide stack": (lambda a: la.svd(a, full_matrices=False), numbers(2, 2, 3)),
    "svd hermitian": (lambda a: la.svd(a, hermitian=True), hermitian(3)),
    "complex svd": (lambda a: la.svd(a, full_matrices=False), numbers(2, 3, dtype="c16")),
    "complex eigh": (lambda a: la.eigh(a, "U"), hermitian(3, dtype="c16")),
    "eig": (lambda a: la.eig(a), np.array([[1.0, -2.0], [3.0, 0.5]])),
    "eigvals": (lambda a: la.eigvals(a.astype(complex)), numbers(3, 3)),
    "complete qr": (lambda a: la.qr(a, "complete"), numbers(3, 2)),
    "pinv": (la.pinv, numbers(4, 2)),
    "pinv of a deficient matrix": (lambda a: la.pinv(a @ a.T, rtol=1e-6), numbers(4, 2)),
    "pinv of hermitian": (lambda a: la.pinv(a, hermitian=True), hermitian(3)),
    "norm nuc": (lambda a: la.norm(a, "nuc"), numbers(3, 2, dtype="c16")),
    "norm 2": (lambda a: la.norm(a, 2, axis=(0, 2)), numbers(3, 2, 2)),
    "cond": (lambda a: la.cond(a), numbers(3, 2)),
    "cond 1": (lambda a: la.cond(a, 1), numbers(3, 3)),
    "power": (lambda a: la.matrix_power(a, -2), hermitian(3)),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_agree_with_differences(name: str) -> None:
    program, a = GRADIENTS[name]
    pb.check_grads(program, (a,), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["tall", "tall vector", "wide", "complex"])
def test_gradients_of_least_squares(name: str) -> None:
    pb.check_grads(lambda a, b: la.lstsq(a, b), SYSTEMS[name], rtol=1e-4, atol=1e-5)


def test_bases_of_null_spaces_differentiate_only_as_spaces() -> None:
    a = numbers(4, 2)

    def projector(a: Any) -> Any:
        null = la.svd(a)[0][:, 2:]
        return null @ null.T

    def complement(a: Any) -> Any:
        null = la.qr(a, "complete").Q[:, 2:]
        return null @ null.T

    pb.check_grads(projector, (a,))
    pb.check_grads(complement, (a,))
    assert np.isnan(pb.grad(lambda a: np.sum(la.svd(a)[0] ** 3))(a)).all()
    assert np.isnan(pb.grad(lambda a: np.sum(la.qr(a, "complete")[0] ** 3))(a)).all()


def test_repeated_eigenvalues() -> None:
    a = np.diag([2.0, 2.0, 1.0])
    np.testing.assert_allclose(pb.grad(lambda a: np.sum(la.eigvalsh(a) ** 2))(a), 2 * a, atol=1e-12)
    np.testing.assert_allclose(pb.grad(lambda a: np.sum(la.svdvals(a) ** 2))(a), 2 * a, atol=1e-12)
    vectors = pb.grad(lambda a: np.sum(la.eigh(a)[1] ** 3))(a)
    assert not np.isfinite(vectors).all()


def test_only_the_triangle_that_is_read_has_a_gradient() -> None:
    a = hermitian(3)
    lower = pb.grad(lambda a: np.sum(la.eigh(a)[0] ** 3))(a)
    upper = pb.grad(lambda a: np.sum(la.eigvalsh(a, "U") ** 3))(a)
    assert np.array_equal(lower, np.tril(lower))
    np.testing.assert_allclose(lower, upper.T)


def test_a_matrix_without_a_derivative_raises() -> None:
    with pytest.raises(la.LinAlgError):
        pb.grad(lambda a: np.sum(la.qr(a)[0]))(np.zeros((3, 3)))


def test_eigenvectors_inside_a_loop() -> None:
    def power(a: Any) -> Any:
        total = 0.0
        for _ in range(3):
            w, v = la.eigh(a)
            a = (v * np.tanh(w)) @ v.T
            total = total + np.sum(a)
        return total

    pb.check_grads(power, (hermitian(3),))
