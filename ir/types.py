"""The types of values: dtype and shape, and what kind of NumPy object each is to the caller."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from .dims import Dim, Size, bounds, typical

Shape = tuple[Size, ...]
DType = np.dtype


class Kind(enum.Enum):
    """What plain NumPy would hold: an ndarray, a NumPy scalar, or a (weak) Python number."""

    ARRAY = "array"
    SCALAR = "scalar"
    PYTHON = "python"


RECORD = np.dtype([("record", np.float64)])
"""What an activation of a recursion keeps for its adjoint (see `ops.recursion`)."""


def _dtype_names() -> dict[np.dtype, str]:
    names = {np.dtype(bool): "bool", np.dtype(object): "object"}
    tapes: dict[np.dtype, str] = {}
    for letter, code in (("f", "f"), ("i", "i"), ("u", "u"), ("c", "c")):
        for size in (1, 2, 4, 8, np.dtype(np.longdouble).itemsize, 32):
            try:
                dtype = np.dtype(f"{code}{size}")
            except TypeError:
                continue
            names[dtype] = f"{letter}{8 * size}"
    for dtype, name in list(names.items()):
        swapped = dtype.newbyteorder("S")
        if swapped != dtype:
            names[swapped] = f"{name}_swapped"
    level = {**names, RECORD: "record"}
    tapes[RECORD] = "record"
    for _ in range(_DEEPEST_TAPE):
        level = {
            np.dtype([(field, dtype)]): f"{field}_{name}"
            for dtype, name in level.items()
            for field in (("tape", "scalars") if dtype in names else ("scalars",))
            if dtype.kind != "O"
        }
        tapes.update(level)
    return {**names, **tapes}


_DEEPEST_TAPE = 4
"""How deep tapes may hold tapes: loops in loops of which only the run knows how often they run."""


DTYPE_NAMES = _dtype_names()
DTYPES_BY_NAME = {name: dtype for dtype, name in DTYPE_NAMES.items()}


class ArrayType:
    """A dtype and a shape; prints as `f32[64, 256]`, `f32` without axes, `f64[n]` if symbolic."""

    __slots__ = ("_hash", "dtype", "shape")

    dtype: np.dtype
    shape: Shape

    def __init__(self, dtype: np.dtype, shape: Sequence[Size]) -> None:
        self.dtype = dtype
        self.shape = tuple(shape)
        self._hash = hash((dtype, self.shape))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, ArrayType):
            return NotImplemented
        return self._hash == other._hash and self.shape == other.shape and self.dtype == other.dtype

    def __hash__(self) -> int:
        return self._hash

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def is_static(self) -> bool:
        """Whether every dim is an int."""
        return not any(isinstance(d, Dim) for d in self.shape)

    @property
    def typical(self) -> ArrayType:
        """The type itself if static, else one with sizes that the dims may have."""
        return self if self.is_static else self.with_shape(tuple(map(typical, self.shape)))

    @property
    def size(self) -> int:
        """The number of elements; symbolic dims count with their upper bound, or 1 without one."""
        return prod(d if isinstance(d, int) else (bounds(d)[1] or 1) for d in self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of the data, symbolic dims counted as in `size`."""
        return self.size * int(self.dtype.itemsize)

    @property
    def is_inexact(self) -> bool:
        """Whether the dtype is real or complex floating point, so that gradients exist.

        A tape is what it holds.
        """
        dtype = self.dtype
        while dtype.kind == "V":
            dtype = dtype[0]
        return dtype.kind in "fc"

    def with_shape(self, shape: Sequence[Size]) -> ArrayType:
        """Return the type with another shape."""
        return ArrayType(self.dtype, shape)

    def with_dtype(self, dtype: np.dtype) -> ArrayType:
        """Return the type with another dtype."""
        return ArrayType(dtype, self.shape)

    def __str__(self) -> str:
        name = DTYPE_NAMES.get(self.dtype, str(self.dtype))
        return f"{name}[{', '.join(map(str, self.shape))}]" if self.shape else name

    __repr__ = __str__


def is_tape(type: ArrayType) -> bool:
    """Whether a type is that of a tape (see `ops.tape`) or a record (see `ops.recursion`)."""
    return type.dtype.kind == "V"


def tape_of(type: ArrayType) -> ArrayType:
    """Return the type of a tape of values of a type: of arrays, or of values without axes."""
    return ArrayType(np.dtype([("tape" if type.shape else "scalars", type.dtype)]), ())


_BOOL = np.dtype(bool)


def type_of(value: object) -> ArrayType:
    """Return the type of an ndarray, NumPy scalar or Python number."""
    if isinstance(value, np.ndarray | np.generic):
        return ArrayType(value.dtype, value.shape)
    array = np.asarray(value)
    return ArrayType(array.dtype, array.shape)


def may_equal(shape: Sequence[Size], other: Sequence[Size]) -> bool:
    """Whether two shapes may turn out to be the same: no sizes that are known differ."""
    return len(shape) == len(other) and not any(
        isinstance(a, int) and isinstance(b, int) and a != b
        for a, b in zip(shape, other, strict=True)
    )


Layout = tuple[int, ...] | None
"""Strides in bytes, or None for C-contiguous: the memory order NumPy would give a value."""


def most_entries(shape: Sequence[Size]) -> int:
    """Return the most entries that an array of a shape can have, 0 where there is no bound."""
    return prod(d if isinstance(d, int) else (bounds(d)[1] or 0) for d in shape)


def c_strides(itemsize: int, shape: Sequence[Size]) -> tuple[int, ...]:
    """Return the strides in bytes of a C-contiguous array; unknown sizes are typical ones."""
    strides: list[int] = []
    step = itemsize
    for size in reversed(shape):
        strides.append(step)
        step *= max(typical(size), 1)
    return tuple(reversed(strides))


def layout_of(array: np.ndarray) -> Layout:
    """Return the layout of an array: None if it is C-contiguous, else its strides."""
    return None if array.flags.c_contiguous else array.strides


def is_dense(layout: Layout, type: ArrayType) -> bool:
    """Whether an array of the layout fills one block of memory, its axes in any order."""
    if layout is None:
        return True
    step = int(type.dtype.itemsize)
    shape: Any = type.typical.shape
    for stride, size in sorted(zip(layout, shape, strict=True), key=lambda pair: pair[0]):
        if size == 1:
            continue
        if stride != step:
            return False
        step *= int(size)
    return True
