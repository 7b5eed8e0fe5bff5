"""What the rewritten loads of the user's function do while it is traced.

What is read from outside is recorded with its access path; what the function itself has stored
there before is read as it was stored.
"""

from __future__ import annotations

import builtins
import io
import sys
import types
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..ir.errors import UnsupportedError
from .array import TracedArray
from .functions.generators import GENERATORS, refused
from .functions.positions import item_of
from .guards import key_of
from .regions import Region
from .report import expression_here
from .state import current

LIBRARIES = frozenset({"numpy", "scipy", "networkx", "jax", "torch", "autograd"})


def is_library(function: Any) -> bool:
    """Whether a function belongs to pullback, NumPy, SciPy or the standard library."""
    module = str(getattr(function, "__module__", None) or "")
    top = module.partition(".")[0]
    if top == __name__.partition(".")[0]:
        return not module.startswith(f"{top}.benchmarks")
    return top in LIBRARIES or (top in sys.stdlib_module_names and top != "__main__")


# ---- loads ---------------------------------------------------------------------------------------


def free(function: types.FunctionType, name: str, value: Any, is_added_to: bool = False) -> Any:
    """Read a variable of an enclosing function."""
    trace = current()
    if trace is None or isinstance(value, TracedArray):
        return value
    inputs = trace.root.inputs
    if inputs.commits.has_set(cell_of(function, name), "cell_contents"):
        return inputs.lift(value)
    position = function.__code__.co_freevars.index(name)
    path = inputs.path_of(function)
    if path is not None:
        owner = f"{path}.__closure__[{position}]"
    else:
        owner = inputs.constant((function.__closure__ or ())[position])
    return _load(f"{owner}.cell_contents", value, name, inputs, is_added_to)


def cell_of(function: types.FunctionType, name: str) -> types.CellType:
    """Return the cell of a free variable."""
    return (function.__closure__ or ())[function.__code__.co_freevars.index(name)]


def _load(path: str, value: Any, name: str, inputs: Any, is_added_to: bool) -> Any:
    """Read what stands at a path; a container that is only added to is not looked into."""
    if is_added_to and inputs.commits.add_to(path, value, inputs):
        return value
    return inputs.load(path, value, name)


def container(owner: Any, name: str) -> Any:
    """Read an attribute that is added to."""
    trace = current()
    if trace is None or isinstance(owner, TracedArray):
        return getattr(owner, name)
    inputs = trace.root.inputs
    path = inputs.path_of(owner)
    is_stored = inputs.commits.has_set(owner, name)
    if path is not None and not is_stored and not isinstance(owner, types.ModuleType):
        value = getattr(owner, name)
        if inputs.commits.add_to(inputs.path_to(owner, name), value, inputs):
            return value
    return attribute(owner, name)


def global_name(namespace: dict[str, Any], name: str, value: Any, is_added_to: bool = False) -> Any:
    """Read a global variable."""
    trace = current()
    if trace is None or isinstance(value, TracedArray):
        return value
    inputs = trace.root.inputs
    if inputs.commits.has_set(namespace, name):
        return inputs.lift(value)
    path = f"{inputs.constant(namespace)}[{name!r}]"
    return _load(path, value, name, inputs, is_added_to)


def attribute(owner: Any, name: str) -> Any:
    """Read an attribute."""
    trace = current()
    if trace is None or isinstance(owner, TracedArray):
        return getattr(owner, name)
    inputs = trace.root.inputs
    if isinstance(owner, np.ndarray):
        return getattr(inputs.lift(owner), name)
    if isinstance(owner, GENERATORS) and name == "bit_generator":
        raise refused("the state of a generator")
    value = getattr(owner, name)
    if inputs.commits.has_set(owner, name):
        return inputs.lift(value)
    if isinstance(owner, types.ModuleType):
        if is_library_module(owner):
            return value
        return inputs.attribute(owner, name, value)
    if isinstance(value, types.BuiltinMethodType | types.MethodWrapperType):
        return value
    if isinstance(owner, type) and not is_library(owner):
        inputs.register(owner, inputs.constant(owner))
    return inputs.attribute(owner, name, value)


def is_library_module(module: types.ModuleType) -> bool:
    """Whether a module's contents are taken as constant."""
    top = module.__name__.partition(".")[0]
    return top in LIBRARIES or top in sys.stdlib_module_names or top == "pullback"


def item(owner: Any, key: Any) -> Any:
    """Read an item or a slice."""
    trace = current()
    if isinstance(trace, Region):
        trace.see((owner,))
    grid = None if trace is None else item_of(owner, key)
    if grid is not None:
        return grid
    key = key_of(owner, key)
    value = owner[key]
    if trace is None or isinstance(value, TracedArray):
        return value
    inputs = trace.root.inputs
    if type(owner) is dict and "__builtins__" in owner:
        inputs.register(owner, inputs.constant(owner))
    if inputs.commits.has_changed(owner):
        return inputs.lift(value)
    return inputs.lift(value) if isinstance(key, slice) else inputs.item(owner, key, value)


def iterate(iterable: Any) -> Iterable[Any]:
    """Start the iteration of a `for` over anything."""
    trace = current()
    if trace is None or isinstance(iterable, TracedArray):
        return iterable  # type: ignore[no-any-return]
    if isinstance(trace, Region):
        trace.see((iterable,))
    inputs = trace.root.inputs
    check_advance(iterable, inputs)
    path = inputs.path_of(iterable)
    if path is not None and isinstance(
        getattr(type(iterable), "__iter__", None), types.FunctionType
    ):
        return inputs.load(f"tuple({path})", tuple(iterable))  # type: ignore[no-any-return]
    return lifted(iterable, inputs)  # type: ignore[no-any-return]


def check_advance(value: Any, inputs: Any) -> None:
    """Raise for an iterator of outside: it would go on while the function is traced alone.

    A `__next__` of the user's own that is called as a method is traced; files are read elsewhere.

    Raises
    ------
    UnsupportedError
    """
    cls = type(value)
    if not hasattr(cls, "__next__") or isinstance(value, io.IOBase):
        return
    if inputs.path_of(value) is not None:
        raise UnsupportedError(
            f"{expression_here()} advances a {cls.__name__} that was made outside of the function, "
            "which would happen while it is traced and not at every call.\n"
            "  Make it in the function, or pass what it gives: a list, or the next value."
        )


def lifted(value: Any, inputs: Any) -> Any:
    """Return a list or tuple with its arrays traced; anything else as it is."""
    if type(value) in (list, tuple) and holds_array(value):
        return type(value)(lifted(v, inputs) for v in value)
    return inputs.lift(value)


def holds_array(values: Any) -> bool:
    """Whether arrays are among values, lists and tuples looked into."""
    return builtins.any(
        isinstance(v, np.ndarray) or (type(v) in (list, tuple) and holds_array(v)) for v in values
    )


def is_traced(value: Any) -> bool:
    """Whether a value is traced, or a list, tuple or dict that holds traced ones."""
    if isinstance(value, TracedArray):
        return True
    if type(value) in (list, tuple):
        return builtins.any(is_traced(v) for v in value)
    return type(value) is dict and builtins.any(is_traced(v) for v in value.values())
