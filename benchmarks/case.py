"""What a benchmark case is: one loss, its inputs, its gradient by hand, its twins for the peers."""

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


@dataclass(frozen=True)
class Case:
    """A scalar loss of nested tuples of parameters (its first argument) and of data.

    Attributes
    ----------
    loss
        Plain NumPy, as a user writes it; what pullback differentiates.
    make
        ``make(rng, dtype, **dims)`` gives the arguments of `loss`.
    by_hand
        ``by_hand(*args)`` gives the value and the gradient, in allocating NumPy.
    torch
        ``torch(module, *args)`` is `loss` over PyTorch.
    portable
        ``portable(xp, *args)`` is `loss` over the namespace of autograd or of JAX, for a loss
        that these cannot run themselves.
    jax
        Other ways to say `loss` in JAX, ``f(jax, *args)`` by name; the fastest one races.
    family
        Which of `FAMILIES` the case belongs to; means are given for each.
    """

    name: str
    title: str
    sizes: tuple[Size, ...]
    loss: Callable[..., Any]
    make: Callable[..., Arguments]
    by_hand: Callable[..., tuple[Any, Any]]
    torch: Callable[..., Any]
    portable: Callable[..., Any] | None = None
    jax: Mapping[str, Callable[..., Any]] = field(default_factory=dict[str, Callable[..., Any]])
    family: str = FAMILIES[0]

    def arguments(self, size: Size, dtype: Any = None, seed: int = 0) -> Arguments:
        """Give the arguments of `loss` at `size`, the same for the same seed."""
        kind = np.dtype(size.dtype if dtype is None else dtype)
        return self.make(np.random.default_rng(seed), kind, **size.dims)

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
