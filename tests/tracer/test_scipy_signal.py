"""scipy.signal, compiled, against SciPy itself; what waits for an import; refusals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import against_numpy
import numpy as np
import pytest
import scipy.integrate
import scipy.signal as ss

import pullback as pb
from pullback.ir.errors import UnsupportedError
from pullback.ir.samples import numbers

Case, close, compare, differentiate = (
    against_numpy.Case, against_numpy.close, against_numpy.compare, against_numpy.differentiate
)  # fmt: skip

PAIRS: dict[str, tuple[Any, Any]] = {
    "vectors": (numbers(9), numbers(4, seed=1)),
    "longer second": (numbers(3), numbers(8, seed=1)),
    "long": (numbers(700), numbers(650, seed=1)),
    "float32": (numbers(6, dtype="f4"), numbers(3, dtype="f4", seed=1)),
    "mixed": (numbers(6, dtype="f4"), numbers(3, seed=1)),
    "complex": (numbers(6, dtype="c16"), numbers(3, dtype="c16", seed=1)),
    "real and complex": (numbers(6), numbers(3, dtype="c16", seed=1)),
    "ints": (numbers(6, dtype="i8", low=-9, high=9), numbers(3, dtype="i8", low=0, high=9)),
    "scalars": (np.asarray(1.5), np.asarray(-2.0)),
    "matrices": (numbers(5, 6), numbers(2, 3, seed=1)),
    "smaller matrix first": (numbers(2, 3), numbers(5, 6, seed=1)),
    "crossed": (numbers(2, 6), numbers(5, 3, seed=1)),
    "cubes": (numbers(3, 4, 2), numbers(2, 2, 2, seed=1)),
    "column": (numbers(5, 4), numbers(3, 1, seed=1)),
    "row": (numbers(1, 4), numbers(3, 2, seed=1)),
    "strided": (numbers(9, 8)[::2, ::-1], numbers(3, 2, seed=1).T),
    "vector and matrix": (numbers(3), numbers(3, 3)),
    "empty": (np.zeros(0), numbers(3)),
    "both empty": (np.zeros(0, "f4"), np.zeros(0)),
}
CONVOLUTIONS: dict[str, Case] = {
    **{
        f"{name} {mode} {method}": (
            lambda x, y, name=name, mode=mode, method=method: getattr(ss, name)(x, y, mode, method)
        )
        for name in ("convolve", "correlate")
        for mode in ("full", "same", "valid", "middle")
        for method in ("auto", "direct", "fft")
    },
    **{
        f"fftconvolve {mode}": (lambda x, y, mode=mode: ss.fftconvolve(x, y, mode))
        for mode in ("full", "same", "valid", "middle")
    },
    "fftconvolve last axis": lambda x, y: ss.fftconvolve(x, y, axes=-1),
    "fftconvolve first axis": lambda x, y: ss.fftconvolve(x, y, mode="same", axes=[0]),
    "fftconvolve no axes": lambda x, y: ss.fftconvolve(x, y, axes=()),
    "unknown method": lambda x, y: ss.convolve(x, y, method="fast"),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_are_those_of_scipy(name: str) -> None:
    for label, pair in PAIRS.items():
        if label == "ints" and "auto" in name:
            continue  # by sums, see below
        try:
            compare(CONVOLUTIONS[name], pair)
        except BaseException as error:
            error.add_note(f"on {label}")
            raise


def test_integers_are_convolved_by_sums() -> None:
    x, y = PAIRS["ints"]
    for name in ("convolve", "correlate"):
        compare(CONVOLUTIONS[f"{name} full auto"], (x, y), close)
    wide = np.full(700, 2**40)
    assert np.array_equal(pb.compile(lambda x: ss.convolve(x, x))(wide), np.convolve(wide, wide))


GRADIENTS: dict[str, tuple[Case, str]] = {
    "convolve full": (lambda x, y: ss.convolve(x, y), "vectors"),
    "convolve same": (lambda x, y: ss.convolve(x, y, "same"), "longer second"),
    "convolve valid": (lambda x, y: ss.convolve(x, y, "valid"), "smaller matrix first"),
    "convolve fft": (lambda x, y: ss.convolve(x, y, "same", "fft"), "matrices"),
    "convolve direct": (lambda x, y: ss.convolve(x, y, "valid", "direct"), "cubes"),
    "fftconvolve": (lambda x, y: ss.fftconvolve(x, y), "real and complex"),
    "fftconvolve axes": (lambda x, y: ss.fftconvolve(x, y, axes=1), "row"),
    "fftconvolve column": (lambda x, y: ss.fftconvolve(x, y, "same"), "column"),
    "correlate": (lambda x, y: ss.correlate(x, y), "complex"),
    "correlate same": (lambda x, y: ss.correlate(x, y, "same", "fft"), "crossed"),
    "correlate valid": (lambda x, y: ss.correlate(x, y, "valid", "direct"), "smaller matrix first"),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_of_convolutions(name: str) -> None:
    function, pair = GRADIENTS[name]
    differentiate(function, PAIRS[pair])


TAPS, POLES = np.array([0.5, -0.25, 0.125]), np.array([2.0, -0.5, 0.25])
FILTERS: dict[str, tuple[Case, tuple[Any, ...]]] = {
    "recursive": (lambda b, a, x: ss.lfilter(b, a, x), (TAPS, POLES, numbers(8))),
    "taps only": (lambda b, a, x: ss.lfilter(b, a, x), (TAPS, POLES[:1], numbers(2, 8))),
    "poles only": (lambda b, a, x: ss.lfilter(b, a, x), (TAPS[:1], POLES, numbers(2, 8))),
    "first axis": (lambda b, a, x: ss.lfilter(b, a, x, axis=0), (TAPS, POLES, numbers(6, 2))),
    "middle axis": (lambda b, a, x: ss.lfilter(b, a, x, 1), (TAPS, POLES, numbers(2, 5, 2))),
    "state": (
        lambda b, a, x, z: ss.lfilter(b, a, x, zi=z), (TAPS, POLES, numbers(2, 6), numbers(2, 2)),
    ),
    "one state for all": (
        lambda b, a, x, z: ss.lfilter(b, a, x, 0, z), (TAPS, POLES, numbers(6, 3), numbers(2, 1)),
    ),
    "state of taps": (
        lambda b, a, x, z: ss.lfilter(b, a, x, zi=z), (TAPS, POLES[:1], numbers(6), numbers(2)),
    ),
    "longer state than signal": (
        lambda b, a, x, z: ss.lfilter(b, a, x, zi=z), (TAPS, np.ones(5), numbers(2), numbers(4)),
    ),
    "complex": (
        lambda b, a, x: ss.lfilter(b, a, x), (TAPS * 1j, POLES + 0.1j, numbers(5, dtype="c16")),
    ),
    "numbers": (lambda g, x: ss.lfilter([g], [1, -g], x), (np.float64(0.5), numbers(5))),
    "scalars": (lambda b, x: ss.lfilter(b, 1.0, x), (np.float64(0.5), numbers(5))),
}  # fmt: skip
OTHERS: dict[str, tuple[Case, tuple[Any, ...]]] = {
    "single": (FILTERS["recursive"][0], tuple(v.astype("f4") for v in (TAPS, POLES, numbers(8)))),
    "half": (FILTERS["recursive"][0], tuple(v.astype("f2") for v in (TAPS, POLES, numbers(8)))),
    "integers": (FILTERS["recursive"][0], (np.array([1]), np.array([1, 2]), np.arange(4))),
    "integer signal": (FILTERS["recursive"][0], (TAPS, POLES, np.arange(4))),
    "no signal": (FILTERS["recursive"][0], (TAPS, POLES, np.zeros(0))),
    "no axes": (FILTERS["recursive"][0], (TAPS, POLES, np.asarray(1.0))),
    "zero pole": (FILTERS["recursive"][0], (TAPS, np.array([0.0, 1.0]), numbers(3))),
    "matrix of taps": (FILTERS["recursive"][0], (np.ones((2, 2)), POLES, numbers(3))),
    "no taps": (FILTERS["recursive"][0], (np.zeros(0), POLES, numbers(3))),
    "axis": (FILTERS["middle axis"][0], (TAPS, POLES, numbers(3))),
    "state": (FILTERS["state"][0], (TAPS, POLES, numbers(3), numbers(3))),
    "axes of state": (FILTERS["state"][0], (TAPS, POLES, numbers(2, 3), numbers(2))),
    "strided signal": (FILTERS["first axis"][0], (TAPS, POLES, numbers(6, 4)[::-2, ::-1])),
}


@pytest.mark.parametrize("name", [*FILTERS, *[f"other {name}" for name in OTHERS]])
def test_filters_are_those_of_scipy(name: str) -> None:
    function, arguments = OTHERS[name[6:]] if name.startswith("other ") else FILTERS[name]
    compare(function, arguments)


@pytest.mark.parametrize("name", FILTERS)
def test_gradients_of_filters(name: str) -> None:
    function, arguments = FILTERS[name]
    differentiate(function, arguments)


def test_the_program_does_not_grow_with_the_length() -> None:
    def power(b: Any, a: Any, x: Any) -> Any:
        return np.sum(ss.lfilter(b, a, x) ** 2)

    function = pb.grad(power, argnums=(0, 1, 2))
    short, long = (str(function.inspect(TAPS, POLES, numbers(n))) for n in (20, 400))
    assert len(short.splitlines()) == len(long.splitlines())


# ---- what waits for an import --------------------------------------------------------------------


PROGRAM = """
import sys
import numpy as np
import pullback as pb

def plain(x):
    return np.sum(np.fft.rfft(x).real)

pb.grad(plain)(np.ones(3))
assert "scipy" not in sys.modules

def late(x):
    import scipy.signal
    return np.sum(scipy.signal.lfilter([1.0], [1.0, -0.5], x))

assert pb.grad(late)(np.ones(2)).tolist() == [1.5, 1.0]
"""


def test_scipy_is_imported_by_the_user_alone(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / ".src")}
    command = [sys.executable, str(file)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_without_traced_arguments_scipy_runs_by_itself() -> None:
    def filtered(x: Any) -> Any:
        return x * ss.lfilter([1.0], [1.0, -0.5], np.ones(3))

    assert np.array_equal(pb.compile(filtered)(np.ones(3)), filtered(np.ones(3)))


REFUSALS: dict[str, Case] = {
    "solve_ivp": lambda y: scipy.integrate.solve_ivp(lambda t, s: -s, (0, 1), y).y,
    "odeint": lambda y: scipy.integrate.odeint(lambda s, t: -y[0] * s, 1.0, [0, 1]),
    "quad": lambda y: scipy.integrate.quad(lambda t: t * y[0], 0, 1)[0],
}


@pytest.mark.parametrize("name", REFUSALS)
def test_integrators_are_refused_with_what_to_write(name: str) -> None:
    with pytest.raises(UnsupportedError, match=f"scipy.integrate.{name} cannot be traced") as error:
        pb.compile(REFUSALS[name])(np.ones(2))
    assert "Write" in str(error.value)
    assert "test_scipy_signal.py" in str(error.value)


def test_other_functions_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="cannot see into"):
        pb.compile(lambda x: ss.medfilt(x))(np.ones(5))
