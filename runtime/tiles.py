"""Tiled regions at the run: their parts, and the scratch memory of each thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FrameType
from typing import NamedTuple

import numpy as np

from ..ir.plan import ALIGNMENT, aligned
from . import pool

Scratch = tuple[np.ndarray, ...]
Body = Callable[[int, int, int, Scratch], None]
"""Computes the entries from `lo` to `hi`, which are part number `at`, in scratch memory."""


class Register(NamedTuple):
    """An array of a part: its size along `axis` is that of the part, None: it is always whole."""

    shape: tuple[int, ...]
    dtype: np.dtype
    axis: int | None

    @property
    def nbytes(self) -> int:
        """Bytes that it takes up, with what follows aligned."""
        count = self.dtype.itemsize
        for size in self.shape:
            count *= size
        return aligned(count)


class Arena:
    """The scratch memory of one running call: a buffer for each thread, shared by all regions."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.buffers: dict[int, np.ndarray] = {}

    def buffer(self, worker: int) -> np.ndarray:
        """Return the buffer of a thread."""
        found = self.buffers.get(worker)
        if found is None:
            whole = np.empty(self.nbytes + ALIGNMENT, np.uint8)
            start = -whole.ctypes.data % ALIGNMENT
            found = self.buffers[worker] = whole[start : start + self.nbytes]
        return found


class Tiles:
    """Runs a region part by part: `tiles(body)` computes all its parts.

    `extent` entries are cut into parts of `tile`; only the last may be smaller.
    """

    def __init__(
        self, arena: Arena, extent: int, tile: int, threads: bool, registers: Sequence[Register]
    ) -> None:
        self.arena = arena
        self.extent = extent
        self.tile = tile
        self.threads = threads
        self.registers = tuple(registers)
        self.parts = -(-extent // tile)
        self.scratch: dict[int, tuple[Scratch, Scratch]] = {}
        self.told: dict[tuple[int, str], object] = {}
        """Floating-point errors that some part has reported, by line."""

    def __call__(self, body: Body) -> None:
        if self.told:
            self.told.clear()
        if self.threads and pool.threads() > 1:

            def part(at: int, worker: int) -> None:
                self._part(body, at, self._scratch(worker))

            pool.run(part, self.parts)
            return
        scratch = self._scratch(0)
        for at in range(self.parts):
            self._part(body, at, scratch)

    def _part(self, body: Body, at: int, scratch: tuple[Scratch, Scratch]) -> None:
        lo = at * self.tile
        is_last = at == self.parts - 1
        body(lo, self.extent if is_last else lo + self.tile, at, scratch[is_last])

    def _scratch(self, worker: int) -> tuple[Scratch, Scratch]:
        """Return a thread's arrays, for a full part and for the last one."""
        found = self.scratch.get(worker)
        if found is None:
            rest = self.extent - (self.parts - 1) * self.tile
            arrays = self._arrays(self.arena.buffer(worker))
            last = [_start(a, r.axis, rest) for a, r in zip(arrays, self.registers, strict=True)]
            found = self.scratch[worker] = (tuple(arrays), tuple(last))
        return found

    def _arrays(self, buffer: np.ndarray) -> list[np.ndarray]:
        arrays: list[np.ndarray] = []
        start = 0
        for register in self.registers:
            arrays.append(np.ndarray(register.shape, register.dtype, buffer, start))
            start += register.nbytes
        return arrays


def is_repeated(frame: FrameType, error: str) -> bool:
    """Whether an error in the function of a part was reported in another part of this call."""
    caller = frame.f_back
    if caller is None or caller.f_code is not Tiles._part.__code__:
        return False
    tiles: Tiles = caller.f_locals["self"]
    mark = object()
    return tiles.told.setdefault((frame.f_lineno, error), mark) is not mark


def _start(array: np.ndarray, axis: int | None, size: int) -> np.ndarray:
    """Return the first entries of an array of scratch memory, contiguous like the whole."""
    if axis is None:
        return array
    shape = list(array.shape)
    shape[axis] = size
    return np.ndarray(tuple(shape), array.dtype, array.data.cast("B"), 0)
