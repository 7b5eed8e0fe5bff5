"""Networks whose gradients vanish, explode, turn into nan, or fare well: what `health` is shown on.

Fifty layers are enough for a factor of 0.6 in each to leave nothing of a gradient (Glorot and
Bengio 2010), and two hundred steps of a recurrent network for one of 1.3 to leave nothing but it
(Pascanu, Mikolov and Bengio 2013); residual connections keep it (He et al. 2016).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import pullback as pb

LAYERS = 50
UNITS = 32
BATCH = 16
STEPS = 200


class Program(NamedTuple):
    """A loss with arguments for it, the first of them differentiated."""

    title: str
    loss: Callable[..., Any]
    arguments: Sequence[Any]


def tanh_network(weights: Any, x: Any, wanted: Any) -> Any:
    """Return the mean squared error of a deep network."""
    h = x
    for w in weights:
        h = np.tanh(h @ w)
    return np.mean((h - wanted) ** 2)


def relu_network(weights: Any, x: Any, wanted: Any) -> Any:
    """Return the mean squared error of a deep network of rectifiers."""
    h = x
    for w in weights:
        h = np.maximum(h @ w, 0)
    return np.mean((h - wanted) ** 2)


def residual_network(weights: Any, x: Any, wanted: Any) -> Any:
    """Return the mean squared error of a deep network whose layers add to their input."""
    h = x
    for w in weights:
        h = h + 0.1 * np.tanh(h @ w)
    return np.mean((h - wanted) ** 2)


def recurrent_network(params: Any, xs: Any) -> Any:
    """Return a loss of the last state of a recurrent network."""
    inward, across = params
    h = np.zeros(across.shape[0])
    for x in xs:
        h = np.tanh(x @ inward + h @ across)
    return np.mean((h - 1.0) ** 2)


@pb.custom_vjp
def held(x: Any, limit: float) -> Any:
    """Return x itself, whose cotangent is clipped to a norm."""
    return x


def _held(x: Any, limit: float) -> tuple[Any, float]:
    return x, limit


def _held_back(limit: float, ct: Any) -> tuple[Any, None]:
    return pb.clip_by_global_norm(ct, limit), None


held.defvjp(_held, _held_back)


def clipped_network(params: Any, xs: Any) -> Any:
    """Return the loss of a recurrent network whose cotangents are clipped at every step."""
    inward, across = params
    h = np.zeros(across.shape[0])
    for x in xs:
        h = held(np.tanh(x @ inward + h @ across), 1.0)
    return np.mean((h - 1.0) ** 2)


def log_likelihood(scores: Any) -> Any:
    """Return a loss that takes the logarithm of probabilities, one of which is zero."""
    odds = np.maximum(scores, 0)
    p = odds / np.sum(odds)
    return -np.mean(np.log(p))


def distance(points: Any) -> Any:
    """Return the mean distance of points from the first: the root of zero has no slope."""
    gaps = points - points[0]
    return np.mean(np.sqrt(np.sum(gaps**2, axis=1)))


def masked_log(x: Any) -> Any:
    """Return a sum of logarithms from which those of what is not positive are masked out."""
    logs = np.log(x)
    return np.sum(np.where(x > 0, logs, 0.0))


def programs(seed: int = 0) -> list[Program]:
    """Draw weights and return the programs."""
    rng = np.random.default_rng(seed)
    x, wanted = rng.standard_normal((2, BATCH, UNITS))

    def layers(gain: float) -> list[Any]:
        return list(gain / np.sqrt(UNITS) * rng.standard_normal((LAYERS, UNITS, UNITS)))

    inward = rng.standard_normal((3, UNITS))
    across = rng.standard_normal((UNITS, UNITS)) / np.sqrt(UNITS)
    xs = 0.1 * rng.standard_normal((STEPS, 3))
    spread = np.array([3.0, 0.5, -1.0, 2.0])
    return [
        Program("tanh, small weights", tanh_network, (layers(0.6), x, wanted)),
        Program("tanh, large weights", tanh_network, (layers(6.0), x, wanted)),
        Program("relu, small weights", relu_network, (layers(0.7), x, wanted)),
        Program("residual connections", residual_network, (layers(1.0), x, wanted)),
        Program("recurrent, large weights", recurrent_network, ((inward, 4.0 * across), xs)),
        Program("recurrent, clipped steps", clipped_network, ((inward, 4.0 * across), xs)),
        Program("recurrent, small weights", recurrent_network, ((inward, 0.5 * across), xs)),
        Program("logarithm of zero", log_likelihood, (spread,)),
        Program("root of zero", distance, (rng.standard_normal((5, 2)),)),
        Program("masked, zero times infinity", masked_log, (np.array([1.0, 0.0, 2.0]),)),
    ]
