"""What a `for` runs over and can be staged: ranges, rows of arrays, and what Python makes of them.

`enumerate`, `zip` and `reversed` of these are iterators as in Python, and know besides what they
give at an index that is symbolic.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Iterator
from typing import Any

from ..ir.dims import Dim, Size, maximum, minimum
from ..ir.errors import ConcretizationError, UnsupportedError
from ..ir.types import Kind
from .array import TracedArray
from .report import expression_here
from .size import TracedSize, user_size


class TracedRange:
    """A `range` of which an end is known only at run time."""

    __pullback_range__ = True

    def __init__(self, *args: Any) -> None:
        start, stop, step = (0, *args, 1) if len(args) == 1 else (*args, 1)[:3]
        self.start, self.stop, self.step = map(_integer, (start, stop, step))
        if type(self.step) is int and self.step == 0:
            raise ValueError("range() arg 3 must not be zero")

    def _dims(self) -> tuple[Size, Size, int] | None:
        ends = [v.dim if isinstance(v, TracedSize) else v for v in (self.start, self.stop)]
        if type(self.step) is int and all(type(e) is int or isinstance(e, Dim) for e in ends):
            return ends[0], ends[1], self.step
        return None

    def _known(self) -> range:
        """Return the range for the present arguments, under guards.

        Raises
        ------
        ConcretizationError
            Where the ends differ from iteration to iteration of a loop around.
        """
        try:
            return range(*map(operator.index, (self.start, self.stop, self.step)))
        except ConcretizationError:
            pass
        raise ConcretizationError(
            f"{expression_here()} runs as often as only the program knows, and what it does in an "
            "iteration cannot be compiled once for all of them.\n"
            "  Write it with arrays, or make the bounds static (static_argnums)."
        )

    def __iter__(self) -> Iterator[Any]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())


def _integer(value: Any) -> Any:
    if isinstance(value, TracedSize) or type(value) is int:
        return value
    if isinstance(value, TracedArray):
        if value.dtype.kind not in "iu" or value.shape:
            name = "float" if value._kind is Kind.PYTHON else f"numpy.{value.dtype}"
            raise TypeError(f"'{name}' object cannot be interpreted as an integer")
        return value
    return operator.index(value)


def traced_range(*args: Any) -> Any:
    """Return `range(*args)`, whose ends may be traced."""
    if 1 <= len(args) <= 3 and any(isinstance(a, TracedArray) for a in args):
        made = TracedRange(*args)
        ends = (made.start, made.stop, made.step)
        if all(type(e) is int for e in ends):
            return range(*ends)
        return made
    return range(*args)


class Source:
    """Something that can be staged: `at(k)` is its element `k`, an int or a traced one.

    `length` is the number of elements, None where only the run knows it. Of a range that is run
    over itself, `bounds` are its ends, and `at` takes its elements.
    """

    def __init__(
        self,
        length: Size | None,
        at: Callable[[Any], Any],
        bounds: tuple[Any, Any, Any] | None = None,
    ) -> None:
        self.length = length
        self.at = at
        self.bounds = bounds


class Iterating:
    """An iterator of Python's own (`zip`, `enumerate`, `reversed`) that can be staged."""

    def __init__(self, native: Callable[[], Iterator[Any]], source: Source) -> None:
        self.source = source
        self._native = native
        self._iterator: Iterator[Any] | None = None

    def __iter__(self) -> Iterating:
        return self

    def __next__(self) -> Any:
        if self._iterator is None:
            self._iterator = self._native()
        return next(self._iterator)

    def use_up(self, *, is_whole: bool) -> None:
        """Leave nothing to give, after a staged loop; what is left is not known if it broke off."""
        self._iterator = iter(()) if is_whole else _lost()


def _lost() -> Iterator[Any]:
    raise UnsupportedError(
        f"{expression_here()} goes on with an iterator at a place that only the program knows: a "
        "compiled loop broke off there.\n  Loop over a range, and index."
    )
    yield  # a generator, which raises when it is asked


def source_of(value: Any) -> Source | None:
    """Return how to stage the iteration over a value, None where it cannot be."""
    if isinstance(value, Iterating):
        return None if value._iterator is not None else value.source
    if type(value) is range:
        return Source(len(value), lambda k: k, (value.start, value.stop, value.step))
    if isinstance(value, TracedRange):
        dims = value._dims()
        length = None
        if dims is not None:
            low, high, step = dims
            count = high - low if step > 0 else low - high
            length = maximum((count + abs(step) - 1) // abs(step), 0)
        return Source(length, lambda k: k, (value.start, value.stop, value.step))
    if isinstance(value, TracedArray) and value._value.type.shape:
        return Source(value._value.type.shape[0], lambda k: value[k])
    return None


def _counted(value: Any) -> Source | None:
    """Return a source whose elements are numbered from 0."""
    source = source_of(value)
    if source is None or source.bounds is None or source.length is None:
        return source if source is None or source.bounds is None else None
    start, _, step = source.bounds
    return Source(source.length, lambda k: k if (start, step) == (0, 1) else start + k * step)


def staged_zip(*iterables: Any, **options: Any) -> Any:
    """Return `zip(*iterables)`."""
    sources = [_counted(i) for i in iterables]
    if options or not sources or any(s is None for s in sources):
        return builtins.zip(*iterables, **options)  # noqa: B905 - as the user says
    found = [s for s in sources if s is not None]
    length: Any = found[0].length
    for source in found[1:]:
        assert source.length is not None
        length = minimum(length, source.length)
    source = Source(length, lambda k: tuple([s.at(k) for s in found]))
    return Iterating(lambda: builtins.zip(*iterables, strict=False), source)


def staged_enumerate(iterable: Any, start: Any = 0) -> Any:
    """Return `enumerate(iterable, start)`."""
    inner = _counted(iterable)
    if inner is None:
        return builtins.enumerate(iterable, start)
    source = Source(inner.length, lambda k: (k if start == 0 else start + k, inner.at(k)))
    return Iterating(lambda: builtins.enumerate(iterable, start), source)


def staged_reversed(sequence: Any) -> Any:
    """Return `reversed(sequence)`."""
    inner = _counted(sequence)
    if inner is None or inner.length is None:
        if isinstance(sequence, TracedRange):
            return iter(sequence)
        return builtins.reversed(sequence)
    last = inner.length - 1

    def at(k: Any) -> Any:
        size = user_size(last) if isinstance(last, Dim) else last
        return inner.at(size - k)

    return Iterating(lambda: builtins.reversed(sequence), Source(inner.length, at))


__all__ = [
    "Iterating",
    "Source",
    "TracedRange",
    "source_of",
    "staged_enumerate",
    "staged_reversed",
    "staged_zip",
    "traced_range",
]
