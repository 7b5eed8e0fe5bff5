"""Arrays of other libraries as arguments: what NumPy can read is taken as an ndarray.

An object is such an array where its class has `__array__`, `__dlpack__`, or the array API's
`__array_namespace__`, or is a buffer. It is read where a call is not known yet, so that calls with
ndarrays cost no more for it; memory is shared where NumPy shares it. Read from outside of the
function, one with `__array__` alone is an object like others until it is used as an array.
"""

from __future__ import annotations

import array
from typing import Any

import numpy as np

from ..ir.errors import StructureError

_EXCHANGED = ("__dlpack__", "__array_namespace__")
"""What nothing but an array has: the protocols by which libraries exchange them."""
_SIGNS = ("__array__", *_EXCHANGED, "__array_interface__")
_BUFFERS = (memoryview, array.array)


class MeetsForeign(Exception):
    """The arguments hold an array of another library, which has to be read first."""


def is_foreign(value: Any) -> bool:
    """Whether a value is an array of another library."""
    cls = type(value)
    if issubclass(cls, np.ndarray | np.generic | tuple) or hasattr(cls, "__pullback_leaf__"):
        return False
    if cls.__module__.partition(".")[0] == __name__.partition(".")[0]:
        return False  # what stands for a traced array
    return issubclass(cls, _BUFFERS) or any(hasattr(cls, s) for s in _SIGNS)


def is_nothing_but_array(value: Any) -> bool:
    """Whether an array of another library is one in all it does: it may be exchanged for another.

    What has `__array__` alone may be a table or an object of the user's, which is asked for more.
    """
    cls = type(value)
    if not is_foreign(value):
        return False
    return issubclass(cls, _BUFFERS) or any(hasattr(cls, s) for s in _EXCHANGED)


def read(value: Any, path: str) -> np.ndarray:
    """Return an array of another library as an ndarray, which shares its memory where it can.

    What NumPy copies is returned read-only: a function that writes into it would write into the
    copy, and is refused as it is for any read-only array.

    Raises
    ------
    StructureError
        Where NumPy cannot read it.
    """
    try:
        return _read(value)
    except Exception as error:
        raise StructureError(
            f"`{path}` is a {name_of(type(value))}, which NumPy cannot read as an array: {error}\n"
            "  Pass what np.asarray takes."
        ) from error


def name_of(cls: type) -> str:
    """Return what errors call a class."""
    return f"{cls.__module__}.{cls.__qualname__}".removeprefix("builtins.")


def _read(value: Any) -> np.ndarray:
    cls = type(value)
    if cls not in _BUFFERS and not hasattr(cls, "__array__"):
        if hasattr(cls, "__dlpack__"):
            return np.from_dlpack(value)
        if not hasattr(cls, "__array_interface__"):
            raise TypeError("it has neither __array__ nor __dlpack__.")
    found = np.asarray(value)
    if found.flags.writeable and not _is_shared(value, found):
        found = found.view()
        found.flags.writeable = False
    return found


def _is_shared(value: Any, found: np.ndarray) -> bool:
    """Whether what NumPy has read is the object's own memory, and no copy."""
    owner: Any = found.base
    if owner is not None and not isinstance(owner, np.ndarray):
        return True
    again = np.asarray(value)
    return again is found or np.may_share_memory(again, found)


__all__ = ["MeetsForeign", "is_foreign", "is_nothing_but_array", "name_of", "read"]
