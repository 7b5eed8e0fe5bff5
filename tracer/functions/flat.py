"""`x.flat`: the elements of an array one after the other, in C order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..array import TracedArray, implements, is_traced, method
from .create import array, in_order
from .fill import elements
from .known import array_of
from .shape import as_array, reshape, traced
from .write import store


class FlatIterator:
    """Stands for a `np.flatiter` over a traced array."""

    __slots__ = ("_next", "base")

    def __init__(self, base: TracedArray) -> None:
        self.base = base
        self._next = 0

    def copy(self) -> Any:
        """Return the elements as a fresh array."""
        return reshape(in_order(as_array(self.base), None, "C", True), -1)

    __pullback_elements__ = copy

    def __len__(self) -> int:
        return int(self.base.size)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._next >= len(self):
            raise StopIteration
        self._next += 1
        return reshape(as_array(self.base), -1)[self._next - 1]

    @property
    def index(self) -> int:
        """The position of the next element."""
        return self._next

    @property
    def coords(self) -> tuple[Any, ...]:
        """The index of the next element."""
        return tuple(int(i) for i in np.unravel_index(self._next, self.base.shape))

    def __getitem__(self, index: Any) -> Any:
        elements = reshape(as_array(self.base), -1)
        found = elements[index]
        return found if not found.shape or found is not elements else found.copy()

    def __setitem__(self, index: Any, value: Any) -> None:
        places: Any = np.arange(len(self))
        places = array_of(places)[index] if is_traced(index) else places[index]
        values = reshape(as_array(array_of(value)), -1)
        if places.shape and places.size:
            values = np.resize(values, (places.size,))
            values = reshape(values, places.shape)
        elif places.size:
            values = values[0]
        if 0 not in places.shape:
            store(elements(self.base), places, values)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.base.__array__(dtype, copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return getattr(ufunc, method)(*map(_elements, inputs), **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        return func(*map(_elements, args), **{k: _elements(v) for k, v in kwargs.items()})

    def __eq__(self, other: object) -> Any:
        return self.copy() == _elements(other)

    def __ne__(self, other: object) -> Any:
        return self.copy() != _elements(other)

    __hash__ = None  # type: ignore[assignment]


def _elements(value: Any) -> Any:
    if isinstance(value, FlatIterator):
        return value.copy()
    if type(value) in (list, tuple):
        return type(value)(map(_elements, value))
    return value


def _set_flat(self: TracedArray, value: Any) -> None:
    FlatIterator(self)[:] = value


method("flat", property(FlatIterator, _set_flat))


@implements(np.copy)
def copy(a: Any, order: Any = "K", subok: bool = False) -> Any:
    """As `np.copy`."""
    if isinstance(a, list | tuple):
        return array(a, order=order)
    return in_order(traced(a), None, order, True)


def _copy(self: TracedArray, order: Any = "C") -> Any:
    return in_order(self, None, order, True) if self.shape or _is_array(self) else self


def _is_array(a: TracedArray) -> bool:
    return as_array(a) is a


method("copy", _copy)
