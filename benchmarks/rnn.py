"""A recurrent network that repeats bits after a delay, trained on streams that never end.

The state at the end of one chunk of the streams is that at the start of the next, and the gradient
is cut every `truncate` steps (truncated backpropagation through time: Williams and Peng 1990). The
gradient, its clipping by norm (Pascanu, Mikolov and Bengio 2013) and Adam's step (Kingma and Ba
2015) are one compiled program.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import pullback as pb


class Size(NamedTuple):
    """How large the network is, and how the streams are cut into chunks."""

    hidden: int = 48
    streams: int = 16
    chunk: int = 48
    delay: int = 8


class Learner(NamedTuple):
    """Weights, Adam's running means of their gradients and squares, and the steps taken."""

    params: Any
    mean: Any
    square: Any
    steps: float


def initial(size: Size, rng: np.random.Generator) -> Learner:
    """Draw the weights: from the bit and the state to the state, and to a score of the bit."""
    n = size.hidden
    params = (
        rng.standard_normal((1, n)),
        rng.standard_normal((n, n)) * 0.9 / np.sqrt(n),
        np.zeros(n),
        rng.standard_normal((n, 1)) / np.sqrt(n),
        np.zeros(1),
    )
    zeros = tuple([np.zeros_like(p) for p in params])
    return Learner(params, zeros, zeros, 0.0)


def streams(size: Size, rng: np.random.Generator) -> Iterator[tuple[Any, Any]]:
    """Yield chunks of random bits, -1 and 1, and of the bits that came `delay` steps before."""
    past = np.ones((size.delay, size.streams, 1))
    while True:
        bits = np.concatenate([past, rng.choice([-1.0, 1.0], (size.chunk, size.streams, 1))])
        yield bits[size.delay :], bits[: -size.delay]
        past = bits[-size.delay :]


def scores(params: Any, h: Any, bits: Any, truncate: int | None) -> tuple[Any, Any]:
    """Return the state after a chunk, and the scores at each of its steps."""
    inward, across, bias, outward, offset = params

    def step(h: Any, bit: Any) -> tuple[Any, Any]:
        h = np.tanh(bit @ inward + h @ across + bias)
        return h, h @ outward + offset

    last: tuple[Any, Any] = pb.scan(step, h, bits, truncate=truncate)
    return last


def loss(params: Any, h: Any, bits: Any, wanted: Any, truncate: int | None) -> tuple[Any, Any]:
    """Return the mean logistic loss of a chunk, and the state after it."""
    h, found = scores(params, h, bits, truncate)
    return np.mean(np.logaddexp(0.0, -wanted * found)), h


def update(
    learner: Learner, h: Any, bits: Any, wanted: Any, rate: float, most: float, truncate: int | None
) -> tuple[Learner, Any, Any, Any]:
    """Return the learner after one step, the state, the loss, and the norm of the gradient."""
    params, mean, square, steps = learner
    (value, h), grads = pb.value_and_grad(loss, has_aux=True)(params, h, bits, wanted, truncate)
    norm = np.sqrt(sum([np.sum(g * g) for g in grads]))
    clip = np.minimum(1.0, most / (norm + 1e-12))
    steps = steps + 1.0
    rate = rate * np.sqrt(1 - 0.999**steps) / (1 - 0.9**steps)
    mean = tuple([0.9 * m + 0.1 * (clip * g) for m, g in zip(mean, grads, strict=True)])
    square = tuple(
        [0.999 * s + 0.001 * (clip * g) ** 2 for s, g in zip(square, grads, strict=True)]
    )
    moved = tuple(
        [p - rate * m / (np.sqrt(s) + 1e-8) for p, m, s in zip(params, mean, square, strict=True)]
    )
    return Learner(moved, mean, square, steps), h, value, norm


def last_margin(params: Any, h: Any, bits: Any, wanted: Any, truncate: int | None) -> Any:
    """Return how far the last scores of a chunk are on the right side."""
    _, found = scores(params, h, bits, truncate)
    return np.mean(wanted[-1] * found[-1])


def norms_by_lag(params: Any, h: Any, bits: Any, wanted: Any, truncate: int | None) -> Any:
    """Return the norms of the gradient of the last margin by the bits, those of lag 0 first."""
    gradient = pb.grad(last_margin, argnums=2)(params, h, bits, wanted, truncate)
    return np.sqrt(np.sum(gradient**2, axis=(1, 2)))[::-1]


def accuracy(params: Any, h: Any, bits: Any, wanted: Any) -> float:
    """Return the share of the bits that are repeated rightly."""
    return float(np.mean(scores(params, h, bits, None)[1] * wanted > 0))
