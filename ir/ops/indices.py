"""What an index is: a tuple over the last axes of the operand, one item for each or a new axis.

An item is

* an int, a fixed position;
* a `Span`, a slice with start, stop and step already normalised for the axis;
* `None`, a new axis of size 1;
* `AT`, whose position is the next operand: an integer scalar, or an integer array (the arrays
  broadcast together, stand next to each other in the index, and their axes take that place).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..dims import Dim, Size
from ..errors import DTypeError
from ..op import Array, Emitter, Op, broadcast
from ..types import ArrayType, Shape
from .shape import lead_axes


class Span(NamedTuple):
    """A normalised slice of `length` elements from `start` in steps of `step`."""

    start: Size
    length: Size
    step: int

    def slice(self) -> slice:
        """Return the Python slice."""
        if isinstance(self.start, Dim) or isinstance(self.length, Dim):
            raise TypeError("a symbolic span has no static slice")
        stop: int = self.start + self.length * self.step
        if self.length == 0:
            return slice(0, 0, self.step)
        return slice(self.start, stop if stop >= 0 else None, self.step)

    def source(self, emitter: Emitter, size: Size) -> str:
        """Return the slice as source text for an axis of `size`."""
        if isinstance(self.start, Dim) or isinstance(self.length, Dim):
            start = str(self.start) if isinstance(self.start, int) else emitter.size(self.start)
            stop = self.start + self.length * self.step
            last = str(stop) if isinstance(stop, int) else emitter.size(stop)
            if self.step > 0:
                start, last = "" if start == "0" else start, "" if stop == size else last
            elif isinstance(stop, int):
                last = last if stop >= 0 else ""
            else:
                last = f"({last} if {last} >= 0 else None)"  # else it would count from the end
            return f"{start}:{last}" + (f":{self.step}" if self.step != 1 else "")
        plain = self.slice()
        start = "" if plain.start == 0 and self.step > 0 else str(plain.start)
        last = "" if plain.stop is None or plain.stop == size else str(plain.stop)
        return f"{start}:{last}" + (f":{self.step}" if self.step != 1 else "")


class At:
    """The type of `AT`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "AT"


AT = At()
Item = int | None | Span | At
Index_ = tuple[Item, ...]


def index_shape(index: Index_, x: ArrayType, positions: Sequence[ArrayType]) -> Shape:
    """Return the shape that reading `x[index]` gives.

    Raises
    ------
    ShapeError, DTypeError, IndexError
        Where the index does not fit.
    """
    consumed = sum(item is not None for item in index)
    if consumed > x.ndim:
        raise IndexError(f"too many indices: {consumed} for an array of {x.ndim} axes")
    lead = x.ndim - consumed
    for p in positions:
        if p.dtype.kind not in "iu":
            raise DTypeError(f"an index must be of integers, not {p}")
    gathered = broadcast([p.shape for p in positions]) if positions else ()
    shape: list[Size] = list(x.shape[:lead])
    axis, placed = lead, not gathered
    for item in index:
        if item is None:
            shape.append(1)
            continue
        size = x.shape[axis]
        if isinstance(item, Span):
            shape.append(item.length)
        elif isinstance(item, At):
            if not placed:
                shape.extend(gathered)
                placed = True
        elif isinstance(size, int) and not -size <= item < size:
            raise IndexError(f"index {item} is out of bounds for axis {axis} with size {size}")
        axis += 1
    return tuple(shape)


class Indexing(Op):
    """An op whose attribute is an index, and whose last operands are its positions."""

    index: Index_

    def positions(self, lead: int, operands: Sequence[Array]) -> tuple[Any, ...]:
        """Return the NumPy index, with `lead` leading axes untouched."""
        rest = iter(operands)
        items: list[Any] = [slice(None)] * lead
        for item in self.index:
            if isinstance(item, Span):
                items.append(item.slice())
            else:
                items.append(next(rest) if isinstance(item, At) else item)
        return tuple(items)

    @property
    def axes(self) -> int:
        """How many axes of the operand the index consumes."""
        return sum(item is not None for item in self.index)

    def sizes(self, emitter: Emitter, operand: str) -> Sequence[Size]:
        """Return the sizes of the consumed axes, -1 where they are not known."""
        atom = emitter.atom(operand)
        shape = atom.type.shape if atom is not None else ()
        return shape[len(shape) - self.axes :] if shape else [-1] * self.axes

    def emitted(self, emitter: Emitter, x: str, positions: Sequence[str]) -> str:
        """Return the text between the brackets of generated code; leading batch axes are `:`."""
        text = self.subscript(emitter, positions, self.sizes(emitter, x))
        lead = [":"] * lead_axes(emitter, x, self.axes)
        return ", ".join([*lead, *([text] if text else [])]) or "()"

    def is_gather(self, positions: Sequence[ArrayType]) -> bool:
        """Whether some position is an array."""
        return any(p.shape for p in positions)

    def subscript(
        self, emitter: Emitter | None, operands: Sequence[str], sizes: Sequence[Size]
    ) -> str:
        """Return the text between the brackets; `sizes` are those of the consumed axes."""
        rest, texts = iter(operands), []
        axes = iter(sizes)
        for item in self.index:
            size = next(axes) if item is not None else 1
            if isinstance(item, Span):
                texts.append(item.source(emitter, size) if emitter else _span_text(item, size))
            else:
                texts.append(next(rest) if isinstance(item, At) else str(item))
        while len(texts) > 1 and texts[-1] == ":":
            texts.pop()
        return ", ".join(texts)


def _span_text(span: Span, size: Size) -> str:
    if isinstance(span.start, int) and isinstance(span.length, int):
        return span.source(None, size)  # type: ignore[arg-type]
    return f"{span.start}:{span.start + span.length * span.step}:{span.step}"
