"""Objects of libraries among the arguments: what their own code reads of them is not seen.

An object of the user's is known by its class: what the function reads of it is read again at every
call, and guarded. A library runs as it is, and may read anything of its objects: a program made
with one serves for an equal one, where the class says that equal ones are the same, or for no
other.
"""

from __future__ import annotations

import functools
import io
import logging
import types
from collections import deque
from typing import Any

from .inputs import GENERATORS, Inputs
from .loads import is_library
from .tree import KNOWN_BY_IDENTITY, STATIC

_OPEN = (
    *GENERATORS,  # the program is given them as they are, at every call
    io.IOBase,
    logging.Logger,
    logging.LoggerAdapter,
    deque,  # what the function reads of these is guarded
    dict,
    list,
    tuple,
    types.SimpleNamespace,
    types.MappingProxyType,
    types.FunctionType,
    types.MethodType,
    functools.partial,
    *KNOWN_BY_IDENTITY,  # the signature says all of these
    *STATIC,
    frozenset,
    float,
    complex,
)
_HEAP = 1 << 9
"""The flag of a class that a `class` statement has made."""


def guard_argument(inputs: Inputs, value: Any, path: str) -> None:
    """Record an object that stands at a path among the arguments, and guard what is not seen."""
    cls = type(value)
    if isinstance(value, set):
        inputs.check(f"{path} != {inputs.constant(value.copy())}")
    elif not _is_open(cls) and (is_library(cls) or not cls.__flags__ & _HEAP):
        by_value: Any = cls.__hash__  # None where it has none
        is_value = by_value is not None and by_value is not object.__hash__
        inputs.check(f"{path} {'!=' if is_value else 'is not'} {inputs.constant(value)}")
    inputs.hold(value, path)


def _is_open(cls: type) -> bool:
    """Whether what the function reads of an object is seen, or the object is in the signature."""
    return issubclass(cls, _OPEN) or hasattr(cls, "__pullback_reads__")


__all__ = ["guard_argument"]
