"""What the rewritten calls, loads and stores of the user's function do while it is traced.

Outside of a trace (a rewritten function that was kept and is called later) each hook does what
Python would have done.
"""

from __future__ import annotations

import builtins
import functools
import math
import operator
import random
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..ir.dims import maximum, minimum
from ..ir.errors import ConcretizationError, UnsupportedError
from ..ir.op import ELEMENTWISE
from ..ir.ops.shape import Reshape
from ..ir.types import Kind
from .array import FUNCTIONS, TracedArray, apply_elementwise, emit
from .functions.lazy import find, is_always
from .functions.positions import item_of
from .functions.shape import cast
from .functions.write import augment
from .report import NO_SOURCE, expression_here
from .rewrite import NEUTRAL, is_rewritten, rewrite, why_not
from .size import TracedSize, size_of, user_size
from .state import current, named

CREATORS: frozenset[Any] = frozenset({np.zeros, np.ones, np.full, np.empty, np.array})
"""NumPy functions that make fresh arrays of static arguments: always traced."""

_MUTATORS = frozenset(
    {
        *("append", "appendleft", "extend", "extendleft", "insert", "rotate", "sort", "reverse"),
        *("pop", "popleft", "popitem", "remove", "discard", "clear"),
        *("update", "setdefault", "add"),
    }
)

_LIBRARIES = frozenset({"numpy", "scipy", "networkx", "jax", "torch", "autograd"})

_PURE_BUILTINS: frozenset[Any] = frozenset(
    {zip, enumerate, reversed, sorted, list, tuple, dict, sum, map, min, max, filter, set, any, all}
)


def is_library(function: Any) -> bool:
    """Whether a function belongs to pullback, NumPy, SciPy or the standard library."""
    module = str(getattr(function, "__module__", None) or "")
    top = module.partition(".")[0]
    if top == __name__.partition(".")[0]:
        return not module.startswith(f"{top}.benchmarks")
    return top in _LIBRARIES or (top in sys.stdlib_module_names and top != "__main__")


def traced_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the rewritten form of a user's function, or itself where it has none."""
    if not isinstance(function, types.FunctionType):
        return function
    if is_rewritten(function) or is_library(function):
        return function
    hooks: dict[str, Callable[..., Any]] = {
        **HOOKS,
        "__pb_free__": functools.partial(_free, function),
        "__pb_global__": functools.partial(_global, function.__globals__),
        "__pb_setglobal__": functools.partial(_set_outer, "global"),
        "__pb_setfree__": functools.partial(_set_outer, "enclosing"),
    }
    made = rewrite(function, hooks)
    if made is None:
        NO_SOURCE.setdefault(function.__code__, str(why_not(function)))
        return _with_traced_globals(function)
    trace = current()
    if trace is not None and (function.__defaults__ or function.__kwdefaults__):
        _lift_defaults(function, made, trace.root.inputs)
    return made


def _lift_defaults(function: types.FunctionType, made: types.FunctionType, inputs: Any) -> None:
    """Read the arrays among the defaults of a function at every call."""
    for name in ("__defaults__", "__kwdefaults__"):
        held = getattr(function, name)
        values = held.values() if isinstance(held, dict) else held or ()
        if builtins.any(isinstance(v, np.ndarray | list | tuple | dict) for v in values):
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
        types.CellType(_free(function, name, cell.cell_contents))
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True)
    ]
    made = types.FunctionType(
        code, namespace, function.__name__, function.__defaults__, tuple(cells)
    )
    made.__kwdefaults__ = function.__kwdefaults__
    _lift_defaults(function, made, inputs)
    return made


# ---- loads ---------------------------------------------------------------------------------------


def _free(function: types.FunctionType, name: str, value: Any) -> Any:
    trace = current()
    if trace is None or isinstance(value, TracedArray):
        return value
    inputs = trace.root.inputs
    position = function.__code__.co_freevars.index(name)
    path = inputs.path_of(function)
    if path is not None:
        owner = f"{path}.__closure__[{position}]"
    else:
        owner = inputs.constant((function.__closure__ or ())[position])
    return inputs.load(f"{owner}.cell_contents", value, name)


def _global(namespace: dict[str, Any], name: str, value: Any) -> Any:
    trace = current()
    if trace is None or isinstance(value, TracedArray):
        return value
    inputs = trace.root.inputs
    return inputs.load(f"{inputs.constant(namespace)}[{name!r}]", value, name)


def _set_outer(where: str, name: str, value: Any) -> Any:
    if current() is not None:
        raise UnsupportedError(
            f"{expression_here()} assigns the {where} variable `{name}`, which would happen while "
            "the function is traced and not when it runs.\n  Return the value instead."
        )
    return value


def _attribute(owner: Any, name: str) -> Any:
    trace = current()
    if trace is None or isinstance(owner, TracedArray):
        return getattr(owner, name)
    inputs = trace.root.inputs
    if isinstance(owner, np.ndarray):
        return getattr(inputs.lift(owner), name)
    value = getattr(owner, name)
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
    return top in _LIBRARIES or top in sys.stdlib_module_names or top == "pullback"


def _item(owner: Any, key: Any) -> Any:
    trace = current()
    grid = None if trace is None else item_of(owner, key)
    if grid is not None:
        return grid
    value = owner[key]
    if trace is None or isinstance(value, TracedArray):
        return value
    inputs = trace.root.inputs
    if type(owner) is dict and "__builtins__" in owner:
        inputs.register(owner, inputs.constant(owner))
    return inputs.lift(value) if isinstance(key, slice) else inputs.item(owner, key, value)


def _iterate(iterable: Any) -> Iterable[Any]:
    trace = current()
    if trace is None or isinstance(iterable, TracedArray):
        return iterable  # type: ignore[no-any-return]
    inputs = trace.root.inputs
    path = inputs.path_of(iterable)
    if path is not None and isinstance(
        getattr(type(iterable), "__iter__", None), types.FunctionType
    ):
        return inputs.load(f"tuple({path})", tuple(iterable))  # type: ignore[no-any-return]
    return _lifted(iterable, inputs)  # type: ignore[no-any-return]


def _lifted(value: Any, inputs: Any) -> Any:
    """Return a list or tuple with its arrays traced; anything else as it is."""
    if type(value) in (list, tuple) and _holds_array(value):
        return type(value)(_lifted(v, inputs) for v in value)
    return inputs.lift(value)


def _holds_array(values: Any) -> bool:
    return builtins.any(
        isinstance(v, np.ndarray) or (type(v) in (list, tuple) and _holds_array(v)) for v in values
    )


# ---- stores --------------------------------------------------------------------------------------


def _is_outer(owner: Any) -> bool:
    trace = current()
    return trace is not None and trace.root.inputs.path_of(owner) is not None


def _set_attribute(owner: Any, name: str, value: Any) -> None:
    if _is_outer(owner):
        raise UnsupportedError(
            f"{expression_here()} sets the attribute `{name}` of an object from outside of the "
            "function, which would happen while the function is traced and not when it runs.\n"
            "  Return the value instead."
        )
    setattr(owner, name, value)


def _set_item(owner: Any, key: Any, value: Any) -> None:
    trace = current()
    if type(owner) is np.ndarray and trace is not None:
        owner = trace.root.inputs.lift(owner)
    if _is_outer(owner):
        raise _changes(owner)
    owner[key] = value


def _changes(owner: Any) -> UnsupportedError:
    return UnsupportedError(
        f"{expression_here()} changes a {type(owner).__name__} from outside of the function, which "
        "would happen while the function is traced and not when it runs.\n"
        "  Return the value instead."
    )


def _augment(old: Any, value: Any, operator: str) -> Any:
    trace = current()
    if type(old) is np.ndarray and trace is not None:
        old = trace.root.inputs.lift(old)
    result = NEUTRAL["__pb_aug__"](old, value, operator)
    if isinstance(old, TracedArray) and old._kind is Kind.ARRAY:
        return augment(old, result, operator)
    return result


# ---- calls ---------------------------------------------------------------------------------------


def _is_traced(value: Any) -> bool:
    if isinstance(value, TracedArray):
        return True
    if type(value) in (list, tuple):
        return builtins.any(_is_traced(v) for v in value)
    return type(value) is dict and builtins.any(_is_traced(v) for v in value.values())


def _call(function: Any, /, *args: Any, **kwargs: Any) -> Any:
    trace = current()
    if trace is None:
        return function(*args, **kwargs)
    if builtins.any(type(a) is np.ndarray for a in args):
        args = tuple([trace.root.inputs.lift(a) for a in args])
    kind = type(function)
    if kind is types.FunctionType:
        special = FUNCTIONS.get(function) or find(function)
        if special is None:
            return _call_function(function, args, kwargs, trace)
        is_traced = function in CREATORS or is_always(function)
        if is_traced or builtins.any(map(_is_traced, args)) or _is_traced(kwargs):
            return special(*args, **kwargs)
        return _constant(function(*args, **kwargs), trace)
    _check_random(function, args, trace.root.inputs)
    special = find(function)
    if special is not None and (
        is_always(function) or builtins.any(map(_is_traced, args)) or _is_traced(kwargs)
    ):
        return special(*args, **kwargs)
    if kind is types.MethodType:
        special = find(function.__func__)
        if special is not None:
            return special(function.__self__, *args, **kwargs)
        target = traced_function(function.__func__)
        return target(function.__self__, *args, **kwargs)
    mutates = kind is types.BuiltinMethodType and function.__name__ in _MUTATORS
    if mutates and _is_outer(function.__self__):
        raise _changes(function.__self__)
    try:
        special = BUILTINS.get(function)
    except TypeError:  # an unhashable callable
        special = None
    if special is not None:
        return special(*args, **kwargs)
    return _call_object(function, args, kwargs, trace)


def _call_function(function: Any, args: Any, kwargs: Any, trace: Any) -> Any:
    if is_library(function):
        return _constant(function(*args, **kwargs), trace)
    return traced_function(function)(*args, **kwargs)


def _call_object(function: Any, args: Any, kwargs: Any, trace: Any) -> Any:
    if (
        function in _PURE_BUILTINS
        if isinstance(function, type | types.BuiltinFunctionType)
        else False
    ):
        inputs = trace.root.inputs
        return function(*[_lifted(a, inputs) for a in args], **kwargs)
    if isinstance(function, functools.partial):
        return _call(function.func, *function.args, *args, **{**function.keywords, **kwargs})
    if isinstance(function, operator.attrgetter):
        return _getter(function, _dotted, *args)
    if isinstance(function, operator.itemgetter):
        return _getter(function, _item, *args)
    if isinstance(function, np.ufunc) or isinstance(getattr(function, "__self__", None), np.ufunc):
        return _constant(function(*map(_joined, args), **kwargs), trace)
    creator = FUNCTIONS.get(function) if isinstance(function, _NUMPY_FUNCTIONS) else None
    if creator is not None and (function in CREATORS or builtins.any(map(_is_traced, args))):
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
    made = function(*args, **kwargs)
    if _is_numpy(function):
        return _constant(made, trace)
    return _lifted(made, trace.root.inputs)  # it may be an array that others hold


_NUMPY_FUNCTIONS = (types.BuiltinFunctionType, type(np.sum))


def _joined(value: Any) -> Any:
    """Return a list of traced values as one array, as NumPy would; anything else as it is."""
    if type(value) in (list, tuple) and _is_traced(value):
        return FUNCTIONS[np.array](value)
    return value


_RANDOM = ("random", "numpy.random.mtrand", "numpy.random._generator")
_GLOBAL_GENERATORS: tuple[Any, ...] = (vars(np.random.mtrand)["_rand"], vars(random)["_inst"])


def _check_random(function: Any, args: Any, inputs: Any) -> None:
    """Raise where a call draws numbers that a later call of the program would not draw anew.

    A generator that the function itself makes from a seed draws the same numbers at every call.
    """
    owner = getattr(function, "__self__", None)
    is_drawn = type(owner).__module__ in _RANDOM and (
        inputs.path_of(owner) is not None or owner in _GLOBAL_GENERATORS
    )
    if is_drawn or (function is np.random.default_rng and not args):
        raise UnsupportedError(
            f"{expression_here()} draws random numbers, which would happen while the function is "
            "traced and not when it runs.\n  Draw them outside of the function and pass them as an "
            "argument."
        )


def _is_numpy(function: Any) -> bool:
    module = (
        getattr(function, "__module__", None) or type(getattr(function, "__self__", 0)).__module__
    )
    return str(module).partition(".")[0] in ("numpy", "scipy")


def _constant(value: Any, trace: Any) -> Any:
    """Return a fresh array that a call has made as a traced constant."""
    if type(value) is np.ndarray and value.dtype.kind in "biufc":
        from ..ir.core import Literal

        if value.ndim == 0:
            return TracedArray(Literal(value[()]), Kind.ARRAY, trace)
        return TracedArray(Literal(value), Kind.ARRAY, trace)
    if type(value) in (list, tuple) and _holds_array(value):
        container: Any = type(value)
        return container(_constant(v, trace) for v in value)
    return value


def _scalar(value: TracedArray, dtype: Any, what: str) -> TracedArray:
    if value.size != 1:
        raise TypeError("only length-1 arrays can be converted to Python scalars")
    if value.dtype.kind == "c" and dtype is float:
        raise TypeError("float() argument must be a string or a real number, not 'complex'")
    result = value if not value.shape else emit(Reshape((), value.ndim), (value,))
    result = cast(result, dtype)
    return TracedArray(result._atom, Kind.PYTHON, result._trace)


def _float(*args: Any) -> Any:
    if len(args) == 1 and isinstance(args[0], TracedArray):
        return _scalar(args[0], float, "float")
    return float(*args)


def _complex(*args: Any) -> Any:
    if len(args) == 1 and isinstance(args[0], TracedArray):
        return _scalar(args[0], complex, "complex")
    return complex(*args)


def _isinstance(value: Any, classes: Any, /) -> bool:
    if isinstance(value, TracedArray):
        return issubclass(_class_of(value), classes)
    return isinstance(value, classes)


def _class_of(value: TracedArray) -> type:
    if value._kind is Kind.PYTHON:
        return {"b": bool, "i": int, "c": complex}.get(value.dtype.kind, float)
    return value.dtype.type if value._kind is Kind.SCALAR else np.ndarray


def _type(*args: Any, **kwargs: Any) -> Any:
    if len(args) == 1 and isinstance(args[0], TracedArray):
        return _class_of(args[0])
    return type(*args, **kwargs)


def _math(name: str, ufunc: np.ufunc) -> Callable[..., Any]:
    native = getattr(math, name)

    def function(*args: Any) -> Any:
        if not builtins.any(isinstance(a, TracedArray) for a in args):
            return native(*args)
        converted = [_float(a) if isinstance(a, TracedArray) else float(a) for a in args]
        result = apply_elementwise(ELEMENTWISE[ufunc], converted, is_operator=True)
        return TracedArray(result._atom, Kind.PYTHON, result._trace)

    return function


def _print(*args: Any, **kwargs: Any) -> None:
    if builtins.any(map(_is_traced, args)):
        raise ConcretizationError(
            f"{expression_here()} prints a value that is known only when the program runs.\n"
            "  Return the value and print it outside, or print its .shape and .dtype here."
        )
    print(*args, **kwargs)


def _getattr(owner: Any, name: str, *default: Any) -> Any:
    try:
        return _attribute(owner, name)
    except AttributeError:
        if not default:
            raise
        _hasattr(owner, name)
        return default[0]


def _hasattr(owner: Any, name: str) -> bool:
    found = hasattr(owner, name)
    trace = current()
    path = trace.root.inputs.path_of(owner) if trace is not None else None
    if trace is not None and path is not None:
        trace.root.inputs.check(f"hasattr({path}, {name!r}) is not {found}")
    return found


def _len(value: Any, /) -> Any:
    if isinstance(value, TracedArray) and value.shape:
        return user_size(value.type.shape[0])
    size = len(value)
    trace = current()
    path = trace.root.inputs.path_of(value) if trace is not None else None
    if trace is not None and path is not None:
        trace.root.inputs.check(f"len({path}) != {size}")
    return size


def _extreme(native: Any, choose: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Return `max` or `min`, which stays exact for sizes known only when the program runs."""

    def function(*args: Any, **kwargs: Any) -> Any:
        sizes = [a for a in args if isinstance(a, TracedSize) or type(a) is int]
        if len(sizes) == len(args) > 1 and not kwargs:
            return user_size(functools.reduce(choose, map(size_of, sizes)))
        return _call_object(native, args, kwargs, current())

    return function


def _vars(*owner: Any) -> Any:
    return _attribute(owner[0], "__dict__") if owner else vars()


def _getter(function: Any, read: Callable[[Any, Any], Any], value: Any) -> Any:
    """Read what an `operator.attrgetter` or `itemgetter` reads, through our loads."""
    found: tuple[Any, ...] = tuple(read(value, key) for key in function.__reduce__()[1])
    return found[0] if len(found) == 1 else found


def _dotted(value: Any, path: str) -> Any:
    return functools.reduce(_attribute, path.split("."), value)


_MATH = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log2": np.log2, "log10": np.log10,
    "log1p": np.log1p, "sqrt": np.sqrt, "cbrt": np.cbrt, "sin": np.sin, "cos": np.cos,
    "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "atan2": np.arctan2, "sinh": np.sinh,
    "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "pow": np.power, "fabs": np.fabs, "hypot": np.hypot, "fmod": np.fmod, "copysign": np.copysign,
    "degrees": np.degrees, "radians": np.radians,
}  # fmt: skip


def _math_log(x: Any, *base: Any) -> Any:
    result = _math("log", np.log)(x)
    return result / _math("log", np.log)(*base) if base else result


BUILTINS: dict[Any, Callable[..., Any]] = {
    float: _float,
    complex: _complex,
    isinstance: _isinstance,
    type: _type,
    print: _print,
    getattr: _getattr,
    setattr: _set_attribute,
    hasattr: _hasattr,
    len: _len,
    max: _extreme(max, maximum),
    min: _extreme(min, minimum),
    vars: _vars,
    math.log: _math_log,
    **{getattr(math, n): _math(n, u) for n, u in _MATH.items() if hasattr(math, n)},
}


def _name(name: str, value: Any) -> Any:
    if isinstance(value, TracedArray):
        named(value._atom, name)
    return value


HOOKS: dict[str, Callable[..., Any]] = {
    "__pb_call__": _call,
    "__pb_attr__": _attribute,
    "__pb_item__": _item,
    "__pb_iter__": _iterate,
    "__pb_aug__": _augment,
    "__pb_setitem__": _set_item,
    "__pb_setattr__": _set_attribute,
    "__pb_name__": _name,
}
