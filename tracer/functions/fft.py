"""numpy.fft: transforms along one axis, and over several as a sequence of those."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...ir.dims import Dim
from ...ir.ops.fft import (
    SWAPPED,
    Fft,
    InverseFft,
    InverseRealFft,
    RealFft,
    Transformed,
    resized,
)
from ..array import emit, implements
from .rearrange import roll
from .shape import as_array, constant, normalize_axis, traced
from .write import same_dtype, same_kind, with_out

Transform = Callable[..., Any]


def _invalid(norm: Any) -> ValueError:
    return ValueError(f'Invalid norm value {norm}; should be "backward","ortho" or "forward".')


def _swapped(norm: Any) -> Any:
    if norm is not None and norm not in SWAPPED:
        raise _invalid(norm)
    return SWAPPED[norm or "backward"]


def _transform(op: type[Transformed], a: Any, n: Any, axis: Any, norm: Any) -> Any:
    """Emit a transform, with NumPy's errors in NumPy's order."""
    if not isinstance(n, Dim) and n < 1:
        raise ValueError(f"Invalid number of FFT data points ({n}) specified.")
    if norm is not None and norm not in SWAPPED:
        raise _invalid(norm)
    axis = normalize_axis(axis, a.ndim)
    n = n if isinstance(n, Dim) else operator.index(n)
    return emit(op(n, axis - a.ndim, norm or "backward"), (a,))


def _array(a: Any) -> Any:
    return as_array(traced(a))


@implements(np.fft.fft)
@with_out(same_kind)
def fft(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Any:
    """As `np.fft.fft`."""
    a = _array(a)
    return _transform(Fft, a, a.shape[axis] if n is None else n, axis, norm)


@implements(np.fft.ifft)
@with_out(same_kind)
def ifft(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Any:
    """As `np.fft.ifft`."""
    a = _array(a)
    return _transform(InverseFft, a, a.shape[axis] if n is None else n, axis, norm)


@implements(np.fft.rfft)
@with_out(same_kind)
def rfft(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Any:
    """As `np.fft.rfft`."""
    a = _array(a)
    return _transform(RealFft, a, a.shape[axis] if n is None else n, axis, norm)


@implements(np.fft.irfft)
@with_out(same_kind)
def irfft(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Any:
    """As `np.fft.irfft`; no frequencies count as zeros, where NumPy reads memory never written."""
    a = _array(a)
    n = (a.shape[axis] - 1) * 2 if n is None else n
    if -a.ndim <= axis < a.ndim and a.shape[axis] == 0:
        a = resized(a, axis % a.ndim - a.ndim, 1)
    return _transform(InverseRealFft, a, n, axis, norm)


@implements(np.fft.hfft)
def hfft(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Any:
    """As `np.fft.hfft`: the other direction of `irfft`, of the conjugate.

    NumPy leaves `out` as it is, so this does too.
    """
    a = _array(a)
    n = (a.shape[axis] - 1) * 2 if n is None else n
    return irfft(np.conjugate(a), n, axis, _swapped(norm))


@implements(np.fft.ihfft)
@with_out(same_kind)
def ihfft(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Any:
    """As `np.fft.ihfft`: the conjugate of the other direction of `rfft`."""
    a = _array(a)
    n = a.shape[axis] if n is None else n
    return np.conjugate(rfft(a, n, axis, _swapped(norm)))


# ---- several axes --------------------------------------------------------------------------------


def _lengths(a: Any, s: Any, axes: Any, inverse_real: bool = False) -> tuple[list[Any], Any]:
    """Return a length for each axis, and the axes, as NumPy makes them of its arguments."""
    is_default = s is None
    if s is None:
        s = a.shape if axes is None else [a.shape[axis] for axis in axes]
    s = list(s)
    if axes is None:
        if not is_default:
            warnings.warn(
                "`axes` should not be `None` if `s` is not `None` (Deprecated in NumPy 2.0).",
                DeprecationWarning,
                stacklevel=4,
            )
        axes = list(range(-len(s), 0))
    if len(s) != len(axes):
        raise ValueError("Shape and axes have different lengths.")
    if inverse_real and is_default:
        s[-1] = (a.shape[axes[-1]] - 1) * 2
    if any(size is None for size in s):
        warnings.warn(
            "Passing an array containing `None` values to `s` is deprecated in NumPy 2.0.",
            DeprecationWarning,
            stacklevel=4,
        )
    sizes = [
        a.shape[axis] if size is not None and not isinstance(size, Dim) and size == -1 else size
        for size, axis in zip(s, axes, strict=True)
    ]
    return sizes, axes


def _in_turn(
    transform: Transform, a: Any, sizes: Sequence[Any], axes: Sequence[Any], norm: Any
) -> Any:
    for size, axis in zip(sizes, axes, strict=True):
        a = transform(a, size, axis, norm)
    return a


@implements(np.fft.fftn)
@with_out(same_dtype)
def fftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """As `np.fft.fftn`: the last axis first."""
    a = _array(a)
    sizes, axes = _lengths(a, s, axes)
    return _in_turn(fft, a, sizes[::-1], axes[::-1], norm)


@implements(np.fft.ifftn)
@with_out(same_dtype)
def ifftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """As `np.fft.ifftn`: the last axis first."""
    a = _array(a)
    sizes, axes = _lengths(a, s, axes)
    return _in_turn(ifft, a, sizes[::-1], axes[::-1], norm)


@implements(np.fft.rfftn)
@with_out(same_dtype)
def rfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """As `np.fft.rfftn`: the last axis by `rfft`, then the others."""
    a = _array(a)
    sizes, axes = _lengths(a, s, axes)
    a = rfft(a, sizes[-1], axes[-1], norm)
    return _in_turn(fft, a, sizes[-2::-1], axes[-2::-1], norm)


@implements(np.fft.irfftn)
@with_out(same_dtype)
def irfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """As `np.fft.irfftn`: the others, the first axis first, then the last axis by `irfft`."""
    a = _array(a)
    sizes, axes = _lengths(a, s, axes, inverse_real=True)
    a = _in_turn(ifft, a, sizes[:-1], axes[:-1], norm)
    return irfft(a, sizes[-1], axes[-1], norm)


def _of_plane(several: Transform, writes: bool) -> Transform:
    """Return a transform of two axes; those of NumPy that are given `out` do not all write it."""

    def transform(
        a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None
    ) -> Any:
        return several(a, s, axes, norm, out if writes else None)

    return transform


implements(np.fft.fft2)(_of_plane(fftn, writes=True))
implements(np.fft.ifft2)(_of_plane(ifftn, writes=False))
implements(np.fft.rfft2)(_of_plane(rfftn, writes=True))
implements(np.fft.irfft2)(_of_plane(irfftn, writes=False))


# ---- the order of frequencies --------------------------------------------------------------------


def _shifted(x: Any, axes: Any, sign: int) -> Any:
    x = _array(x)
    if not x.ndim:
        np.fft.fftshift(np.zeros(()), axes)  # raises, in the versions of NumPy that do
    if axes is None:
        axes = tuple(range(x.ndim))
    elif isinstance(axes, int | np.integer):
        return roll(x, sign * (x.shape[axes] // 2), axes)
    return roll(x, [sign * (x.shape[axis] // 2) for axis in axes], tuple(axes))


@implements(np.fft.fftshift)
def fftshift(x: Any, axes: Any = None) -> Any:
    """As `np.fft.fftshift`."""
    return _shifted(x, axes, 1)


@implements(np.fft.ifftshift)
def ifftshift(x: Any, axes: Any = None) -> Any:
    """As `np.fft.ifftshift`."""
    return _shifted(x, axes, -1)


@implements(np.fft.fftfreq)
def fftfreq(n: Any, d: Any = 1.0, device: Any = None) -> Any:
    """As `np.fft.fftfreq`, of a traced spacing."""
    if not isinstance(n, int | np.integer):
        raise ValueError("n should be an integer")
    half = (n - 1) // 2 + 1
    steps = np.concatenate([np.arange(0, half), np.arange(-(n // 2), 0)])
    return constant(steps) * (1.0 / (n * d))


@implements(np.fft.rfftfreq)
def rfftfreq(n: Any, d: Any = 1.0, device: Any = None) -> Any:
    """As `np.fft.rfftfreq`, of a traced spacing."""
    if not isinstance(n, int | np.integer):
        raise ValueError("n should be an integer")
    return constant(np.arange(0, n // 2 + 1)) * (1.0 / (n * d))
