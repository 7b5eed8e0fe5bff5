"""Gradients of complex functions: holomorphic ones, and real functions of complex arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.errors import DifferentiationError

Z = np.array([0.3 + 0.2j, -0.7 + 0.5j, 1.1 - 0.4j])
M = np.array([[2.0 + 1j, 0.3], [0.1 - 0.5j, 1.5]])

HOLOMORPHIC: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "polynomial": (lambda z: z**3 - 2 * z, lambda z: 3 * z**2 - 2),
    "exp": (np.exp, np.exp),
    "sin": (np.sin, np.cos),
    "cosh": (np.cosh, np.sinh),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "log": (np.log, lambda z: 1 / z),
    "sqrt": (np.sqrt, lambda z: 0.5 / np.sqrt(z)),
    "quotient": (lambda z: (1 + 1j) / (z * z + 3), lambda z: -(1 + 1j) * 2 * z / (z * z + 3) ** 2),
    "constant power": (lambda z: (2 + 1j) ** z, lambda z: np.log(2 + 1j) * (2 + 1j) ** z),
}


@pytest.mark.parametrize("name", HOLOMORPHIC)
def test_the_derivative_of_a_holomorphic_function_is_complex(name: str) -> None:
    f, slope = HOLOMORPHIC[name]
    derivative = pb.grad(f, holomorphic=True)
    for z in Z:
        found = derivative(complex(z))
        assert type(found) is complex
        np.testing.assert_allclose(found, slope(z), rtol=1e-12)
        np.testing.assert_allclose(derivative(np.complex128(z)), slope(z), rtol=1e-12)
    summed = pb.grad(lambda z: np.sum(f(z)), holomorphic=True)
    np.testing.assert_allclose(summed(Z), slope(Z), rtol=1e-12)


def test_of_matrices_and_through_loops() -> None:
    def f(m: Any) -> Any:
        p = m
        for _ in range(3):
            p = p @ m
        return np.trace(p) + np.linalg.det(m)

    value, found = pb.value_and_grad(f, holomorphic=True)(M)
    np.testing.assert_allclose(value, f(M))
    expected = 4 * np.linalg.matrix_power(M, 3).T + np.linalg.det(M) * np.linalg.inv(M).T
    np.testing.assert_allclose(found, expected)


def test_higher_derivatives_and_several_arguments() -> None:
    g = pb.grad(pb.grad(lambda z: z**4, holomorphic=True), holomorphic=True)
    np.testing.assert_allclose(g(1.0 + 2.0j), 12 * (1 + 2j) ** 2)
    a, b = pb.grad(lambda a, b: a * a * b, argnums=(0, 1), holomorphic=True)(1j, 2.0 + 0j)
    assert (a, b) == (4j, -1)


def test_with_aux_and_within_a_compiled_function() -> None:
    @pb.compile
    def f(z: Any) -> Any:
        slope, aux = pb.grad(lambda z: (z * z, {"z": z}), has_aux=True, holomorphic=True)(z)
        return slope * 1j, aux

    slope, aux = f(2.0 + 1.0j)
    assert slope == pytest.approx(2j * (2 + 1j))
    assert aux == {"z": 2 + 1j}


def test_as_jax_has_it() -> None:
    jax = pytest.importorskip("jax")

    def f(numpy: Any, z: Any) -> Any:
        return numpy.sum(numpy.sin(z) * numpy.exp(z) / (z + 2))

    expected = jax.grad(lambda z: f(jax.numpy, z), holomorphic=True)(np.complex64(Z))
    found = pb.grad(lambda z: f(np, z), holomorphic=True)(np.complex64(Z))
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, expected, rtol=1e-5)


REAL: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "squared size": (lambda z: np.sum(np.abs(z) ** 2), lambda z: 2 * np.conj(z)),
    "size": (lambda z: np.sum(np.abs(z)), lambda z: np.conj(z) / np.abs(z)),
    "real": (lambda z: np.sum(np.real(z) ** 2), lambda z: 2 * np.real(z) + 0j),
    "imaginary": (lambda z: np.sum(np.imag(z) ** 3), lambda z: -3j * np.imag(z) ** 2),
    "product": (lambda z: np.real(np.sum(z * z * 1j)), lambda z: 2j * z),
    "angle": (lambda z: np.sum(np.angle(z)), lambda z: -1j / z),
}


@pytest.mark.parametrize("name", REAL)
def test_of_a_real_function_it_is_the_slope_in_a_less_i_times_that_in_b(name: str) -> None:
    f, expected = REAL[name]
    found = pb.grad(f)(Z)
    np.testing.assert_allclose(found, expected(Z), rtol=1e-12)
    h = 1e-6
    for k in range(len(Z)):
        step = np.zeros(3)
        step[k] = h
        a = (f(Z + step) - f(Z - step)) / (2 * h)
        b = (f(Z + 1j * step) - f(Z - 1j * step)) / (2 * h)
        np.testing.assert_allclose(found[k], a - 1j * b, rtol=1e-6, atol=1e-9)


def test_a_complex_output_is_refused_without_it() -> None:
    with pytest.raises(DifferentiationError, match="write holomorphic=True"):
        pb.grad(lambda z: z * z)(1j)
    with pytest.raises(DifferentiationError, match="write holomorphic=True"):
        pb.compile(lambda z: pb.grad(lambda z: z * z)(z))(1j)


def test_real_arguments_and_outputs_are_refused_with_it() -> None:
    with pytest.raises(DifferentiationError, match=r"`x` is f64\[3\].\n  Convert it"):
        pb.grad(lambda x: np.sum(x * 1j), holomorphic=True)(np.ones(3))
    with pytest.raises(DifferentiationError, match=r"holomorphic=True needs .* returns f64"):
        pb.grad(lambda z: np.abs(z), holomorphic=True)(1j)
    with pytest.raises(DifferentiationError, match="returns a complex scalar"):
        pb.compile(lambda z: pb.grad(lambda z: np.real(z), holomorphic=True)(z))(1j)
    with pytest.raises(DifferentiationError, match="returns a scalar"):
        pb.grad(lambda z: z * z, holomorphic=True)(Z)


@pytest.mark.parametrize("z", [0.5 - 2j, 0.5, np.complex64(1 + 2j), np.array(1 + 2j)])
@pytest.mark.parametrize(
    "part", [lambda z: z.real, lambda z: z.imag, lambda z: z.conjugate(), np.real, np.imag, np.conj]
)
def test_parts_of_python_numbers_are_python_numbers(part: Any, z: Any) -> None:
    single = np.ones(2, np.float32)
    for f in (part, lambda z: part(z) * single):
        found, expected = pb.compile(f)(z), f(z)
        assert type(found) is type(expected)
        assert np.result_type(found) == np.result_type(expected)
        np.testing.assert_array_equal(found, expected)
