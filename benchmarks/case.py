"""What a benchmark case is: a computation, its inputs, its result by hand, twins for peers."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np

Arguments = tuple[Any, ...]

FAMILIES = (
    "elementwise and reductions",
    "networks",
    "sequences and dynamics",
    "statistics and linear algebra",
)


@dataclass(frozen=True)
class Size:
    """One set of dimensions to run a case at, and the dtype of its arrays."""

    label: str
    dims: Mapping[str, Any]
    quick: bool = False
    dtype: str = "float32"


@dataclass(frozen=True, kw_only=True)
class Raced:
    """What contestants compute, each in its own way.

    Attributes
    ----------
    make
        ``make(rng, dtype, **dims)`` gives the arguments.
    by_hand
        ``by_hand(*args)`` gives the result as one writes it in NumPy, to which all are held.
    family
        What it belongs to; means are given for each family.
    """

    name: str
    title: str
    sizes: tuple[Size, ...]
    make: Callable[..., Arguments]
    by_hand: Callable[..., Any]
    family: str

    def arguments(self, size: Size, dtype: Any = None, seed: int = 0) -> Arguments:
        """Give the arguments at `size`, the same for the same seed."""
        kind = np.dtype(size.dtype if dtype is None else dtype)
        return self.make(np.random.default_rng(seed), kind, **size.dims)

    def has(self, contestant: str, size: Size) -> bool:
        """Whether a contestant, by name, takes part at `size`."""
        return True

    def compared(self, result: Any) -> Any:
        """Give the arrays of a contestant's result that are held to those by hand."""
        return result


@dataclass(frozen=True, kw_only=True)
class Case(Raced):
    """A scalar loss of nested tuples of parameters (its first argument) and of data.

    `by_hand` gives its value and its gradient.

    Attributes
    ----------
    loss
        Plain NumPy, as a user writes it; what pullback differentiates.
    torch
        ``torch(module, *args)`` is `loss` over PyTorch.
    portable
        ``portable(xp, *args)`` is `loss` over the namespace of autograd or of JAX, for a loss
        that these cannot run themselves.
    jax
        Other ways to say `loss` in JAX, ``f(jax, *args)`` by name; the fastest one races.
    """

    loss: Callable[..., Any]
    torch: Callable[..., Any]
    portable: Callable[..., Any] | None = None
    jax: Mapping[str, Callable[..., Any]] = field(default_factory=dict[str, Callable[..., Any]])
    family: str = FAMILIES[0]

    def loss_over(self, xp: Any) -> Callable[..., Any]:
        """Give the loss as a peer runs it, with its namespace `xp` in the place of NumPy."""
        if self.portable is None:
            return with_namespace(self.loss, xp)
        return partial(self.portable, xp)


def with_namespace(function: Callable[..., Any], xp: Any) -> Callable[..., Any]:
    """Copy `function`, and those of its module that it may call, with `xp` for the global `np`.

    A peer that mirrors NumPy's names then differentiates the very same lines.
    """
    original: dict[str, Any] = getattr(function, "__globals__")  # noqa: B009 - on functions only
    changed = {**original, "np": xp}
    for name, value in original.items():
        if isinstance(value, FunctionType) and value.__globals__ is original:
            changed[name] = FunctionType(value.__code__, changed, name, value.__defaults__)
    twin: Callable[..., Any] = changed[function.__name__]
    return twin


def leaves(tree: Any) -> Iterator[Any]:
    """Yield the arrays of nested tuples and lists, in order."""
    if isinstance(tree, (tuple, list)):
        for branch in tree:  # pyright: ignore[reportUnknownVariableType]
            yield from leaves(branch)
    else:
        yield tree


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """Apply `function` to every array of nested tuples and lists."""
    if isinstance(tree, (tuple, list)):
        return tuple(map_leaves(function, branch) for branch in tree)  # pyright: ignore[reportUnknownVariableType]
    return function(tree)
