"""Watches the containers and objects that code in a region can reach, and undoes what it changes.

Of arrays a region keeps account itself. Lists, dicts, sets, objects and the variables of enclosing
functions belong to Python: what they hold is remembered before the region, and compared after it.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from ..ir.errors import UnsupportedError


class Missing:
    """The type of `MISSING`: a variable has no value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<no value>"


MISSING = Missing()


class Unstageable(UnsupportedError):
    """Code that cannot become a region: the loop is unrolled, the branch chosen."""


class Held(NamedTuple):
    """A container of outside, and what it held at the start of a region."""

    container: Any
    items: list[Any]
    keys: list[Any] | None


LIMIT = 20_000
"""Elements of all containers that are watched."""

_FIXED = (tuple, types.FunctionType, types.MethodType)
_OURS = "__pb_"


class Watch:
    """What a region can reach at its start."""

    def __init__(self) -> None:
        self.held: dict[int, Held] = {}
        self._iterators: dict[int, Any] = {}

    def hold(
        self, values: Sequence[Any], own: Mapping[str, Any] = MappingProxyType({}), inner: str = ""
    ) -> None:
        """Remember what the containers among values hold, and those in them.

        The variables `own` are not watched where functions look at them whose qualified names begin
        with `inner`: a driver does that.

        Raises
        ------
        Unstageable
            Where there is too much to look at.
        """
        waiting = list(values)
        left = LIMIT
        while waiting:
            value = waiting.pop()
            if id(value) in self.held:
                continue
            content = _content(value)
            if content is None:
                if hasattr(type(value), "__next__"):
                    self._iterators[id(value)] = value
                continue
            keys, items = content
            left -= len(items) + 1
            if left < 0:
                raise Unstageable("the containers around it are too large to be watched")
            self.held[id(value)] = Held(value, items, keys)
            if isinstance(value, types.FunctionType) and value.__qualname__.startswith(inner):
                items = _not_own(value, own)
            waiting += items

    def holds(self, container: Any) -> bool:
        """Whether a container was there at the start."""
        known = self.held.get(id(container))
        return known is not None and known.container is container

    def check_advanced(self, values: Iterable[Any]) -> None:
        """Raise Unstageable where an iterator of outside is among values: it would go on."""
        if self._iterators:
            for value in values:
                if self._iterators.get(id(value)) is value:
                    raise Unstageable("it advances an iterator that was made before it")

    def changes(self) -> list[tuple[Any, Any]]:
        """Return the elements that have been replaced: a list or dict, and the index or key.

        Raises
        ------
        Unstageable
            Where something else has changed, such as the number of elements.
        """
        found: list[tuple[Any, Any]] = []
        for container, items, keys in self.held.values():
            if isinstance(container, _FIXED):
                continue
            content = _content(container)
            assert content is not None
            keys_now, items_now = content
            is_unordered = isinstance(container, set)
            if len(items_now) != len(items) or keys_now != keys:
                raise Unstageable(f"a {type(container).__name__} changes its size in it")
            if is_unordered:
                if set(items_now) != set(items):
                    raise Unstageable("a set changes in it")
                continue
            for place, old, new in zip(keys or range(len(items)), items, items_now, strict=True):
                if new is not old:
                    found.append((_target(container, place), place))
        return found

    def restore(self) -> None:
        """Give everything its content back."""
        for container, items, keys in self.held.values():
            if isinstance(container, dict):
                container.clear()
                container.update(zip(keys or (), items, strict=True))
            elif isinstance(container, list | deque):
                container.clear()
                container.extend(items)
            elif isinstance(container, set):
                container.clear()
                container.update(items)
            elif not isinstance(container, _FIXED):
                _restore_attributes(container, keys or [], items)


def _not_own(function: types.FunctionType, own: Mapping[str, Any]) -> list[Any]:
    """Return the cells of a function that hold no variable of `own`."""
    found: list[Any] = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if name in own:
            try:
                content = cell.cell_contents
            except ValueError:
                content = MISSING
            if content is own[name]:
                continue
        if not name.startswith(_OURS):
            found.append(cell)
    return found


def _restore_attributes(owner: Any, names: list[Any], values: list[Any]) -> None:
    content = _content(owner)
    assert content is not None
    for name in content[0] or ():
        if name not in names:
            delattr(owner, name)
    for name, value in zip(names, values, strict=True):
        if getattr(owner, name, owner) is not value:
            object.__setattr__(owner, name, value) if not isinstance(
                owner, types.CellType
            ) else setattr(owner, name, value)


def _content(value: Any) -> tuple[list[Any] | None, list[Any]] | None:
    """Return the keys or attribute names and the elements of what can be looked into, else None."""
    if isinstance(value, dict):
        return [*value], [*value.values()]
    if isinstance(value, list | tuple | set | deque):
        return None, [*value]
    if isinstance(value, types.CellType):
        try:
            return ["cell_contents"], [value.cell_contents]
        except ValueError:
            return [], []
    if isinstance(value, types.FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        return None, [c for n, c in cells if not n.startswith(_OURS)]
    if isinstance(value, types.MethodType):
        return None, [value.__self__]
    kind = type(value)
    if kind.__module__ in ("builtins", "numpy", "types") or isinstance(value, type):
        return None
    if kind.__module__.partition(".")[0] == __name__.partition(".")[0]:
        return None
    return _attributes(value)


def _attributes(value: Any) -> tuple[list[Any], list[Any]] | None:
    own = getattr(value, "__dict__", None)
    slots = [
        n
        for c in type(value).__mro__
        for n, m in vars(c).items()
        if isinstance(m, types.MemberDescriptorType)
    ]
    if type(own) is not dict and not slots:
        return None
    names = [*(own or ()), *[n for n in slots if hasattr(value, n)]]
    return names, [own[n] if own is not None and n in own else getattr(value, n) for n in names]


def _target(container: Any, place: Any) -> Any:
    """Return the list or dict in which a region has replaced an element."""
    if isinstance(container, list | dict):
        return container
    own = getattr(container, "__dict__", None)
    if type(own) is dict and place in own:
        return own
    if isinstance(container, types.CellType):
        raise Unstageable("a variable of an enclosing function changes in it")
    raise Unstageable(f"a {type(container).__name__} changes in it")


__all__ = ["MISSING", "Held", "Missing", "Unstageable", "Watch"]
