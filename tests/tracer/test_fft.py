"""numpy.fft, compiled, against NumPy itself: values, errors, gradients."""

from __future__ import annotations

from typing import Any

import against_numpy
import numpy as np
import pytest

import pullback as pb
from pullback.ir.errors import UnsupportedError
from pullback.ir.samples import numbers

Case, close, compare, differentiate = (
    against_numpy.Case, against_numpy.close, against_numpy.compare, against_numpy.differentiate
)  # fmt: skip

ARRAYS: dict[str, Any] = {
    "0-d": np.asarray(1.25),
    "empty": np.zeros(0),
    "no rows": np.zeros((0, 3)),
    "one": np.array([0.5]),
    "odd": numbers(5),
    "even": numbers(6),
    "matrix": numbers(4, 6),
    "cube": numbers(2, 3, 4),
    "strided": numbers(6, 8)[::-2, ::3],
    "transposed": numbers(2, 3, 4).transpose(2, 0, 1),
    "fortran": np.asfortranarray(numbers(3, 4)),
    "broadcast": np.broadcast_to(numbers(3), (2, 3)),
    "float32": numbers(4, 7, dtype="f4"),
    "float16": numbers(3, 4, dtype="f2"),
    "ints": numbers(3, 5, dtype="i8", low=-9, high=9),
    "bytes": numbers(6, dtype="u1", low=0, high=200),
    "bools": numbers(5) > 0,
    "complex": numbers(5, dtype="c16"),
    "complex matrix": numbers(4, 3, dtype="c16"),
    "complex64": numbers(4, 3, dtype="c8"),
    "extremes": np.array([1e300, np.inf, np.nan, -0.0]),
}

ONE: dict[str, Case] = {
    f"{name} {options}": (lambda x, name=name, options=options: getattr(np.fft, name)(x, **options))
    for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
    for options in (
        {},
        {"n": 4},
        {"n": 7, "axis": 0},
        {"n": np.int64(3), "norm": "ortho"},
        {"axis": -2, "norm": "forward"},
        {"norm": "backward", "n": 1},
        {"norm": "middle"},
        {"n": 0},
        {"n": 2.5},
        {"axis": 3},
        {"axis": 3, "n": 2},
    )
}
SEVERAL: dict[str, Case] = {
    f"{name} {options}": (lambda x, name=name, options=options: getattr(np.fft, name)(x, **options))
    for name in ("fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn")
    for options in (
        {},
        {"norm": "ortho"},
        {"s": (3, 8), "axes": (0, 1), "norm": "forward"},
        {"s": (-1, 3), "axes": (-1, 0)},
        {"s": (None, 4), "axes": (0, -1)},
        {"axes": (0,)},
        {"axes": (0, 0)},
        {"axes": ()},
        {"s": (3,)},
        {"s": (3,), "axes": (0, 1)},
        {"axes": (0, 5)},
    )
}
SHIFTS: dict[str, Case] = {
    "fftshift": lambda x: np.fft.fftshift(x),
    "fftshift axis": lambda x: np.fft.fftshift(x, axes=0),
    "fftshift axes": lambda x: np.fft.fftshift(x, axes=(0, -1)),
    "ifftshift": lambda x: np.fft.ifftshift(x),
    "ifftshift axis": lambda x: np.fft.ifftshift(x, -1),
    "fftfreq": lambda x: np.fft.fftfreq(5, 0.5) + np.sum(x),
    "fftfreq spacing": lambda x: np.fft.fftfreq(5, np.sum(x)),
    "fftfreq float": lambda x: np.fft.fftfreq(np.int64(4), float(np.real(x).ravel()[0])),
    "rfftfreq spacing": lambda x: np.fft.rfftfreq(7, d=np.max(np.real(x))),
    "rfftfreq half": lambda x: np.fft.rfftfreq(3.5, np.sum(x)),
    "spectrum": lambda x: np.abs(np.fft.rfft(np.real(x))) ** 2,
    "filter": lambda x: np.fft.irfft(np.fft.rfft(np.real(x)) * 0.5, np.shape(x)[-1]),
}
CASES = {**ONE, **SEVERAL, **SHIFTS}


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_numpy(name: str) -> None:
    # NumPy's inverse real transform of no frequencies reads memory that was never written.
    is_inverse = name.startswith(("irfft", "hfft"))
    for label, x in ARRAYS.items():
        if is_inverse and x.size == 0:
            continue
        try:
            compare(CASES[name], [x])
        except BaseException as error:
            error.add_note(f"on {label}: {x!r}")
            raise


GRADIENTS: dict[str, tuple[Case, Any]] = {
    **{
        f"{name} {n} {norm}": (
            lambda x, name=name, n=n, norm=norm: getattr(np.fft, name)(x, n, 0, norm),
            numbers(4, 2, dtype="f8" if name in ("rfft", "ihfft") else "c16"),
        )
        for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
        for n, norm in ((None, "ortho"), (3, None), (6, "forward"), (7, "backward"))
    },
    "fft of reals": (lambda x: np.fft.fft(x), numbers(5)),
    "irfft of reals": (lambda x: np.fft.irfft(x), numbers(4)),
    "fftn": (lambda x: np.fft.fftn(x, (3, 2), (0, 2)), numbers(2, 2, 3, dtype="c16")),
    "repeated axes": (lambda x: np.fft.fftn(x, axes=(0, 0)), numbers(3, 2)),
    "rfft2": (lambda x: np.fft.rfft2(x), numbers(3, 4)),
    "irfftn": (lambda x: np.fft.irfftn(x, norm="ortho"), numbers(2, 3, 2, dtype="c16")),
    "fftshift": (lambda x: np.fft.fftshift(np.fft.fft(x)), numbers(5, dtype="c16")),
    "ifftshift": (lambda x: np.fft.ifftshift(x, 0), numbers(3, 2)),
    "spectrum": (lambda x: np.abs(np.fft.rfft(x)) ** 2, numbers(6)),
    "fftfreq": (lambda x: np.fft.fftfreq(4, x[0]) * x[1], np.array([0.5, 2.0])),
    "product": (lambda x: np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(x[::-1]), 5), numbers(5)),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_of_both_orders(name: str) -> None:
    function, x = GRADIENTS[name]
    differentiate(function, [x])


def test_the_inverse_of_no_frequencies_is_zero() -> None:
    found = pb.compile(lambda x: np.fft.irfft(x, 4))(np.zeros((2, 0)))
    assert np.array_equal(found, np.zeros((2, 4)))
    with pytest.raises(ValueError, match="Invalid number"):
        pb.compile(lambda x: np.fft.irfft(x))(np.zeros((2, 0)))


def test_gradients_stay_in_single_precision() -> None:
    def power(x: Any) -> Any:
        return np.sum(np.abs(np.fft.rfft(x)) ** 2)

    x = numbers(6, dtype="f4")
    gradient = pb.grad(power)(x)
    assert gradient.dtype == np.float32
    assert np.allclose(gradient, pb.grad(power)(x.astype("f8")), rtol=1e-5)


def test_the_energy_of_a_spectrum_has_a_known_gradient() -> None:
    x = numbers(7)
    gradient = pb.grad(lambda x: np.sum(np.abs(np.fft.fft(x, norm="ortho")) ** 2))(x)
    assert np.allclose(gradient, 2 * x, rtol=1e-12)


@pytest.mark.parametrize("name", ["fft", "fft2", "ifft2", "rfftn", "hfft"])
def test_out_gets_the_result_where_numpy_writes_it(name: str) -> None:
    def function(x: Any) -> Any:
        given = np.zeros((3, 4), float if name == "hfft" else complex)
        out = given[:, :2] if name == "rfftn" else given if name == "hfft" else given[:, :3]
        result = getattr(np.fft, name)(x, out=out)
        return result, given, result is out

    results = pb.compile(function)(numbers(3, 3)), function(numbers(3, 3))
    for found, expected in zip(*results, strict=True):
        assert np.allclose(found, expected)


def test_out_of_another_dtype_is_refused_where_steps_are_computed_in_it() -> None:
    with pytest.raises(UnsupportedError, match="complex64"):
        pb.compile(lambda x: np.fft.fftn(x, out=np.zeros((3, 3), "c8")))(numbers(3, 3))
