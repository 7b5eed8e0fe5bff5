"""Parts of random statements: shapes, indices, values that fit a selection.

`Writer` holds a program while it is drawn. It runs each statement by plain NumPy at once, so that
the next one knows the shapes, and takes back what fails or gets out of bounds.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

Draw = Callable[[Any], Any]
Shape = tuple[int, ...]
T = TypeVar("T")

LARGEST_SIZE = 60
LARGEST_VALUE = 1e6
NAMESPACE: dict[str, Any] = {"np": np, "sliding_window_view": sliding_window_view}
SHAPES: list[Shape] = [
    (3,), (2, 3), (4,), (3, 3), (1,), (), (2, 1, 3), (5,), (3, 1), (0,), (2, 2, 2), (2, 0), (1, 4),
]  # fmt: skip
DTYPES = ["float64"] * 6 + ["complex128", "int64", "float32", "bool"]
CONSTANTS = {
    "f": ["0.5", "-1.5", "2.0", "3"],
    "c": ["(1+2j)", "0.5j", "2.0"],
    "i": ["2", "-1", "3"],
    "b": ["True"],
}
ERRORS = (ValueError, TypeError, IndexError, ZeroDivisionError, OverflowError, AttributeError)


class Argument(NamedTuple):
    """How to make an argument: its dtype, its shape, and how it lies in memory."""

    name: str
    dtype: str
    shape: Shape
    layout: str
    of: str = ""

    def make(self, seed: int, others: dict[str, Any]) -> Any:
        """Return the argument with the numbers of a seed."""
        if self.layout == "same":
            return others[self.of]
        if self.layout == "overlap":
            return overlapping(others[self.of])
        rng = np.random.default_rng([seed, *self.name.encode()])
        shape = self.shape
        if self.layout == "strided" and shape:
            shape = (*shape[:-1], 2 * shape[-1])
        numbers = rng.normal(size=shape)
        if self.dtype == "complex128":
            made: Any = numbers + 1j * rng.normal(size=shape)
        elif self.dtype == "int64":
            made = rng.integers(-3, 4, size=shape)
        else:
            made = numbers > 0 if self.dtype == "bool" else numbers.astype(self.dtype)
        made = np.array(made)
        if self.layout == "strided" and shape:
            return made[..., ::2]
        return LAYOUTS[self.layout](made)


def read_only(x: Any) -> Any:
    x.flags.writeable = False
    return x


def overlapping(x: Any) -> Any:
    """Return a view of an array that has some of its elements, in another order."""
    return x[::-1] if x.ndim else x[()]


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "C": lambda x: x,
    "strided": lambda x: x,
    "F": np.asfortranarray,
    "reversed": lambda x: x[..., ::-1] if x.ndim else x,
    "transposed": lambda x: np.ascontiguousarray(x.T).T if x.ndim else x,
    "read-only": read_only,
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape) if x.ndim else x,
}


class Writer:
    """A program under way: its lines, and what its names hold when NumPy runs them."""

    def __init__(self, draw: Draw, arguments: Sequence[Argument]) -> None:
        self.drawn = draw
        self.arguments = arguments
        self.lines: list[str] = []
        self.numbers = itertools.count()
        self.names: dict[str, Any] = {}
        self.replay()

    # -- drawing -----------------------------------------------------------------------------------

    def one(self, choices: Sequence[T]) -> T:
        chosen: T = self.drawn(st.sampled_from(choices))
        return chosen

    def int(self, low: int, high: int) -> int:
        return int(self.drawn(st.integers(low, high)))

    def chance(self, one_in: int) -> bool:
        return self.int(0, one_in - 1) == one_in - 1

    # -- running -----------------------------------------------------------------------------------

    def replay(self) -> None:
        """Run the lines anew."""
        self.names = {}
        for argument in self.arguments:
            self.names[argument.name] = argument.make(0, self.names)
        for line in self.lines:
            self.execute(line)

    def execute(self, line: str) -> None:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            exec(line, NAMESPACE, self.names)

    def evaluate(self, expression: str) -> Any:
        """Return what an expression gives, None where NumPy raises."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                return eval(expression, NAMESPACE, dict(self.names))
            except ERRORS:
                return None

    def add(self, line: str) -> bool:
        """Add a statement if NumPy takes it, and what it makes is within bounds."""
        try:
            self.execute(line)
        except ERRORS:
            self.replay()
            return False
        if all(within(v) for v in self.names.values()):
            self.lines.append(line)
            return True
        self.replay()
        return False

    def bind(self, expression: str) -> str | None:
        """Add a statement that gives an expression a new name; return the name."""
        name = f"v{next(self.numbers)}"
        return name if self.add(f"{name} = {expression}") else None

    # -- what there is -----------------------------------------------------------------------------

    def choose(self, fits: Callable[[Any], bool] = lambda v: True) -> str | None:
        """Return the name of an array or scalar that fits."""
        values = {n: v for n, v in self.names.items() if n in "abc" or n.startswith("v")}
        found = [n for n, v in values.items() if fits(v)][::-1]
        return self.one(found) if found else None

    def array(self, fits: Callable[[Any], bool] = lambda v: True) -> str | None:
        return self.choose(lambda v: isinstance(v, np.ndarray) and fits(v))

    def target(self, fits: Callable[[Any], bool] = lambda v: True) -> str | None:
        """Return the name of an array that may be written; sometimes of one that is read-only."""
        if self.chance(30):
            return self.array(fits)
        return self.array(lambda v: v.flags.writeable and fits(v))

    def partner(self, shape: Shape) -> str | None:
        """Return the name of what broadcasts with a shape."""
        return self.choose(lambda v: broadcasts(np.shape(v), shape))

    # -- parts -------------------------------------------------------------------------------------

    def span(self, size: int) -> str:
        step = self.one(["", "", "", "::-1", "::2", ":"])
        if step.startswith("::"):
            return step
        start, stop = self.int(-size - 1, size), self.int(-size - 1, size + 1)
        text = self.one([f"{start}:", f":{stop}", f"{start}:{stop}", ":"])
        return text + self.one(["", "", ":2", ":-1"]) if text.count(":") == 1 else text

    def index(self, shape: Shape, arrays: bool = True, newaxis: bool = True) -> str:
        """Return the text of an index of an array of a shape."""
        items: list[str] = []
        for size in shape[: self.int(0, len(shape))] if self.chance(3) else shape:
            kind = self.int(0, 9)
            if kind <= 3 or size == 0:
                items.append(self.span(size))
            elif kind <= 6 or not arrays:
                items.append(str(self.int(-size, size - 1)))
            else:
                items.append(self.positions(size))
        if newaxis and self.chance(6):
            items.insert(self.int(0, len(items)), "None")
        if self.chance(6) or not items:
            items.insert(self.int(0, len(items)), "...")
        text = ", ".join(items)
        return text + "," if text.startswith("[") and len(items) == 1 and self.chance(4) else text

    def positions(self, size: int) -> str:
        """Return the text of an array of positions, or of a mask, along an axis."""
        kind = self.int(0, 4)
        if kind == 0:
            mask = [bool(self.int(0, 1)) for _ in range(size)]
            return f"np.array({mask}, dtype=bool)"
        if kind == 1:
            name = self.array(lambda v: v.dtype.kind in "fi" and v.ndim == 1)
            if name is not None:
                whole = "" if self.names[name].dtype.kind == "i" else ".astype(np.int64)"
                return f"{name}{whole} % {size}"
        numbers = [self.int(-size, size - 1) for _ in range(self.int(1, 3) if size else 0)]
        if kind == 2:
            return f"np.array([{numbers}], dtype=int)"
        return f"{numbers}"

    def constant(self, dtype: Any) -> str:
        return self.one(CONSTANTS[np.dtype(dtype).kind])

    def value(self, shape: Shape, dtype: Any, near: str) -> str:
        """Return an expression that can be assigned to a selection; `near` is its array."""
        kind = self.int(0, 7)
        text: str | None = None
        if kind <= 1:
            return self.constant(dtype)
        if kind <= 3:
            text = self.slice_of(near, shape)
        if kind == 4:
            name = self.array(lambda v: v.ndim >= len(shape) and v is not self.names[near])
            text = None if name is None else self.slice_of(name, shape)
        if text is None:
            text = self.choose(lambda v: broadcasts_to(np.shape(v), shape))
        if text is None:
            name = self.array()
            return self.constant(dtype) if name is None else f"np.sum({name})"
        kinds = ["{}"] * 3 + ["np.sin({})", "{} * 2", "-{}", "{} + 1"]
        return self.one(kinds).format(text)

    def slice_of(self, name: str, shape: Shape) -> str | None:
        """Return a part of an array that has a shape, None where it has none."""
        whole = self.names[name].shape
        if len(whole) < len(shape) or any(
            n > m for n, m in zip(shape[::-1], whole[::-1], strict=False)
        ):
            return None
        lead = len(whole) - len(shape)
        if 0 in whole[:lead]:
            return None
        items = [str(self.int(0, size - 1)) for size in whole[:lead]]
        for length, size in zip(shape, whole[lead:], strict=True):
            start = self.int(0, size - length)
            if length == size:
                items.append(self.one([":", "::-1"]))
            else:
                items.append(f"{start}:{start + length}")
        return f"{name}[{', '.join(items) or '...'}]"


def within(value: Any) -> bool:
    """Whether a value is small and finite."""
    if not isinstance(value, np.ndarray | np.generic):
        return True
    if value.size > LARGEST_SIZE or value.ndim > 4 or value.dtype == np.float16:
        return False
    with np.errstate(all="ignore"):
        return value.dtype == bool or bool(np.all(np.abs(value) < LARGEST_VALUE))


def broadcasts(one: Shape, two: Shape) -> bool:
    try:
        np.broadcast_shapes(one, two)
    except ValueError:
        return False
    return True


def broadcasts_to(one: Shape, two: Shape) -> bool:
    return broadcasts(one, two) and np.broadcast_shapes(one, two) == two
