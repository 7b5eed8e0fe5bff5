"""Whether arrays that a call may write into share memory with others, told by who owns it.

The bounds of an array in memory take 3 µs to find; that two arrays lie in memory of different
owners takes 0.1 for each, and says as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .recycle import is_loan


def have_owners(arrays: Sequence[Any], positions: Sequence[int]) -> bool:
    """Whether each array at the positions is known to have memory that no other one has."""
    owners = [_owner(a) if isinstance(a, np.ndarray) else 0 for a in arrays]
    if None in owners:
        return False
    chosen = {owners[p] for p in positions}
    if len(chosen) < len(positions):
        return False
    return sum([owner in chosen for owner in owners]) == len(positions)


def _owner(array: np.ndarray) -> int | None:
    """Return the identity of what owns an array's memory; None where others may own it too."""
    base: Any = array.base
    while base is not None:
        if not isinstance(base, np.ndarray):
            return id(base) if is_loan(base) else None
        array, base = base, base.base
    return id(array) if array.flags.owndata else None


__all__ = ["have_owners"]
