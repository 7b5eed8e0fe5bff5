"""What a program of the corpus is: plain NumPy, its inputs, and a scalar to differentiate."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Arguments = tuple[Any, ...]
Size = int | tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """A function written without a thought of any compiler, and how to call it.

    Attributes
    ----------
    function
        Imports NumPy and math alone. Leaves its arguments as they are; returns one array or number,
        or a tuple of them.
    make
        ``make(size, dtype, rng)`` gives the arguments: well conditioned, and away from kinks.
    argnums
        The arguments to differentiate; empty for a program without a derivative.
    sizes
        A small one, at which finite differences take well under a second, and a realistic one.
    tiny
        Other than the small one in each dimension; no loop is so short that it should be unrolled.
    body
        Whether the innermost loops work on arrays or on numbers.
    staged
        Whether its loops stay loops in the compiled program; where not, `reason` says why.
    symmetric
        The arguments that have to stay symmetric: elsewhere the number of iterations jumps.
    """

    name: str
    title: str
    function: Callable[..., Any]
    make: Callable[[Any, Any, np.random.Generator], Arguments]
    argnums: tuple[int, ...]
    tiny: Size
    sizes: tuple[Size, Size]
    body: Literal["array", "scalar"]
    staged: bool = True
    reason: str = ""
    symmetric: tuple[int, ...] = ()

    @property
    def differentiable(self) -> bool:
        """Whether it has a derivative."""
        return bool(self.argnums)

    def arguments(self, size: Size, dtype: Any = np.float64, seed: int = 0) -> Arguments:
        """Give the arguments at `size`, the same for the same seed."""
        return self.make(size, np.dtype(dtype), np.random.default_rng(seed))

    def weights(self, args: Arguments, seed: int = 1) -> tuple[Any, ...]:
        """Draw a weight for each entry of each float result; None for a result of integers."""
        rng = np.random.default_rng(seed)
        return tuple(_weight(result, rng) for result in results_of(self.function(*args)))

    def loss(self) -> Callable[..., Any]:
        """Give ``loss(weights, *args)``: the weighted sum of all results, a real scalar."""
        return weighted(self.function)

    @property
    def loss_argnums(self) -> tuple[int, ...]:
        """The arguments to differentiate, as arguments of the loss."""
        return tuple(n + 1 for n in self.argnums)

    def directions(self, args: Arguments, count: int = 3, seed: int = 2) -> Iterator[Arguments]:
        """Draw directions in the space of the differentiated arguments."""
        for drawn in directions(args, self.argnums, count, seed):
            yield tuple(
                (d + d.T) / 2 if n in self.symmetric else d
                for n, d in zip(self.argnums, drawn, strict=True)
            )


def weighted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make the results of `function` a scalar: ``loss(weights, *args)``, itself traceable."""

    def loss(weights: tuple[Any, ...], *args: Any) -> Any:
        results = function(*args)
        if not isinstance(results, tuple):
            return np.sum(np.real(weights[0] * results))
        parts = [
            np.sum(np.real(w * r)) for w, r in zip(weights, results, strict=True) if w is not None
        ]
        return sum(parts[1:], parts[0])

    return loss


def results_of(result: Any) -> tuple[Any, ...]:
    """Give the results of a program as a tuple, also where it returns one."""
    return result if isinstance(result, tuple) else (result,)


def _weight(result: Any, rng: np.random.Generator) -> Any:
    dtype = np.asarray(result).dtype
    if dtype.kind not in "fc":
        return None
    # As sums of many entries, so that losses are of the size of one, whatever the program's.
    noise = rng.standard_normal(np.shape(result)) / np.sqrt(max(np.size(result), 1))
    if dtype.kind == "c":
        noise = noise + 1j * rng.standard_normal(np.shape(result)) / np.sqrt(np.size(result))
    return np.asarray(noise, dtype)[()]


def slope_along(
    loss: Callable[..., float], args: Arguments, argnums: tuple[int, ...], direction: Arguments
) -> float:
    """Differentiate `loss` along `direction` (one entry for each argnum): fourth-order differences.

    Each argument is moved by at most 2e-5 times the direction, few enough to cross no kink.
    """
    step = 1e-5

    def at(distance: float) -> float:
        moved = list(args)
        for n, d in zip(argnums, direction, strict=True):
            moved[n] = args[n] + distance * d
        return float(loss(*moved))

    near, far = at(step) - at(-step), at(2 * step) - at(-2 * step)
    return (8 * near - far) / (12 * step)


def directions(
    args: Arguments, argnums: tuple[int, ...], count: int = 3, seed: int = 2
) -> Iterator[Arguments]:
    """Draw directions in the space of the differentiated arguments."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield tuple(_direction(args[n], rng) for n in argnums)


def _direction(value: Any, rng: np.random.Generator) -> Any:
    noise = rng.standard_normal(np.shape(value)) * (1e-3 + np.abs(value)) ** 0.5
    return float(noise) if isinstance(value, float) else noise
