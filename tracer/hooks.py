"""What the rewritten calls, loads and stores of the user's function do while it is traced.

Outside of a trace (a rewritten function that was kept and is called later) each hook does what
Python would have done.
"""

from __future__ import annotations

import builtins
import functools
import itertools
import operator
import random
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.errors import UnsupportedError
from ..ir.types import Kind
from .array import FUNCTIONS, TracedArray
from .blocks import caught, tried
from .builtins import BUILTINS, dotted, getter
from .construct import NATIVE, construct
from .control import CONTROL
from .foreign import is_foreign
from .functions.generators import generator_class
from .functions.lazy import find, is_always
from .functions.random import draw
from .inputs import NEVER_CHANGING
from .loads import (
    attribute,
    check_advance,
    container,
    free,
    global_name,
    holds_array,
    is_library,
    is_traced,
    item,
    iterate,
    lifted,
)
from .recursion import enter
from .regions import Region, Unstageable, append
from .report import NO_SOURCE, expression_here
from .rewrite import NEUTRAL, is_rewritten, rewrite, why_not
from .state import current, named
from .stores import (
    MUTATORS,
    delete_attribute,
    delete_item,
    extend,
    is_kept,
    mutate,
    remember_variables,
    set_attribute,
    set_free,
    set_global,
    set_item,
)
from .text import STR_METHODS, f_string, percent, str_method
from .tree import KNOWN_BY_IDENTITY
from .writing import TEXT_FUNCTIONS, TEXT_METHODS

CREATORS: frozenset[Any] = frozenset({np.zeros, np.ones, np.full, np.empty, np.array})
"""NumPy functions that make fresh arrays of static arguments: always traced."""

_PURE_BUILTINS: frozenset[Any] = frozenset(
    {zip, enumerate, reversed, sorted, list, tuple, dict, sum, map, min, max, filter, set, any, all}
)
_CALLING: frozenset[Any] = frozenset(
    {map, filter, functools.reduce, itertools.accumulate, itertools.starmap}
)
"""What calls functions that it is given: they may make arrays."""


_PLAIN_DEFAULTS = (*NEVER_CHANGING, *KNOWN_BY_IDENTITY, np.dtype, types.FunctionType)


def traced_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the rewritten form of a user's function, or itself where it has none."""
    if not isinstance(function, types.FunctionType):
        return function
    if is_rewritten(function) or is_library(function):
        return function
    hooks: dict[str, Callable[..., Any]] = {
        **HOOKS,
        "__pb_free__": functools.partial(free, function),
        "__pb_global__": functools.partial(global_name, function.__globals__),
        "__pb_setglobal__": functools.partial(set_global, function.__globals__),
        "__pb_setfree__": functools.partial(set_free, function),
    }
    remember_variables(function)
    made = rewrite(function, hooks)
    if made is None:
        NO_SOURCE.setdefault(function.__code__, str(why_not(function)))
        return _with_traced_globals(function)
    trace = current()
    if trace is not None and (function.__defaults__ or function.__kwdefaults__):
        _lift_defaults(function, made, trace.root.inputs)
    return made


def _lift_defaults(function: types.FunctionType, made: types.FunctionType, inputs: Any) -> None:
    """Read the arrays among the defaults of a function, and in objects there, at every call."""
    for name in ("__defaults__", "__kwdefaults__"):
        held = getattr(function, name)
        values = held.values() if isinstance(held, dict) else held or ()
        if not builtins.all(isinstance(v, _PLAIN_DEFAULTS) for v in values):
            owner = inputs.path_of(function) or inputs.constant(function)
            setattr(made, name, inputs.load(f"{owner}.{name}", held))


def _with_traced_globals(function: types.FunctionType) -> types.FunctionType:
    """Return a function without source that finds the arrays of its globals and closure traced."""
    trace = current()
    if trace is None:
        return function
    inputs, code = trace.root.inputs, function.__code__
    namespace = dict(function.__globals__)
    owner = inputs.constant(function.__globals__)
    for name in code.co_names:
        if name in function.__globals__ and not isinstance(namespace[name], types.ModuleType):
            namespace[name] = inputs.load(f"{owner}[{name!r}]", namespace[name], name)
    cells = [
        types.CellType(free(function, name, cell.cell_contents))
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True)
    ]
    made = types.FunctionType(
        code, namespace, function.__name__, function.__defaults__, tuple(cells)
    )
    made.__kwdefaults__ = function.__kwdefaults__
    _lift_defaults(function, made, inputs)
    return made


# ---- stores --------------------------------------------------------------------------------------


def _set_item(owner: Any, key: Any, value: Any) -> None:
    trace = current()
    if type(owner) is np.ndarray and trace is not None:
        owner = trace.root.inputs.lift(owner)
    stored = getattr(type(owner), "__setitem__", None)
    if isinstance(stored, types.FunctionType) and not is_library(stored) and trace is not None:
        _call(stored, owner, key, value)
    else:
        set_item(owner, key, value)


def _augment(old: Any, value: Any, operator: str) -> Any:
    trace = current()
    if type(old) is np.ndarray and trace is not None:
        old = trace.root.inputs.lift(old)
    if extend(old, value, operator):
        return old
    return NEUTRAL["__pb_aug__"](old, value, operator)


# ---- calls ---------------------------------------------------------------------------------------


def _call(function: Any, /, *args: Any, **kwargs: Any) -> Any:
    trace = current()
    if trace is None:
        return function(*args, **kwargs)
    if isinstance(trace, Region):
        trace.see(args)
    if builtins.any(type(a) is np.ndarray for a in args):
        args = tuple([trace.root.inputs.lift(a) for a in args])
    if builtins.any(map(is_foreign, args)) and _is_numpy(function):
        inputs = trace.root.inputs
        args = tuple([inputs.foreign(a) if is_foreign(a) else a for a in args])
    kind = type(function)
    if kind is types.FunctionType:
        special = FUNCTIONS.get(function) or find(function)
        if special is None and function in TEXT_FUNCTIONS:
            return TEXT_FUNCTIONS[function](*args, **kwargs)
        if special is None:
            return _call_function(function, args, kwargs, trace)
        must_trace = function in CREATORS or is_always(function)
        if must_trace or builtins.any(map(is_traced, args)) or is_traced(kwargs):
            return special(*args, **kwargs)
        return constant(function(*args, **kwargs), trace)
    owner = getattr(function, "__self__", None)
    if kind in _BUILTIN and not builtins.any(function is f for f in _LOOKING):
        for value in (owner, *args):
            check_advance(value, trace.root.inputs)
    if generator_class(owner) is not None:
        return draw(owner, function.__name__, args, kwargs)
    _check_random(function)
    special = find(function)
    if special is not None and (
        is_always(function) or builtins.any(map(is_traced, args)) or is_traced(kwargs)
    ):
        return special(*args, **kwargs)
    if kind is types.MethodType:
        special = find(function.__func__) or TEXT_METHODS.get(function.__func__)
        if special is not None:
            return special(function.__self__, *args, **kwargs)
        if isinstance(function.__func__, types.FunctionType):
            return _call_function(function.__func__, (function.__self__, *args), kwargs, trace)
        return function.__func__(function.__self__, *args, **kwargs)
    region = trace if isinstance(trace, Region) else None
    if kind in (types.BuiltinMethodType, types.MethodWrapperType):
        if region is not None and type(owner) is list and region.is_outside(owner):
            if function.__name__ == "append" and len(args) == 1 and not kwargs:
                return append(owner, args[0])
            region.see([owner])
        if type(owner) is str and function.__name__ in STR_METHODS:
            return str_method(function.__name__, owner, args, kwargs)
        if function.__name__ in MUTATORS and is_kept(owner):
            return mutate(owner, function.__name__, args, kwargs)
    try:
        special = BUILTINS.get(function)
    except TypeError:  # an unhashable callable
        special = None
    if special is not None:
        return special(*args, **kwargs)
    return _call_object(function, args, kwargs, trace)


_BUILTIN = (types.BuiltinFunctionType, types.MethodWrapperType, type)
_LOOKING = (isinstance, type, id, callable, hasattr, getattr, repr, str, print)
"""Functions that leave an iterator where it is."""


def _call_function(function: Any, args: Any, kwargs: Any, trace: Any) -> Any:
    if is_library(function):
        return constant(function(*args, **kwargs), trace)
    made = traced_function(function)
    active = enter(function, made, args, kwargs, trace)
    if active.is_done:
        return active.result
    try:
        return made(*args, **kwargs)
    finally:
        active.leave()


def _call_object(function: Any, args: Any, kwargs: Any, trace: Any) -> Any:
    if isinstance(function, type | types.BuiltinFunctionType) and function in _CALLING:
        args = tuple([functools.partial(_call, a) if callable(a) else a for a in args])
    if (
        function in _PURE_BUILTINS
        if isinstance(function, type | types.BuiltinFunctionType)
        else False
    ):
        inputs = trace.root.inputs
        return function(*[lifted(a, inputs) for a in args], **kwargs)
    parametrized = getattr(function, "__origin__", None)
    if isinstance(parametrized, type):  # Grid[int]
        return _call(parametrized, *args, **kwargs)
    if isinstance(function, functools.partial):
        return _call(function.func, *function.args, *args, **{**function.keywords, **kwargs})
    if isinstance(function, operator.attrgetter):
        return getter(function, dotted, *args)
    if isinstance(function, operator.itemgetter):
        return getter(function, item, *args)
    if isinstance(function, np.ufunc) or isinstance(getattr(function, "__self__", None), np.ufunc):
        return constant(function(*map(_joined, args), **kwargs), trace)
    creator = FUNCTIONS.get(function) if isinstance(function, _NUMPY_FUNCTIONS) else None
    if creator is not None and (function in CREATORS or builtins.any(map(is_traced, args))):
        return creator(*args, **kwargs)  # NumPy does not look for traced values in lists
    inner = getattr(type(function), "__call__", None)  # noqa: B004 - the method itself
    special = find(inner)
    if special is not None:
        return special(function, *args, **kwargs)
    if isinstance(inner, types.FunctionType) and not is_library(inner):
        path = trace.root.inputs.path_of(function)
        if path is not None:
            inputs = trace.root.inputs
            inputs.check(f"type({path}).__call__ is not {inputs.constant(inner)}")
        return traced_function(inner)(function, *args, **kwargs)
    if isinstance(function, type):
        made = construct(function, args, kwargs, _call)
        if made is not NATIVE:
            return made
    if isinstance(trace, Region) and not _is_harmless(function):
        raise Unstageable(f"it calls {getattr(function, '__name__', function)!s}")
    made = function(*args, **kwargs)
    if _is_numpy(function):
        return constant(made, trace)
    return lifted(made, trace.root.inputs)  # it may be an array that others hold


def _is_harmless(function: Any) -> bool:
    """Whether a call may be made in a trial, and made again: it changes nothing that lasts."""
    owner = getattr(function, "__self__", None)
    if isinstance(owner, list | dict | set | str | tuple | bytes | int | float | complex | type):
        return True  # what it changes is undone
    if isinstance(owner, BaseException) or getattr(function, "__objclass__", None) is object:
        return True  # an exception that is made to be raised; `super().__init__()`
    if isinstance(owner, types.ModuleType) and not _is_numpy(function):
        return owner.__name__ in ("builtins", "math", "operator", "_operator", "itertools")
    if type(function).__module__.partition(".")[0] == __name__.partition(".")[0]:
        return True  # a derivative, traced in its turn
    return isinstance(function, type) or _is_numpy(function) or function in _CALLING


_NUMPY_FUNCTIONS = (types.BuiltinFunctionType, type(np.sum))


def _joined(value: Any) -> Any:
    """Return a list of traced values as one array, as NumPy would; anything else as it is."""
    if type(value) in (list, tuple) and is_traced(value):
        return FUNCTIONS[np.array](value)
    return value


def _check_random(function: Any) -> None:
    """Raise where a generator of Python's own module would draw at the trace alone."""
    if isinstance(getattr(function, "__self__", None), random.Random):
        raise UnsupportedError(
            f"{expression_here()} draws random numbers with Python's own generator, which would "
            "happen while the function is traced and not when it runs.\n"
            "  Draw them with np.random, or outside of the function."
        )


def _is_numpy(function: Any) -> bool:
    module = (
        getattr(function, "__module__", None) or type(getattr(function, "__self__", 0)).__module__
    )
    return str(module).partition(".")[0] in ("numpy", "scipy")


def constant(value: Any, trace: Any) -> Any:
    """Return a fresh array that a call has made as a traced constant."""
    if type(value) is np.ndarray and value.dtype.kind in "biufc":
        from ..ir.core import Literal

        if value.ndim == 0:
            return TracedArray(Literal(value[()]), Kind.ARRAY, trace)
        return TracedArray(Literal(value), Kind.ARRAY, trace)
    if type(value) in (list, tuple) and holds_array(value):
        container: Any = type(value)
        return container(constant(v, trace) for v in value)
    return value


def _name(name: str, value: Any) -> Any:
    if isinstance(value, TracedArray):
        named(value._atom, name)
    return value


def _is(left: Any, right: Any) -> bool:
    """Do `left is right`; of two arrays of outside only the call knows whether they are one."""
    trace = current()
    if left is right or trace is None or trace is not trace.root:
        return left is right
    if _is_from_outside(left, trace) and _is_from_outside(right, trace):
        raise UnsupportedError(
            f"{expression_here()} asks whether two arrays from outside are one, which may be so at "
            "one call and not at another.\n  Pass a bool that says it."
        )
    return False


def _is_from_outside(value: Any, trace: Any) -> bool:
    if type(value) is not TracedArray or value._kind is not Kind.ARRAY:
        return False
    view = value._view
    first = value._atom if view is None or view.steps else view.storage.param
    return first in trace.builder.params


HOOKS: dict[str, Callable[..., Any]] = {
    "__pb_is__": _is,
    "__pb_call__": _call,
    "__pb_attr__": attribute,
    "__pb_item__": item,
    "__pb_iter__": iterate,
    "__pb_aug__": _augment,
    "__pb_setitem__": _set_item,
    "__pb_setattr__": set_attribute,
    "__pb_delitem__": delete_item,
    "__pb_delattr__": delete_attribute,
    "__pb_text__": f_string,
    "__pb_percent__": percent,
    "__pb_container__": container,
    "__pb_try__": tried,
    "__pb_caught__": caught,
    "__pb_name__": _name,
    **CONTROL,
}
