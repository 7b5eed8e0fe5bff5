"""The one rewrite of the user's source: what NumPy does not dispatch goes through hooks.

A hook is a plain name, a free variable of the rewritten function, whose call has the position
of the user's expression. Evaluation order, scopes, closure cells, file and line numbers are the
user's. Loops and branches run under drivers (see `staging`), early exits being removed before (see
`exits`); the local variables that this adds start with `__pb_`, and `locals()` does not show them.

Before::

    def layer(x, w, out):
        h = np.tanh(x @ w)
        out[1:] = h if h[0] > 0 else x
        return h

After::

    def layer(x, w, out):
        h = __pb_name__('h', __pb_call__(
            __pb_attr__(__pb_global__('np', np), 'tanh'), x @ w))
        __pb_store__(out)[1:] = __pb_ifexp__(__pb_item__(h, 0) > 0, lambda: h, lambda: x)
        return h

A store keeps Python's own statement, so that Python orders it: `__pb_store__(o)` is an object
whose item and attribute stores call `__pb_setitem__(o, i, v)` and `__pb_setattr__(o, name, v)`.
An augmented one is `__pb_augitem__(*__pb_loaditem__(o, i), v, '+=')`, which calls the hook
with (o, i, old, v, '+='): Python loads the old element before it evaluates `v`.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import operator
import threading
import types
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .exits import remove_exits
from .hooking import Hooking
from .plain import PLAIN
from .scope import Scope
from .source import compile_function, function_tree, private_class

Hook = Callable[..., Any]

AUGMENTED: Mapping[str, Callable[[Any, Any], Any]] = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "@=": operator.imatmul,
    "/=": operator.itruediv,
    "//=": operator.ifloordiv,
    "%=": operator.imod,
    "**=": operator.ipow,
    "<<=": operator.ilshift,
    ">>=": operator.irshift,
    "|=": operator.ior,
    "^=": operator.ixor,
    "&=": operator.iand,
}

_CONVERSIONS: Mapping[str, Callable[[Any], str]] = {"s": str, "r": repr, "a": ascii}


def f_string(*parts: Any) -> str:
    """Return an f-string: its parts are texts, and tuples of value, conversion and format."""
    made = []
    for part in parts:
        if isinstance(part, str):
            made.append(part)
        else:
            value, conversion, spec = part
            made.append(format(_CONVERSIONS[conversion](value) if conversion else value, spec))
    return "".join(made)


# What each hook receives, and what Python itself would do: the specification of the hooks.
NEUTRAL: Mapping[str, Hook] = {
    "__pb_call__": lambda function, /, *args, **kwargs: function(*args, **kwargs),
    "__pb_global__": lambda name, value, is_added_to=False, /: value,
    "__pb_free__": lambda name, value, is_added_to=False, /: value,
    "__pb_name__": lambda name, value, /: value,
    "__pb_setglobal__": lambda name, value, /: value,
    "__pb_setfree__": lambda name, value, /: value,
    "__pb_attr__": getattr,
    "__pb_item__": operator.getitem,
    "__pb_slice__": slice,
    "__pb_test__": bool,
    "__pb_is__": operator.is_,
    "__pb_iter__": lambda iterable, /: iterable,
    "__pb_aug__": lambda old, value, op, /: AUGMENTED[op](old, value),
    "__pb_setitem__": operator.setitem,
    "__pb_setattr__": setattr,
    "__pb_delitem__": operator.delitem,
    "__pb_delattr__": delattr,
    "__pb_text__": f_string,
    "__pb_percent__": operator.mod,
    "__pb_container__": getattr,
    "__pb_try__": contextlib.nullcontext,
    "__pb_caught__": lambda: None,
    **PLAIN,
}

_DERIVED = ("__pb_augitem__", "__pb_augattr__", "__pb_store__", "__pb_loaditem__")
_HOOK_NAMES = (*NEUTRAL, *_DERIVED, "__pb_loadattr__", "__pb_visible__")
_PREFIX = "__pb_"

_REFUSED = (
    (0x20, "it is a generator"),
    (0x80, "it is a coroutine"),
    (0x200, "it is an asynchronous generator"),
)


class _Store:
    """The owner of a store: item and attribute stores on it are calls of the hooks."""

    __slots__ = ("_hooks", "_owner")

    _hooks: Mapping[str, Hook]
    _owner: Any

    def __init__(self, owner: Any, hooks: Mapping[str, Hook]) -> None:
        # `__setattr__` is the user's store, so our own attributes go around it.
        object.__setattr__(self, "_owner", owner)
        object.__setattr__(self, "_hooks", hooks)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._hooks["__pb_setitem__"](self._owner, index, value)

    def __delitem__(self, index: Any) -> None:
        self._hooks["__pb_delitem__"](self._owner, index)

    def __setattr__(self, name: str, value: Any) -> None:
        self._hooks["__pb_setattr__"](self._owner, name, value)

    def __delattr__(self, name: str) -> None:
        self._hooks["__pb_delattr__"](self._owner, name)


def _visible(names: Any) -> Any:
    """Return what `locals()`, `vars()` or `dir()` gave without the names of the hooks."""
    if isinstance(names, dict):
        return {name: value for name, value in names.items() if not name.startswith(_PREFIX)}
    return [name for name in names if not name.startswith(_PREFIX)]


def complete(hooks: Mapping[str, Hook]) -> dict[str, Hook]:
    """Return `hooks` with the neutral ones where one is missing, and those made from others."""
    full: dict[str, Hook] = {**NEUTRAL, **hooks}
    item, attr, aug = full["__pb_item__"], full["__pb_attr__"], full["__pb_aug__"]

    def augitem(owner: Any, index: Any, old: Any, value: Any, op: str) -> None:
        full["__pb_setitem__"](owner, index, aug(old, value, op))

    def augattr(owner: Any, name: str, old: Any, value: Any, op: str) -> None:
        full["__pb_setattr__"](owner, name, aug(old, value, op))

    full.setdefault("__pb_augitem__", augitem)
    full.setdefault("__pb_augattr__", augattr)
    full["__pb_loaditem__"] = lambda owner, index: (owner, index, item(owner, index))
    full["__pb_loadattr__"] = lambda owner, name: (owner, name, attr(owner, name))
    full["__pb_store__"] = lambda owner: _Store(owner, full)
    full["__pb_visible__"] = _visible
    return full


@dataclass(frozen=True)
class _Template:
    """The rewritten code of a function, without closure and defaults."""

    code: types.CodeType
    builtins: frozenset[str]  # names taken to be builtins: no global had them

    def fits(self, function: types.FunctionType) -> bool:
        return self.builtins.isdisjoint(function.__globals__)

    def bind(self, function: types.FunctionType, hooks: Mapping[str, Hook]) -> types.FunctionType:
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        for name in self.code.co_freevars:
            if name.startswith(_PREFIX):
                cells[name] = types.CellType(hooks[name])
        closure = tuple(cells[name] for name in self.code.co_freevars)
        made = types.FunctionType(
            self.code, function.__globals__, function.__name__, function.__defaults__, closure
        )
        made.__kwdefaults__ = function.__kwdefaults__
        made.__qualname__ = function.__qualname__
        made.__module__ = function.__module__
        made.__doc__ = function.__doc__
        made.__dict__.update(function.__dict__)
        # Since Python 3.14 annotations are computed when asked for, and may not exist yet.
        lazily = hasattr(function, "__annotate__")
        for name in ("__annotate__" if lazily else "__annotations__", "__type_params__"):
            if hasattr(function, name):
                setattr(made, name, getattr(function, name))
        return made


_lock = threading.RLock()
# By identity: equal code objects of different files are equal, and not the same.
_templates: dict[int, tuple[weakref.ref[types.CodeType], _Template | str]] = {}
# Code that is defined in rewritten code.
_inner: dict[int, weakref.ref[types.CodeType]] = {}


def rewrite(function: types.FunctionType, hooks: Mapping[str, Hook]) -> types.FunctionType | None:
    """Return `function` with `hooks` in the place of what NumPy does not dispatch, or None.

    The result has the closure cells, globals, defaults, name and source positions of `function`.
    A function that is itself a result of `rewrite` (or was defined in one) gets the new hooks.

    Parameters
    ----------
    function
        Any Python function.
    hooks
        The hooks by name; the entries of `NEUTRAL` stand in for those that are missing.
        `__pb_augitem__` and `__pb_augattr__` receive (owner, index or name, old, value, operator).
    """
    template = _template(function)
    return None if isinstance(template, str) else template.bind(function, complete(hooks))


def why_not(function: object) -> str | None:
    """Return the sentence that says why `function` cannot be rewritten; None if it can."""
    if not isinstance(function, types.FunctionType):
        return "it is not a Python function"
    template = _template(function)
    return template if isinstance(template, str) else None


def is_rewritten(function: types.FunctionType) -> bool:
    """Say whether `function` already calls hooks, or was defined by code that does."""
    code = function.__code__
    known = _inner.get(id(code))
    if known is not None and known() is code:  # there was nothing to rewrite in it
        return True
    return any(name.startswith(_PREFIX) for name in code.co_freevars)


def _template(function: types.FunctionType) -> _Template | str:
    code = function.__code__
    key = id(code)
    with _lock:
        known = _templates.get(key)
        if known is not None and (isinstance(known[1], str) or known[1].fits(function)):
            return known[1]
        template = _make_template(function)

        # Bound early: at the end of the interpreter the module's names are gone first.
        def forget(_: object, pop: Callable[[int, None], object] = _templates.pop) -> None:
            pop(key, None)

        _templates[key] = (weakref.ref(code, forget), template)
        return template


def _make_template(function: types.FunctionType) -> _Template | str:
    code = function.__code__
    for flag, reason in _REFUSED:
        if code.co_flags & flag:
            return reason
    if is_rewritten(function):
        return _Template(code, frozenset())
    node = function_tree(function)
    if isinstance(node, str):
        return node
    if isinstance(node, ast.FunctionDef):
        remove_exits(node)
    private = private_class(code)
    scope = Scope(node, None, free=code.co_freevars, private=private, code=code)
    hooking = Hooking(scope, function.__globals__, vars(builtins))
    hooking.function_body(node)
    rewritten = compile_function(node, code, (*_HOOK_NAMES, *code.co_freevars))
    _remember_inner(rewritten)
    return _Template(rewritten, frozenset(hooking.builtins))


def _remember_inner(code: types.CodeType) -> None:
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            key = id(inner)

            def forget(_: object, key: int = key, pop: Callable[..., object] = _inner.pop) -> None:
                pop(key, None)

            _inner[key] = weakref.ref(inner, forget)
            _remember_inner(inner)
