"""Elements of arrays in loops, read and written through memoryviews.

Reading an element of a vector through a memoryview takes 21 ns and gives a Python float, 35 by
NumPy, which gives its scalar; of a matrix 47 and 61, writing 36 and 62, adding to one 66 and 170.
A view of the row in which only the last index varies is taken before the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..ir.core import Atom, Literal
from ..ir.dims import Size, bounds
from ..ir.ops.index import At, Index, IndexAdd, IndexUpdate
from .arithmetic import VIEWED
from .frames import WORTH

if TYPE_CHECKING:
    from .emit import Writer


def element(
    writer: Writer, op: Index | IndexUpdate | IndexAdd, base: Atom, positions: Sequence[Atom]
) -> str | None:
    """Return the text of one element of an array, as a place of a memoryview; None outside."""
    type = base.type
    depth = writer.frames.depth
    if depth == 0 or type.dtype not in VIEWED or len(op.index) != type.ndim or not type.ndim:
        return None
    rest = iter(positions)
    texts: list[str] = []
    fixed: list[bool] = []
    for axis, item in enumerate(op.index):
        if isinstance(item, At):
            position = next(rest)
            if position.type.shape:
                return None
            texts.append(writer.position(position))
            fixed.append(is_within(writer, position, type.shape[axis]))
        elif isinstance(item, int):
            texts.append(str(item))
            fixed.append(True)
        else:
            return None
    name = writer.operand(base)
    if not name.isidentifier():
        return None
    return _view(writer, name, texts, fixed)


def _view(writer: Writer, name: str, texts: list[str], fixed: list[bool]) -> str | None:
    frames = writer.frames
    varying = [
        k
        for k, (text, safe) in enumerate(zip(texts, fixed, strict=True))
        if not safe or frames.depth_of(text) >= frames.depth
    ] or [len(texts) - 1]
    for kept in (varying, list(range(len(texts)))):
        places = [":" if k in kept else text for k, text in enumerate(texts)]
        while places and places[-1] == ":":
            places.pop()
        array = f"{name}[{', '.join(places)}]" if places else name
        level = frames.depth_of(array)
        if level < frames.depth and frames.trips(level) >= WORTH:
            view = writer.prepare(
                level, f"memoryview({array})", f"{name}_at", writer.is_static(array)
            )
            return f"{view}[{', '.join(texts[k] for k in kept)}]"
    return None


def is_within(writer: Writer, position: Atom, size: Size) -> bool:
    """Whether a position is known to be inside an axis, so that it may be read beforehand."""
    dim: Size | None
    if isinstance(position, Literal):
        dim = int(position.value)
    else:
        dim = writer.integers.get(position)
    if dim is None:
        return False
    low, room = bounds(dim + size)[0], bounds(size - dim)[0]  # counting from the end too
    return low is not None and low >= 0 and room is not None and room >= 1


__all__ = ["element", "is_within"]
