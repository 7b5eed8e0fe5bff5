"""What a traced function stores outside of itself: attributes, variables, elements of containers.

While the function is traced a store happens for real, so that all that is read afterwards sees it,
and is undone at the end. It is recorded too: the value stored and the object that it is stored in
become further results of the program, and each call stores them when everything has been computed.
"""

from __future__ import annotations

import copy
import types
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ir.core import Atom, Value
from ..ir.errors import UnsupportedError
from ..ir.types import Kind
from .array import TracedArray, lift
from .functions.generators import TracedGenerator
from .report import expression_here
from .state import Trace, current
from .text import TracedText
from .tree import LEAF, Node, Static, Structure, children_of, flattener, unflattener

CONTAINERS = (list, dict, set, deque)
CONSTANTS = (
    *(bool, int, float, complex, str, bytes, type(None), type(Ellipsis), np.generic, np.dtype),
    *(slice, range, type, types.BuiltinFunctionType, types.ModuleType, frozenset),
)

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
        # Nothing is known of how to reach the children of a registered class.
        is_known = path is not None and flattener(type(value)) is None
        for number, child in enumerate(children):
            at = None
            if is_known:
                if type(value) is dict:
                    at = f"{path}[{static[number]!r}]"
                    if not isinstance(static[number], str | int):
                        at = None
                elif isinstance(value, list | tuple):
                    at = f"{path}[{number}]"
                else:
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
        if type(value) not in CONTAINERS or inputs.has_loaded(path) or self.has_changed(value):
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
            keep_content(self, read)
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

    def finish(
        self, state: Trace, in_arguments: bool
    ) -> tuple[list[tuple[Atom, Kind, Any]], Commit | None]:
        """Return the further results, each with what stands for its memory, and what stores them.

        Without `in_arguments` the containers among the arguments stay as they are: a derivative
        leaves its arguments untouched.

        Raises
        ------
        UnsupportedError
            For a value that could not be made again at every run.
        """
        results: list[tuple[Atom, Kind, Any]] = []
        parts: list[tuple[Callable[..., Any], int, int, Callable[[Sequence[Any]], Any]]] = []
        for step in self._steps:
            if not in_arguments and self.argument(step.owner)[0]:
                continue
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
    if isinstance(value, CONSTANTS):
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
        raise refused(f"a {type(value).__name__}")
    atom: Value = inputs.opaque(value, path)
    return atom


def _check(value: Any) -> None:
    """Raise where a value could not be stored at every run as plain Python would store it."""
    trace = current()
    assert trace is not None
    inputs = trace.root.inputs
    if isinstance(value, (TracedArray, np.ndarray, TracedGenerator, *CONSTANTS)):
        return
    if inputs.path_of(value) is not None or inputs.commits.argument(value)[0]:
        return
    if isinstance(value, TracedText):
        raise refused("text of a traced value")
    if isinstance(value, types.FunctionType) and not value.__closure__:
        return
    found = children_of(value)
    if found is None:
        raise refused(f"a {type(value).__name__}")
    for child in found[1]:
        _check(child)


def refused(what: str) -> UnsupportedError:
    """Return the error for a store that could not be done again at every run."""
    return UnsupportedError(
        f"{expression_here()} stores {what} outside of the function, which cannot be done again at "
        "every run.\n  Store arrays, numbers, or lists, tuples and dicts of them; or return the "
        "value instead."
    )


def keep_content(commits: Commits, owner: Any) -> None:
    """Keep the content of a container of outside before it changes first."""
    trace = current()
    assert trace is not None
    path = trace.root.inputs.path_of(owner) or ""
    if not isinstance(owner, CONTAINERS) or path.endswith(".__dict__"):
        raise refused(f"in a {type(owner).__name__} a value")
    if commits.has_changed(owner):
        return
    before = copy.copy(owner)

    def undo() -> None:
        owner.clear()
        restored: Any = owner
        getattr(restored, "extend" if isinstance(before, list | deque) else "update")(before)

    commits.on_undo(undo)


__all__ = ["CONSTANTS", "CONTAINERS", "Commit", "Commits", "keep_content", "refused"]
