"""Tiles of a few entries: every region that can be cut is, so that small programs test it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from pullback.ir.machine import Machine
from pullback.passes import fuse, tiling


@contextmanager
def tiny_tiles(cores: int = 2) -> Iterator[None]:
    """Compile for a machine whose cache holds a few entries, and whose threads cost nothing."""
    small = Machine(cores, l2=256, l3=256, blas_wait=0.0)
    with (
        mock.patch.object(fuse, "LARGE", 1),
        mock.patch.object(fuse, "machine", return_value=small),
        mock.patch.object(tiling, "GAIN", float("inf")),
        mock.patch.object(tiling, "HAND_OVER", -1e9),
        mock.patch.object(tiling, "FEW", 2),
        mock.patch.object(tiling, "NARROW", 2),
    ):
        yield
