"""Scalars in loops are Python's numbers: values, kinds, bits, warnings and errors are NumPy's."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb

pytestmark = pytest.mark.usefixtures("checked")

RNG = np.random.default_rng(11)
NASTY = np.array([0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 1e308, -1e308, 5e-324, 2.5, 700.0])


def assert_same(found: Any, expected: Any, exact: bool = True) -> None:
    assert type(found) is type(expected)
    a, b = np.asarray(found), np.asarray(expected)
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    if exact:
        np.testing.assert_array_equal(a, b)
        if a.dtype.kind == "f":
            np.testing.assert_array_equal(np.signbit(a), np.signbit(b))
    else:
        np.testing.assert_allclose(a, b, rtol=1e-13)


def check(function: Callable[..., Any], *args: Any) -> None:
    """Compare with plain NumPy, bits in exact mode."""
    with np.errstate(all="ignore"):
        expected = function(*args)
        assert_same(pb.compile(function, exact=True)(*args), expected)
        assert_same(pb.compile(function)(*args), expected, exact=False)


def source(function: Callable[..., Any], *args: Any) -> str:
    return pb.compile(function).inspect(*args).source


# -- arithmetic ------------------------------------------------------------------------------------


def pairwise(operation: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def function(x, y, out):
        out = out.copy()
        for i in range(len(x)):
            for j in range(len(y)):
                out[i, j] = operation(x[i], y[j])
        return out

    return function


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "fmax": np.fmax,
    "remainder": lambda a, b: a % b,
    "floor_divide": lambda a, b: a // b,
    "copysign": np.copysign,
    "hypot": np.hypot,
    "arctan2": np.arctan2,
    "where": lambda a, b: np.where(a < b, a, b)[()],
}


@pytest.mark.parametrize("name", BINARY)
def test_two_floats(name: str) -> None:
    check(pairwise(BINARY[name]), NASTY, NASTY, np.zeros((12, 12)))


@pytest.mark.parametrize("name", ["add", "multiply", "divide", "maximum", "where"])
def test_two_single_floats(name: str) -> None:
    x = np.float32([0.0, -1.5, np.inf, 3e38])
    check(pairwise(BINARY[name]), x, x, np.zeros((4, 4), np.float32))


COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b,
    "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b,
    "equal": lambda a, b: a == b,
    "not_equal": lambda a, b: a != b,
    "and": lambda a, b: np.logical_and(a < b, b > 0),
    "or": lambda a, b: (a < b) | (b > 0),
    "xor": lambda a, b: (a < b) ^ (b > 0),
    "not": lambda a, b: ~(a < b),
}


@pytest.mark.parametrize("name", COMPARE)
def test_comparisons(name: str) -> None:
    check(pairwise(COMPARE[name]), NASTY, NASTY, np.zeros((12, 12), bool))


UNARY: dict[str, Callable[[Any], Any]] = {
    "negative": lambda a: -a,
    "absolute": np.abs,
    "square": np.square,
    "sqrt": np.sqrt,
    "sign": np.sign,
    "reciprocal": np.reciprocal,
    "isnan": lambda a: np.where(np.isnan(a), 1.0, 2.0)[()],
    "cube": lambda a: a**3,
    "squared": lambda a: a**2,
    "inverse": lambda a: a**-1,
    "root": lambda a: a**0.5,
    **{
        name: getattr(np, name)
        for name in (
            *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan"),
            *("arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh"),
            *("arctanh", "cbrt", "floor", "rint"),
        )
    },
}


def elementwise(operation: Callable[[Any], Any]) -> Callable[..., Any]:
    def function(x, out):
        out = out.copy()
        for i in range(len(x)):
            out[i] = operation(x[i])
        return out

    return function


@pytest.mark.parametrize("name", UNARY)
def test_one_float(name: str) -> None:
    x = np.concatenate([NASTY, RNG.standard_normal(40), RNG.uniform(0, 1, 40), [-800.0, 800.0]])
    check(elementwise(UNARY[name]), x, np.zeros(len(x)))


INTEGERS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "floor_divide": lambda a, b: a // b,
    "remainder": lambda a, b: a % b,
    "by three": lambda a, b: a // 3 + a % 3 + b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "invert": lambda a, b: ~a,
    "shifted": lambda a, b: (a >> 3) + (b >> 63) + (a >> (b & 7)),
    "maximum": np.maximum,
    "negative": lambda a, b: -a,
    "absolute": lambda a, b: np.abs(a),
}


@pytest.mark.parametrize("name", INTEGERS)
def test_two_integers(name: str) -> None:
    """Sums and products wrap around, as 64 bits do."""
    info = np.iinfo(np.int64)
    x = np.array([0, 1, -1, 7, -8, info.max, info.min, info.max // 2, 3_037_000_500])
    check(pairwise(INTEGERS[name]), x, x, np.zeros((9, 9), np.int64))


def test_conversions() -> None:
    def function(k, x):
        s, n = 0.0, 0
        for i in range(len(k)):
            positive = x[i] > 0
            s = s + k[i] * x[i] + float(positive) + i
            n = n + k[i] + int(positive) * i
        return np.array([s, n])

    check(function, np.array([3, -2, 2**53 + 1, 5, 6, 7, 8, 9]), RNG.standard_normal(8))


# -- kinds -----------------------------------------------------------------------------------------


def test_results_are_of_numpy() -> None:
    def function(x):
        s, n, any_negative = np.float64(0.0), np.int64(0), np.bool_(False)
        for i in range(len(x)):
            s += x[i] * x[i]
            n += np.int64(x[i] > 0.5)
            any_negative = any_negative | (x[i] < 0)
        return s, n, any_negative

    x = RNG.standard_normal(12)
    for found, expected in zip(pb.compile(function)(x), function(x), strict=True):
        assert_same(found, expected)


def test_scalars_enter_array_operations_inside() -> None:
    def function(x, A):
        s = 1.0
        total = np.zeros(3)
        for i in range(len(x)):
            s = s * 0.5 + x[i]
            total += s * A[i] + np.full(3, s) + np.array([s, x[i], 2.0])
        return total

    check(function, RNG.standard_normal(12), RNG.standard_normal((12, 3)))


def test_single_precision_arrays_take_scalars_of_their_own_type() -> None:
    def function(x, A):
        total = np.zeros(3, np.float32)
        for i in range(len(x)):
            total = total * np.float32(x[i]) + A[i]
        return total

    check(function, RNG.standard_normal(12), np.float32(RNG.standard_normal((12, 3))))


# -- ranges and places -----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_ranges_that_may_be_empty(n: int) -> None:
    def function(A):
        A = A.copy()
        for i in range(A.shape[0]):
            for j in range(i):
                for k in range(j + 1, i):
                    A[i, j] += A[k, j] * A[i, k] - A[i - 1, j]
        return A

    check(function, RNG.standard_normal((n, n)))


def test_places_that_count_from_the_end() -> None:
    def function(x):
        x = x.copy()
        for i in range(len(x)):
            x[i] = x[i - 1] + x[-1] - x[i - 3]
        return x

    check(function, RNG.standard_normal(12))


@pytest.mark.parametrize("step", [1, 3, -1, -2])
def test_steps(step: int) -> None:
    def function(x):
        y = x.copy()
        for i in range(len(x) - 2, 0, step) if step < 0 else range(1, len(x), step):
            y[i] = y[i - 1] * 0.5 + x[i]
        return y

    check(function, RNG.standard_normal(40))


def test_strided_and_read_only_arguments() -> None:
    def function(A, x):
        s = 0.0
        for i in range(A.shape[0]):
            for j in range(A.shape[1]):
                s += A[i, j] * x[j]
        return s

    A = RNG.standard_normal((24, 12))[::2, ::-1].T
    x = RNG.standard_normal(12)
    x.flags.writeable = False
    check(function, A, x)
    check(function, np.broadcast_to(x, (12, 12)), x)
    swapped = A.astype(A.dtype.newbyteorder())
    check(function, swapped, x)


@pytest.mark.parametrize("k", [12, -13])
def test_out_of_bounds_raises(k: int) -> None:
    def function(x, at):
        s = 0.0
        for i in range(len(at)):
            s += x[at[i]]
        return s

    at = np.arange(12) % 5
    at[7] = k
    with pytest.raises(IndexError):
        pb.compile(function)(RNG.standard_normal(12), at)


def test_rows_out_of_bounds_raise_only_where_they_are_read() -> None:
    def function(A, n):
        s = 0.0
        for i in range(len(n)):
            for j in range(n[i]):
                s += A[i, j]
        return s

    A = RNG.standard_normal((8, 12))
    n = np.array([3, 0, 5, 1, 2, 12, 4, 1, 0, 0])
    assert pb.compile(function)(A, n) == function(A, n)
    n[-1] = 1
    with pytest.raises(IndexError):
        pb.compile(function)(A, n)


# -- warnings --------------------------------------------------------------------------------------


def quotients(x, y):
    s = 0.0
    for i in range(len(x)):
        s = s + x[i] / y[i]
    return s


def products(x, y):
    s = 1.0
    for i in range(len(x)):
        s = s * x[i] * y[i]
    return s


def logarithms(x, y):
    s = 0.0
    for i in range(len(x)):
        s = s + np.log(x[i]) + np.sqrt(y[i])
    return s


ONES = np.ones(12)
ZERO = np.where(np.arange(12) == 5, 0.0, 1.0)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(
    ("function", "text"), [(quotients, "divide by zero"), (logarithms, "divide by zero")]
)
def test_guarded_arithmetic_warns_at_the_line(
    function: Callable[..., Any], text: str, exact: bool
) -> None:
    args = (ONES, ZERO) if function is quotients else (ZERO, ONES)
    with pytest.warns(RuntimeWarning, match=text) as caught:
        found = pb.compile(function, exact=exact)(*args)
    assert {w.filename for w in caught} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_same(found, function(*args))


@pytest.mark.parametrize("mode", ["raise", "call"])
def test_errors_that_raise_are_of_numpy(mode: Any) -> None:
    seen: list[str] = []
    huge = np.full(12, 1e200)
    with np.errstate(all=mode, call=lambda error, flag: seen.append(error)):
        step = pb.compile(products)
        if mode == "raise":
            with pytest.raises(FloatingPointError, match="overflow"):
                step(huge, huge)
        else:
            assert step(huge, huge) == np.inf
            assert "overflow" in seen
    assert step(ONES, ONES) == 1.0


def test_a_function_that_has_its_errors_raise() -> None:
    def function(x):
        s = 1.0
        with np.errstate(over="raise"):
            for i in range(len(x)):
                s = s * x[i]
        return s

    assert pb.compile(function)(ONES) == 1.0
    with pytest.raises(FloatingPointError):
        pb.compile(function)(np.full(12, 1e200))


# -- what the source says --------------------------------------------------------------------------


def stencil(u, f):
    u = u.copy()
    for i in range(1, u.shape[0] - 1):
        for j in range(1, u.shape[1] - 1):
            u[i, j] = 0.25 * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1] - f[i, j])
    return u


def test_rows_are_taken_before_the_inner_loop() -> None:
    u, f = RNG.standard_normal((2, 12, 14))
    check(stencil, u, f)
    body = source(stencil, u, f).partition("def run")[2]
    inner = body[body.rindex("for ") :]
    assert "memoryview" not in inner
    assert "int64" not in body
    assert "float64" not in body


def test_nothing_is_counted_that_is_not_read() -> None:
    text = source(quotients, ONES, ONES)
    assert "enumerate" not in text
    assert "count" not in text


def sums(x):
    s = 0.0
    for i in range(len(x)):
        s = s + np.exp(-x[i]) * x[i] ** 2 / (1.0 + np.tanh(x[i]))
    return s


def test_gradient_in_both_modes() -> None:
    x = RNG.uniform(0.5, 1.5, 12)
    slopes = [(sums(x + 1e-6 * e) - sums(x - 1e-6 * e)) / 2e-6 for e in np.eye(len(x))]
    for exact in (True, False):
        np.testing.assert_allclose(pb.grad(sums, exact=exact)(x), slopes, rtol=1e-7)


def test_integer_overflow_warns() -> None:
    def function(x):
        n = np.int64(1)
        for i in range(len(x)):
            n = n * x[i]
        return n

    x = np.full(12, 2**40)
    with pytest.warns(RuntimeWarning, match="overflow"):
        found = pb.compile(function)(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_same(found, function(x))


# -- complex numbers -------------------------------------------------------------------------------

COMPLEX: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "square": lambda a, b: a * a - b * b,
    "conjugate": lambda a, b: np.conj(a) - b,
    "modulus": lambda a, b: np.abs(a) + 1j * np.abs(b),
    "parts": lambda a, b: a.real * b.imag + 1j * a.imag,
    "where": lambda a, b: np.where(a == b, a, -b)[()],
}


@pytest.mark.parametrize("name", COMPLEX)
def test_two_complex_numbers(name: str) -> None:
    x = np.array([1 + 2j, 0j, -1.5, 1j, 3e200 + 4e200j, complex(np.inf, 1), 1e308 + 1e308j])
    check(pairwise(COMPLEX[name]), x, x, np.zeros((7, 7), complex))


def test_complex_numbers_from_real_ones() -> None:
    def function(re, im):
        counts = np.zeros((len(im), len(re)), dtype=int)
        for i in range(len(im)):
            for j in range(len(re)):
                c = re[j] + 1j * im[i]
                z, n = 0j, 0
                while abs(z) <= 2 and n < 9:
                    z = z * z + c
                    n += 1
                counts[i, j] = n
        return counts

    check(function, np.linspace(-2, 1, 12), np.linspace(-1.5, 1.5, 12))


def test_the_last_index_of_a_range_with_steps_is_known() -> None:
    def function(x):
        x = x.copy()
        for start in range(0, 24, 2):
            x[start : start + 2] = x[start : start + 2][::-1] * 0.5
        return x

    check(function, RNG.standard_normal(24))
    assert "max(" not in source(function, RNG.standard_normal(24))
