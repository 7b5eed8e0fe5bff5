"""scipy.signal: convolutions, correlations and linear filters; refusals of scipy.integrate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ir.ops.signal import Convolve, LinearFilter, scipy_signal
from ..array import emit, unsupported
from .create import array
from .lazy import implements_lazily, refuse
from .linalg import strong
from .shape import as_array, cast, copy, normalize_axis

_MODES = ("full", "same", "valid")
_METHODS = ("auto", "direct", "fft")


def _arrays(name: str, *values: Any) -> list[Any]:
    """Return values as traced arrays whose sizes are known."""
    arrays = [as_array(strong(value)) for value in values]
    for a in arrays:
        if not a.type.is_static:
            raise unsupported(f"scipy.signal.{name} of a size known only at run time")
    return arrays


def _check_mode(mode: Any) -> None:
    if mode not in _MODES:
        raise ValueError("acceptable mode flags are 'valid', 'same', or 'full'")


def _swaps(mode: str, x: Any, y: Any, axes: Sequence[int]) -> bool:
    """Whether `valid` needs the operands in the other order."""
    if mode != "valid" or not x.ndim:
        return False
    first = all(x.shape[k] >= y.shape[k] for k in axes)
    if not first and not all(y.shape[k] >= x.shape[k] for k in axes):
        raise ValueError(
            "For 'valid' mode, one must be at least as large as the other in every dimension"
        )
    return not first


def _centered(full: Any, shape: Sequence[int]) -> Any:
    """Return the middle of a whole convolution."""
    starts = [(size - wanted) // 2 for size, wanted in zip(full.shape, shape, strict=True)]
    parts = [slice(start, start + n) for start, n in zip(starts, shape, strict=True)]
    return copy(full[tuple(parts)])


def _convolution(x: Any, y: Any, mode: str, axes: Sequence[int], fft: bool) -> Any:
    counted = tuple(k - x.ndim for k in axes)
    if mode == "same":
        return _centered(emit(Convolve(counted, "full", fft), (x, y)), x.shape)
    return emit(Convolve(counted, mode, fft), (x, y))


def _as_numpy(x: Any, y: Any, mode: str) -> bool:
    """Whether NumPy's function for vectors gives what SciPy does, which then calls it."""
    return mode != "same" or x.size >= y.size


def _middle(x: Any, y: Any) -> Any:
    """Return the part of a convolution that is as long as `x`, added up as for more axes."""
    if x.size == 0:
        return copy(cast(x, np.result_type(x.dtype, y.dtype)))
    return _convolution(x[None], y[None], "same", (0, 1), fft=False)[0]


def _reversed(x: Any) -> Any:
    flipped: Any = np.flip(x)
    return np.conjugate(flipped) if x.dtype.kind == "c" else flipped


@implements_lazily("scipy.signal.fftconvolve")
def fftconvolve(in1: Any, in2: Any, mode: Any = "full", axes: Any = None) -> Any:
    """As `scipy.signal.fftconvolve`, by SciPy itself."""
    x, y = _arrays("fftconvolve", in1, in2)
    if x.ndim == y.ndim == 0:
        return x * y
    if x.ndim != y.ndim:
        raise ValueError("in1 and in2 should have the same dimensionality")
    if x.size == 0 or y.size == 0:
        return array([])
    of: Any = range(x.ndim) if axes is None else axes
    whole = np.lib.array_utils.normalize_axis_tuple(of, x.ndim)
    if not whole:
        raise ValueError("when provided, axes cannot be empty")
    moving = [k for k in whole if x.shape[k] != 1 and y.shape[k] != 1]
    if _swaps(mode, x, y, moving):
        x, y = y, x
    _check_mode(mode)
    if not moving:
        product = x * y
        return _centered(product, x.shape) if mode == "same" else product
    return _convolution(x, y, mode, moving, fft=True)


def _uses_fft(method: str, x: Any, y: Any, mode: str) -> bool:
    """Return SciPy's choice for `method="auto"`.

    For integers it also looks at the values, to choose the sums where they might be too large for
    floating point; both ways give the same result where it does not, so the sums are always taken.
    """
    if method != "auto":
        return method == "fft"
    if x.dtype.kind in "biu" and y.dtype.kind in "biu":
        return False
    dummies = [np.broadcast_to(np.zeros((), np.float64), a.shape) for a in (x, y)]
    return bool(scipy_signal().choose_conv_method(*dummies, mode=mode) == "fft")


@implements_lazily("scipy.signal.convolve")
def convolve(in1: Any, in2: Any, mode: Any = "full", method: Any = "auto") -> Any:
    """As `scipy.signal.convolve`, by the same method as SciPy chooses for the sizes."""
    x, y = _arrays("convolve", in1, in2)
    if x.ndim == y.ndim == 0:
        return x * y
    if x.ndim != y.ndim:
        raise ValueError("volume and kernel should have the same dimensionality")
    if method not in _METHODS:
        raise ValueError("Acceptable method flags are 'auto', 'direct', or 'fft'.")
    if method == "fft" and (x.size == 0 or y.size == 0):
        raise IndexError("index 0 is out of bounds for axis 0 with size 0")
    _check_mode(mode)
    axes = range(x.ndim)
    if _swaps(mode, x, y, axes):
        x, y = y, x
    if _uses_fft(method, x, y, mode):
        dtype = np.result_type(x.dtype, y.dtype)
        result = fftconvolve(x, y, mode)
        return cast(np.round(result) if dtype.kind in "iu" else result, dtype)
    if x.ndim == 1:
        return np.convolve(x, y, mode) if _as_numpy(x, y, mode) else _middle(x, y)
    return _convolution(x, y, mode, axes, fft=False)


@implements_lazily("scipy.signal.correlate")
def correlate(in1: Any, in2: Any, mode: Any = "full", method: Any = "auto") -> Any:
    """As `scipy.signal.correlate`: the convolution with the second reversed and conjugated."""
    x, y = _arrays("correlate", in1, in2)
    if x.ndim == y.ndim == 0:
        return x * (np.conjugate(y) if y.dtype.kind == "c" else y)
    if x.ndim != y.ndim:
        raise ValueError("in1 and in2 should have the same dimensionality")
    if mode not in _MODES:
        raise ValueError("Acceptable mode flags are 'valid', 'same', or 'full'.")
    if method != "direct":
        return convolve(x, _reversed(y), mode, method)
    if x.ndim == 1:
        return np.correlate(x, y, mode) if _as_numpy(x, y, mode) else _middle(x, _reversed(y))
    axes = range(x.ndim)
    if _swaps(mode, x, y, axes) or (mode == "full" and y.size > x.size):
        return _reversed(_convolution(y, _reversed(x), mode, axes, fft=False))
    return _convolution(x, _reversed(y), mode, axes, fft=False)


# ---- filters -------------------------------------------------------------------------------------


@implements_lazily("scipy.signal.lfilter")
def lfilter(b: Any, a: Any, x: Any, axis: Any = -1, zi: Any = None) -> Any:
    """As `scipy.signal.lfilter`, by SciPy itself; its gradient filters backward."""
    given = _arrays("lfilter", b, a, x, *([] if zi is None else [zi]))
    given[:2] = [np.atleast_1d(v) for v in given[:2]]
    for name, v in zip("ba", given, strict=False):
        if v.ndim != 1 or v.size == 0:
            raise ValueError(f"Parameter {name} is not a non-empty 1d array, since {v.shape=}!")
    if given[2].ndim == 0:
        raise ValueError("object of too small depth for desired array")
    dtype = np.result_type(*[v.dtype for v in given])
    if dtype.char not in "fdgFDG":
        raise NotImplementedError(f"input type '{dtype}' not supported")
    taps, recursion, signal, *state = [cast(v, dtype) for v in given]
    axis = normalize_axis(axis, signal.ndim)
    op = LinearFilter(axis - signal.ndim)
    if not state:
        return emit(op, (taps, recursion, signal))
    order = max(taps.size, recursion.size) - 1
    start = _initial(state[0], (*signal.shape[:axis], order, *signal.shape[axis + 1 :]), axis)
    both = emit(op, (taps, recursion, signal, start))
    lead, n = (slice(None),) * axis, signal.shape[axis]
    return copy(both[(*lead, slice(0, n))]), copy(both[(*lead, slice(n, None))])


def _initial(state: Any, shape: tuple[int, ...], axis: int) -> Any:
    """Return the initial state of each line; an axis of size 1 other than `axis` is for all."""
    fits = state.ndim == len(shape) and all(
        have == size or (have == 1 and k != axis)
        for k, (have, size) in enumerate(zip(state.shape, shape, strict=False))
    )
    if not fits:
        raise ValueError(f"Unexpected shape for zi: expected {shape}, found {state.shape}.")
    return np.broadcast_to(state, shape)


# ---- what SciPy integrates -----------------------------------------------------------------------

refuse(
    "scipy.integrate.solve_ivp",
    "scipy.integrate.odeint",
    why="It calls your function from code that pullback cannot see into, in steps that it chooses "
    "while it runs.",
    instead="Write the steps as a loop of fixed size (Runge-Kutta, for example) with `for` or "
    "pb.scan, or compute the solution outside of the function and pass it as an argument.",
)
refuse(
    "scipy.integrate.quad",
    "scipy.integrate.dblquad",
    "scipy.integrate.tplquad",
    "scipy.integrate.nquad",
    "scipy.integrate.quad_vec",
    why="It calls your function from code that pullback cannot see into, at points that it chooses "
    "while it runs.",
    instead="Write a rule with fixed points, such as np.sum(weights * f(points)) with the points "
    "and weights of np.polynomial.legendre.leggauss(n), or np.trapezoid; or compute the integral "
    "outside of the function and pass it as an argument.",
)
