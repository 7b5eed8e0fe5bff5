"""What a traced function stores outside of itself: attributes, variables, elements of containers.

While the function is traced a store happens for real, so that all that is read afterwards sees it,
and is undone at the end. It is recorded too: the value stored and the object that it is stored in
become further results of the program, and each call stores them when everything has been computed.
"""

from __future__ import annotations

import copy
import dis
import functools
import types
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ir.core import Atom, Value
from ..ir.errors import UnsupportedError
from ..ir.types import Kind
from .array import TracedArray, lift
from .functions.random import TracedGenerator
from .report import expression_here
from .state import Trace, current
from .text import TracedText
from .tree import LEAF, Node, Static, Structure, children_of, unflattener

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

_CONTAINERS = (list, dict, set, deque)
_CONSTANTS = (
    *(bool, int, float, complex, str, bytes, type(None), type(Ellipsis), np.generic, np.dtype),
    *(slice, range, type, types.BuiltinFunctionType, types.ModuleType, frozenset),
)

_EXTENDS = {
    (list, "+="): "extend", (deque, "+="): "extend", (dict, "|="): "update", (set, "|="): "update",
    (set, "&="): "intersection_update", (set, "-="): "difference_update",
    (set, "^="): "symmetric_difference_update",
}  # fmt: skip

Commit = Callable[[Sequence[Any]], None]


class _Step(NamedTuple):
    """One store: `apply(owner, *values)`; the owner stands at `place` among the results."""

    apply: Callable[..., Any]
    owner: Any
    values: tuple[Any, ...]


class Commits:
    """The stores of one trace."""

    def __init__(self) -> None:
        self._steps: list[_Step] = []
        self._undo: list[Callable[[], None]] = []
        self._set: set[tuple[int, str]] = set()
        self._changed: set[int] = set()
        self._kept: dict[int, tuple[Any, str | None]] = {}
        self._added: dict[int, tuple[Any, list[tuple[str, tuple[Any, ...]]]]] = {}

    # -- what is known of an object ----------------------------------------------------------------

    def register_arguments(self, value: Any, path: str | None) -> None:
        """Record the containers among the arguments, which are copies while tracing.

        With no path they belong to a function traced apart: nothing may be stored in them.
        """
        found = children_of(value) if not isinstance(value, TracedArray) else None
        if found is None:
            return
        self._kept[id(value)] = (value, path)
        static, children = found
        for number, child in enumerate(children):
            at = None
            if path is not None:
                if type(value) is dict:
                    at = f"{path}[{static[number]!r}]"
                    if not isinstance(static[number], str | int):
                        at = None
                elif isinstance(value, list | tuple):
                    at = f"{path}[{number}]"
                elif isinstance(static, tuple) and all(isinstance(n, str) for n in static):
                    at = f"{path}.{static[number]}"
            self.register_arguments(child, at)

    def argument(self, value: Any) -> tuple[bool, str | None]:
        """Return whether an object is a container among the arguments, and its path."""
        found = self._kept.get(id(value))
        return (True, found[1]) if found is not None and found[0] is value else (False, None)

    def has_set(self, owner: Any, name: str) -> bool:
        """Whether an attribute or variable was stored in this trace."""
        return bool(self._set) and (id(owner), name) in self._set

    def has_changed(self, owner: Any) -> bool:
        """Whether a container of outside was changed in this trace."""
        return bool(self._changed) and id(owner) in self._changed

    # -- containers that are only added to ---------------------------------------------------------

    def add_to(self, path: str, value: Any, inputs: Any) -> bool:
        """Note that a container of outside is added to; say whether nothing of it has been read.

        Its content is then no concern of the program: a growing list is no reason to trace anew.
        """
        if type(value) not in _CONTAINERS or inputs.has_loaded(path) or self.has_changed(value):
            return id(value) in self._added and self._added[id(value)][0] is value
        if inputs.path_of(value) is None:
            inputs.register(value, path)
            inputs.expect(path, type(value))
            self._added[id(value)] = (value, [])
        return id(value) in self._added

    def add(self, owner: Any, name: str, args: tuple[Any, ...]) -> bool:
        """Keep an addition to a container of which nothing has been read; say whether it is one."""
        found = self._added.get(id(owner))
        if found is None or found[0] is not owner:
            return False
        found[1].append((name, args))
        return True

    def read(self, owner: Any, read: Any) -> None:
        """Do what was added to a container before it was read."""
        found = self._added.pop(id(owner), None)
        for name, args in found[1] if found is not None else ():
            _change(self, read)
            self._changed.add(id(read))
            getattr(read, name)(*args)

    # -- stores ------------------------------------------------------------------------------------

    def on_undo(self, undo: Callable[[], None]) -> None:
        """Do something when the trace ends."""
        self._undo.append(undo)

    def undo(self) -> None:
        """Take all stores back: the trace is over."""
        while self._undo:
            self._undo.pop()()

    def record(
        self,
        apply: Callable[..., Any],
        owner: Any,
        *values: Any,
        name: str | None = None,
        is_unread: bool = False,
    ) -> None:
        """Record a store, of the attribute `name` or in a container, of which nothing was read."""
        for value in values:
            _check(value)
        if name is None and not is_unread:
            self._changed.add(id(owner))
        elif name is not None:
            self._set.add((id(owner), name))
        self._steps.append(_Step(apply, owner, values))

    def finish(self, state: Trace) -> tuple[list[tuple[Atom, Kind, Any]], Commit | None]:
        """Return the further results, each with what stands for its memory, and what stores them.

        Raises
        ------
        UnsupportedError
            For a value that could not be made again at every run.
        """
        results: list[tuple[Atom, Kind, Any]] = []
        parts: list[tuple[Callable[..., Any], int, int, Callable[[Sequence[Any]], Any]]] = []
        for step in self._steps:
            start = len(results)
            structure = _encode((_Owner(step.owner), *step.values), state, results)
            parts.append((step.apply, start, len(results), unflattener(structure)))
        if not parts:
            return [], None

        def commit(values: Sequence[Any]) -> None:
            built = [(apply, build(values[a:b])) for apply, a, b, build in parts]
            for apply, arguments in built:
                apply(*arguments)

        return results, commit


class _Owner(NamedTuple):
    """An object that is passed as it is."""

    object: Any


def _encode(value: Any, state: Trace, results: list[tuple[Atom, Kind, Any]]) -> Structure:
    """Append what the program computes of a value, and return the structure of the whole."""
    inputs = state.root.inputs
    if isinstance(value, _Owner):
        results.append((_owner(value.object, inputs), Kind.SCALAR, None))
        return LEAF
    if isinstance(value, TracedArray) or type(value) is np.ndarray:
        atom, kind = lift(value, state)
        view = getattr(value, "_view", None)
        results.append((atom, kind, value if view is None else view.storage))
        return LEAF
    if isinstance(value, TracedGenerator):
        results.append((value._atom, Kind.SCALAR, value))
        return LEAF
    if isinstance(value, _CONSTANTS):
        return Static(value)
    if inputs.path_of(value) is not None or inputs.commits.argument(value)[0]:
        results.append((_owner(value, inputs), Kind.SCALAR, None))
        return LEAF
    found = children_of(value)
    if found is not None:
        static, children = found
        return Node(type(value), static, tuple([_encode(c, state, results) for c in children]))
    return Static(value)  # a function: `_check` has let nothing else pass


def _owner(value: Any, inputs: Any) -> Value:
    is_argument, path = inputs.commits.argument(value)
    if is_argument and path is None:
        raise _refused(f"a {type(value).__name__}")
    atom: Value = inputs.opaque(value, path)
    return atom


def _check(value: Any) -> None:
    """Raise where a value could not be stored at every run as plain Python would store it."""
    trace = current()
    assert trace is not None
    inputs = trace.root.inputs
    if isinstance(value, (TracedArray, np.ndarray, TracedGenerator, *_CONSTANTS)):
        return
    if inputs.path_of(value) is not None or inputs.commits.argument(value)[0]:
        return
    if isinstance(value, TracedText):
        raise _refused("text of a traced value")
    if isinstance(value, types.FunctionType) and not value.__closure__:
        return
    found = children_of(value)
    if found is None:
        raise _refused(f"a {type(value).__name__}")
    for child in found[1]:
        _check(child)


def _refused(what: str) -> UnsupportedError:
    return UnsupportedError(
        f"{expression_here()} stores {what} outside of the function, which cannot be done again at "
        "every run.\n  Store arrays, numbers, or lists, tuples and dicts of them; or return the "
        "value instead."
    )


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
        raise _refused(f"through the `__setattr__` of the class {type(owner).__name__} a value")
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


@functools.cache
def _outer_stores(code: types.CodeType) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the global and the enclosing variables that a function or one inside it assigns."""
    global_names: dict[str, None] = {}
    free_names: dict[str, None] = {}
    for instruction in dis.get_instructions(code):
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
    commits = _commits(owner)
    if commits is not None:
        _change(commits, owner)
        _check_key(key)
        commits.record(functools.partial(_put, key), owner, value)
    owner[key] = value


def delete_item(owner: Any, key: Any) -> None:
    """Do `del owner[key]`."""
    commits = _commits(owner)
    if commits is not None:
        _change(commits, owner)
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
        _change(commits, owner)
        if kwargs.get("key") is not None:
            raise _refused("by a key function an order")
        commits.record(functools.partial(_call_method, name, dict(kwargs)), owner, *args)
        for value in kwargs.values():
            if isinstance(value, TracedArray):
                raise _refused("by keyword a value")
    return getattr(owner, name)(*args, **kwargs)


def _call_method(name: str, kwargs: dict[str, Any], owner: Any, *args: Any) -> None:
    getattr(owner, name)(*args, **kwargs)


def extend(old: Any, value: Any, operator: str) -> bool:
    """Do `old += value` and its like where `old` is a container of outside; say whether it is."""
    if not isinstance(old, _CONTAINERS) or not is_kept(old):
        return False
    name = next((n for (k, o), n in _EXTENDS.items() if isinstance(old, k) and o == operator), None)
    if name is None:
        raise _refused(f"by `{operator}` another content of a {type(old).__name__}")
    mutate(old, name, (value,), {})
    return True


def _check_key(key: Any) -> None:
    if not isinstance(key, (tuple, *_CONSTANTS)):
        raise _refused(f"under a key of the class {type(key).__name__} a value")


def _change(commits: Commits, owner: Any) -> None:
    """Keep the content of a container of outside before it changes first."""
    trace = current()
    assert trace is not None
    path = trace.root.inputs.path_of(owner) or ""
    if not isinstance(owner, _CONTAINERS) or path.endswith(".__dict__"):
        raise _refused(f"in a {type(owner).__name__} a value")
    if commits.has_changed(owner):
        return
    before = copy.copy(owner)

    def undo() -> None:
        owner.clear()
        restored: Any = owner
        getattr(restored, "extend" if isinstance(before, list | deque) else "update")(before)

    commits.on_undo(undo)


__all__ = [
    "MUTATORS",
    "Commit",
    "Commits",
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
