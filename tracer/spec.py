"""What stands for an array of which only the shape and dtype are known."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError


class Spec:
    """The shape and dtype of an array, in place of the array: `pb.Spec((64, 784), "float32")`.

    Parameters
    ----------
    shape
        An int, or a sequence of them; `()` for a scalar.
    dtype
        What `np.dtype` takes.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> pb.Spec(3), pb.Spec((), "float32")
    (Spec((3,), 'float64'), Spec((), 'float32'))
    >>> str(pb.compile(np.exp).inspect(pb.Spec((2, 3)))).splitlines()[0]
    'def exp(x: f64[2, 3]) -> f64[2, 3]:'
    """

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: int | Sequence[int], dtype: Any = "float64") -> None:
        try:
            sizes = (shape,) if isinstance(shape, int) else tuple(shape)
            self.shape = tuple([operator.index(size) for size in sizes])
        except TypeError:
            raise ArgumentError(
                f"Spec takes a shape, an int or a tuple of ints, not {shape!r}.\n"
                '  Write  pb.Spec((64, 784), "float32").'
            ) from None
        self.dtype = np.dtype(dtype)

    def __pullback_leaf__(self) -> tuple[Any, ...]:
        return (Spec, self.dtype, self.shape)

    def __repr__(self) -> str:
        return f"Spec({self.shape}, {str(self.dtype)!r})"


__all__ = ["Spec"]
