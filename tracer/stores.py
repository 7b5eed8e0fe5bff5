"""What the rewritten stores of the user's function do while it is traced (see `commits`)."""

from __future__ import annotations

import dis
import functools
import types
from collections import deque
from collections.abc import Iterator
from typing import Any

from ..ir.errors import UnsupportedError
from .array import TracedArray
from .commits import CONSTANTS, CONTAINERS, Commits, keep_content, refused
from .guards import key_of
from .report import expression_here
from .state import Trace, current

MUTATORS = frozenset(
    {
        *("append", "appendleft", "extend", "extendleft", "insert", "rotate", "sort", "reverse"),
        *("pop", "popleft", "popitem", "remove", "discard", "clear"),
        *("update", "setdefault", "add", "__setitem__", "__delitem__", "__iadd__", "__ior__"),
        *("intersection_update", "difference_update", "symmetric_difference_update"),
    }
)
"""Methods of Python's containers that change them."""

_TAKING_ALL = frozenset(n for n in MUTATORS if n.endswith("update") or n.startswith("extend"))

_EXTENDS: dict[tuple[type[Any], str], str] = {
    (list, "+="): "extend", (deque, "+="): "extend", (dict, "|="): "update", (set, "|="): "update",
    (set, "&="): "intersection_update", (set, "-="): "difference_update",
    (set, "^="): "symmetric_difference_update",
}  # fmt: skip


def _commits(owner: Any) -> Commits | None:
    """Return where a store in an object is recorded, None for an object of the function's own.

    Raises
    ------
    UnsupportedError
        Within a function that is given to a loop or a derivative.
    """
    trace = current()
    if trace is None or not is_kept(owner):
        return None
    return _recorder(trace, f"a {type(owner).__name__}")


def _recorder(trace: Trace, what: str) -> Commits:
    if trace is not trace.root:
        raise UnsupportedError(
            f"{expression_here()} changes {what} from outside of the function, within a function "
            "given to a loop or a derivative.\n  Return the value instead, and store it where the "
            "loop or the derivative is called."
        )
    commits: Commits = trace.root.inputs.commits
    return commits


def is_kept(owner: Any) -> bool:
    """Whether an object outlives the call: it was read from outside, or is an argument."""
    trace = current()
    if trace is None:
        return False
    inputs = trace.root.inputs
    return inputs.path_of(owner) is not None or inputs.commits.argument(owner)[0]


# ---- attributes ----------------------------------------------------------------------------------


def set_attribute(owner: Any, name: str, value: Any) -> None:
    """Do `owner.name = value`."""
    from .hooks import HOOKS

    commits = _commits(owner)
    found = getattr(type(owner), name, None)
    if current() is not None and isinstance(found, property) and found.fset is not None:
        HOOKS["__pb_call__"](found.fset, owner, value)
        return
    if commits is None:
        setattr(owner, name, value)
        return
    if isinstance(type(owner).__setattr__, types.FunctionType):
        raise refused(f"through the `__setattr__` of the class {type(owner).__name__} a value")
    commits.record(functools.partial(_set, name), owner, value, name=name)
    _restore_attribute(commits, owner, name)
    setattr(owner, name, value)


def delete_attribute(owner: Any, name: str) -> None:
    """Do `del owner.name`."""
    commits = _commits(owner)
    if commits is not None:
        getattr(owner, name)
        commits.record(functools.partial(_delete, name), owner, name=name)
        _restore_attribute(commits, owner, name)
    delattr(owner, name)


def _set(name: str, owner: Any, value: Any) -> None:
    setattr(owner, name, value)


def _delete(name: str, owner: Any) -> None:
    delattr(owner, name)


def _restore_attribute(commits: Commits, owner: Any, name: str) -> None:
    own = getattr(owner, "__dict__", {})
    slot = isinstance(getattr(type(owner), name, None), types.MemberDescriptorType)
    if name in own or (slot and hasattr(owner, name)):
        commits.on_undo(functools.partial(setattr, owner, name, getattr(owner, name)))
    else:
        commits.on_undo(functools.partial(_delete, name, owner))


# ---- variables -----------------------------------------------------------------------------------


def set_global(namespace: dict[str, Any], name: str, value: Any) -> Any:
    """Record that the function assigns a global variable; Python itself assigns it."""
    trace = current()
    if trace is not None:
        commits = _recorder(trace, f"the global variable `{name}`")
        trace.root.inputs.register(namespace, trace.root.inputs.constant(namespace))
        commits.record(functools.partial(_put, name), namespace, value, name=name)
    return value


def _put(key: Any, owner: Any, value: Any) -> None:
    owner[key] = value


def set_free(function: types.FunctionType, name: str, value: Any) -> Any:
    """Record that the function assigns a variable of an enclosing one; Python itself assigns it."""
    trace = current()
    if trace is not None and name in function.__code__.co_freevars:
        commits = _recorder(trace, f"the enclosing variable `{name}`")
        cell = (function.__closure__ or ())[function.__code__.co_freevars.index(name)]
        inputs = trace.root.inputs
        path = inputs.path_of(function)
        position = function.__code__.co_freevars.index(name)
        inputs.register(
            cell,
            f"{path}.__closure__[{position}]" if path is not None else inputs.constant(cell),
        )
        commits.record(functools.partial(_set, "cell_contents"), cell, value, name="cell_contents")
    return value


_GLOBAL, _DEREF = dis.opmap["STORE_GLOBAL"], dis.opmap["STORE_DEREF"]


@functools.cache
def _outer_stores(code: types.CodeType) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the global and the enclosing variables that a function or one inside it assigns."""
    global_names: dict[str, None] = {}
    free_names: dict[str, None] = {}
    # Taking a long function apart is slow, and few have one of these.
    opcodes = code.co_code[::2]
    is_wanted = _GLOBAL in opcodes or (bool(code.co_freevars) and _DEREF in opcodes)
    for instruction in dis.get_instructions(code) if is_wanted else ():
        if instruction.opname == "STORE_GLOBAL":
            global_names[instruction.argval] = None
        elif instruction.opname == "STORE_DEREF" and instruction.argval in code.co_freevars:
            free_names[instruction.argval] = None
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = _outer_stores(constant)
            global_names.update(dict.fromkeys(inner[0]))
            free_names.update(dict.fromkeys(n for n in inner[1] if n in code.co_freevars))
    return tuple(global_names), tuple(free_names)


def remember_variables(function: types.FunctionType) -> None:
    """Keep what the variables of outside hold that a function assigns, to undo it."""
    trace = current()
    stored = _outer_stores(function.__code__)
    if trace is None or stored == ((), ()):
        return
    commits: Commits = trace.root.inputs.commits
    namespace = function.__globals__
    for name in stored[0]:
        if name in namespace:
            commits.on_undo(functools.partial(_put, name, namespace, namespace[name]))
        else:
            commits.on_undo(functools.partial(namespace.pop, name, None))
    for name in stored[1]:
        cell = (function.__closure__ or ())[function.__code__.co_freevars.index(name)]
        try:
            commits.on_undo(functools.partial(setattr, cell, "cell_contents", cell.cell_contents))
        except ValueError:  # it is empty
            commits.on_undo(functools.partial(delattr, cell, "cell_contents"))


# ---- containers ----------------------------------------------------------------------------------


def set_item(owner: Any, key: Any, value: Any) -> None:
    """Do `owner[key] = value`."""
    key = key_of(owner, key)
    commits = _commits(owner)
    if commits is not None:
        keep_content(commits, owner)
        _check_key(key)
        commits.record(functools.partial(_put, key), owner, value)
    owner[key] = value


def delete_item(owner: Any, key: Any) -> None:
    """Do `del owner[key]`."""
    key = key_of(owner, key)
    commits = _commits(owner)
    if commits is not None:
        keep_content(commits, owner)
        _check_key(key)
        commits.record(functools.partial(_delete_item, key), owner)
    del owner[key]


def _delete_item(key: Any, owner: Any) -> None:
    del owner[key]


def mutate(owner: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a method that changes a container."""
    commits = _commits(owner)
    if commits is not None:
        if name in _TAKING_ALL:  # what is iterated over is read once, and now
            args = tuple(
                [list(a) if isinstance(a, Iterator | set | frozenset) else a for a in args]
            )
        if not kwargs and commits.add(owner, name, args):
            apply = functools.partial(_call_method, name, {})
            commits.record(apply, owner, *args, is_unread=True)
            return None
        if kwargs and type(owner) is dict and name == "update":
            args, kwargs = (dict(*args, **kwargs),), {}
        keep_content(commits, owner)
        if kwargs.get("key") is not None:
            raise refused("by a key function an order")
        commits.record(functools.partial(_call_method, name, dict(kwargs)), owner, *args)
        for value in kwargs.values():
            if isinstance(value, TracedArray):
                raise refused("by keyword a value")
    return getattr(owner, name)(*args, **kwargs)


def _call_method(name: str, kwargs: dict[str, Any], owner: Any, *args: Any) -> None:
    getattr(owner, name)(*args, **kwargs)


def extend(old: Any, value: Any, operator: str) -> bool:
    """Do `old += value` and its like where `old` is a container of outside; say whether it is."""
    if not isinstance(old, CONTAINERS) or not is_kept(old):
        return False
    name = next((n for (k, o), n in _EXTENDS.items() if isinstance(old, k) and o == operator), None)
    if name is None:
        raise refused(f"by `{operator}` another content of a {type(old).__name__}")
    mutate(old, name, (value,), {})
    return True


def _check_key(key: Any) -> None:
    if not isinstance(key, (tuple, *CONSTANTS)):
        raise refused(f"under a key of the class {type(key).__name__} a value")


__all__ = [
    "MUTATORS",
    "delete_attribute",
    "delete_item",
    "extend",
    "is_kept",
    "mutate",
    "remember_variables",
    "set_attribute",
    "set_free",
    "set_global",
    "set_item",
]
