"""Optimizers and parts of them: what comes in as gradients goes out as what to add."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import tree as trees
from ..ir.errors import ArgumentError
from ..tracer.native import native
from ..tracer.nested import inline_call
from . import clipping
from .clipping import dtype_of, like, weak
from .fitting import (
    check_fit,
    check_floating,
    check_parts,
    check_rate,
    check_state,
    check_states,
)
from .schedules import Schedule


class GradientTransformation(NamedTuple):
    """An optimizer, or a part of one.

    `init(params) -> state` and `update(updates, state, params=None) -> (updates, state)`.
    """

    init: Callable[[Any], Any]
    update: Callable[..., tuple[Any, Any]]


class EmptyState(NamedTuple):
    """The state of what remembers nothing."""


class SgdState(NamedTuple):
    """The count of steps, and the running sum of gradients where there is momentum."""

    count: Any
    trace: Any


class AdamState(NamedTuple):
    """The count of steps, and the running means of gradients and of their squares."""

    count: Any
    mu: Any
    nu: Any


class RmspropState(NamedTuple):
    """The count of steps, and the running means of squares, of gradients, and of steps."""

    count: Any
    nu: Any
    mu: Any
    trace: Any


def apply_updates(params: Any, updates: Any) -> Any:
    """Return the parameters with the updates added, each in its own dtype.

    Raises
    ------
    StructureError, ShapeError
        Where the updates have another structure or other shapes than the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> pb.optim.apply_updates({"w": np.array([1.0, 2.0])}, {"w": np.array([0.5, -0.5])})
    {'w': array([1.5, 1.5])}
    """
    params, updates = native(params, "params"), native(updates, "updates")
    check_floating(params)
    check_fit("updates", updates, "params", params)
    return trees.map(_added, params, updates)


def chain(*transformations: GradientTransformation) -> GradientTransformation:
    """Return the transformation that applies several, one after the other.

    Its state is the tuple of theirs.

    Raises
    ------
    ArgumentError
        For what is no transformation.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> opt = pb.optim.chain(pb.optim.clip_by_global_norm(1.0), pb.optim.sgd(0.5))
    >>> params = np.array([1.0, 1.0])
    >>> updates, _ = opt.update(np.array([3.0, 4.0]), opt.init(params), params)
    >>> updates
    array([-0.3, -0.4])
    """
    check_parts(transformations)

    def init(params: Any) -> Any:
        return tuple(t.init(params) for t in transformations)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        check_states(len(transformations), state)
        made = []
        for transformation, part in zip(transformations, state, strict=True):
            updates, part = transformation.update(updates, part, params)
            made.append(part)
        return updates, tuple(made)

    return GradientTransformation(init, update)


def clip_by_global_norm(max_norm: Any) -> GradientTransformation:
    """Return the transformation that clips the norm of all updates: `pb.clip_by_global_norm`."""
    return _stateless(lambda updates, params: clipping.clip_by_global_norm(updates, max_norm))


def clip_by_value(low: Any, high: Any) -> GradientTransformation:
    """Return the transformation that clips each entry: `pb.clip_by_value`."""
    return _stateless(lambda updates, params: clipping.clip_by_value(updates, low, high))


def scale(factor: Any) -> GradientTransformation:
    """Return the transformation that multiplies by a number."""
    return _stateless(lambda updates, params: trees.map(lambda u: _scaled(u, factor), updates))


def add_decayed_weights(weight_decay: Any) -> GradientTransformation:
    """Return the transformation that adds the parameters, times a number."""

    def decayed(updates: Any, params: Any) -> Any:
        _check_params("add_decayed_weights", params)
        params = native(params, "params")
        check_fit("params", params, "updates", updates)
        return trees.map(lambda u, p: u + _scaled(p, weight_decay), updates, params)

    return _stateless(decayed)


def sgd(
    learning_rate: float | Schedule, momentum: float | None = None, nesterov: bool = False
) -> GradientTransformation:
    """Return stochastic gradient descent.

    Parameters
    ----------
    momentum
        Decay of the running sum of gradients that is followed in place of the last one.
    nesterov
        Follow what the sum would be one step later.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> opt = pb.optim.sgd(0.25)
    >>> params = {"w": np.array([1.0, -2.0])}
    >>> state = opt.init(params)
    >>> for _ in range(20):
    ...     grads = {"w": 2 * params["w"]}
    ...     updates, state = opt.update(grads, state, params)
    ...     params = pb.optim.apply_updates(params, updates)
    >>> bool(np.all(np.abs(params["w"]) < 1e-5)), int(state.count)
    (True, 20)
    """
    check_rate("sgd", learning_rate)

    def init(params: Any) -> SgdState:
        return SgdState(_start(), None if momentum is None else _zeros(params))

    def update(grads: Any, state: SgdState, params: Any = None) -> tuple[Any, SgdState]:
        grads = _taken("sgd", grads, state, SgdState, params)
        rate = -_rate(learning_rate, state.count)
        trace, followed = state.trace, grads
        if momentum is not None:
            check_fit("state.trace", trace, "grads", grads)
            trace = followed = trees.map(lambda g, t: g + _scaled(t, momentum), grads, trace)
            if nesterov:
                followed = trees.map(lambda g, t: g + _scaled(t, momentum), grads, trace)
        return trees.map(lambda u: _scaled(u, rate), followed), SgdState(state.count + 1, trace)

    return GradientTransformation(init, update)


def adam(
    learning_rate: float | Schedule, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> GradientTransformation:
    """Return Adam.

    Kingma and Ba, "Adam: A Method for Stochastic Optimization", with the corrections of the two
    means put into the rate and `eps`, as at the end of its section 2.

    Parameters
    ----------
    b1, b2
        Decay of the running means of gradients and of their squares.
    eps
        Added to the root of the corrected mean of squares.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> opt = pb.optim.adam(0.1)
    >>> params = np.array([1.0, -2.0])
    >>> updates, state = opt.update(2 * params, opt.init(params), params)
    >>> updates.round(6)
    array([-0.1,  0.1])
    """
    return _adam("adam", learning_rate, b1, b2, eps, 0.0)


def adamw(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-4,
) -> GradientTransformation:
    """Return Adam with decoupled weight decay.

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization": `rate * weight_decay * params`
    is taken off at each step. `update` needs the parameters.
    """
    return _adam("adamw", learning_rate, b1, b2, eps, weight_decay)


def rmsprop(
    learning_rate: float | Schedule,
    decay: float = 0.9,
    eps: float = 1e-8,
    centered: bool = False,
    momentum: float | None = None,
    nesterov: bool = False,
) -> GradientTransformation:
    """Return RMSProp: gradients divided by the root of a running mean of their squares.

    Tieleman and Hinton, lecture 6.5 of "Neural Networks for Machine Learning".

    Parameters
    ----------
    eps
        Added to the mean of squares, under the root.
    centered
        Take the square of the running mean off, which leaves the variance.
    momentum, nesterov
        As for `sgd`, of the steps.
    """
    check_rate("rmsprop", learning_rate)

    def init(params: Any) -> RmspropState:
        return RmspropState(
            _start(),
            trees.map(np.real, _zeros(params)),
            _zeros(params) if centered else None,
            None if momentum is None else _zeros(params),
        )

    def update(grads: Any, state: RmspropState, params: Any = None) -> tuple[Any, RmspropState]:
        grads = _taken("rmsprop", grads, state, RmspropState, params)
        check_fit("state.nu", state.nu, "grads", grads)
        rate = -_rate(learning_rate, state.count)
        nu = trees.map(lambda v, g: decay * v + (1 - decay) * _squared(g), state.nu, grads)
        mu, trace, spread = state.mu, state.trace, nu
        if centered:
            mu = trees.map(lambda m, g: decay * m + (1 - decay) * g, mu, grads)
            spread = trees.map(lambda v, m: v - _squared(m), nu, mu)
        steps = trees.map(lambda g, v: like(g, g * weak(rate, g) / np.sqrt(v + eps)), grads, spread)
        if momentum is not None:
            trace = trees.map(lambda u, t: u + momentum * t, steps, trace)
            steps = trees.map(lambda u, t: u + momentum * t, steps, trace) if nesterov else trace
        return steps, RmspropState(state.count + 1, nu, mu, trace)

    return GradientTransformation(init, update)


def _adam(
    name: str,
    learning_rate: float | Schedule,
    b1: float,
    b2: float,
    eps: float,
    weight_decay: float,
) -> GradientTransformation:
    check_rate(name, learning_rate)

    def init(params: Any) -> AdamState:
        return AdamState(_start(), _zeros(params), trees.map(np.real, _zeros(params)))

    def update(grads: Any, state: AdamState, params: Any = None) -> tuple[Any, AdamState]:
        grads = _taken(name, grads, state, AdamState, params)
        check_fit("state.mu", state.mu, "grads", grads)
        rate = _rate(learning_rate, state.count)
        count = state.count + 1
        root = np.sqrt(1 - b2**count)
        step = rate * root / (1 - b1**count)
        mu = trees.map(lambda m, g: b1 * m + (1 - b1) * g, state.mu, grads)
        nu = trees.map(lambda v, g: b2 * v + (1 - b2) * _squared(g), state.nu, grads)

        def moved(g: Any, m: Any, v: Any) -> Any:
            return like(g, -weak(step, g) * m / (np.sqrt(v) + weak(eps * root, g)))

        updates = trees.map(moved, grads, mu, nu)
        if weight_decay:
            _check_params(name, params)
            decay = -rate * weight_decay
            params = native(params, "params")
            updates = trees.map(lambda u, p: u + _scaled(p, decay), updates, params)
        return updates, AdamState(count, mu, nu)

    return GradientTransformation(init, update)


def _taken(name: str, grads: Any, state: Any, kind: type, params: Any) -> Any:
    """Return the gradients of an update, checked against the parameters where these are given."""
    check_state(name, state, kind)
    grads = native(grads, "grads")
    if params is not None:
        check_fit("grads", grads, "params", native(params, "params"))
    return grads


def _stateless(change: Callable[[Any, Any], Any]) -> GradientTransformation:
    return GradientTransformation(
        lambda params: EmptyState(),
        lambda updates, state, params=None: (change(native(updates, "updates"), params), state),
    )


def _start() -> np.int64:
    """Return the count at the start: a NumPy scalar, so that a compiled step takes it as data."""
    return np.int64(0)


def _rate(learning_rate: float | Schedule, count: Any) -> Any:
    return inline_call(learning_rate, (count,), {}) if callable(learning_rate) else learning_rate


def _zeros(params: Any) -> Any:
    """Return zeros of the form of the parameters, each an array of its own or a scalar."""

    def zeros(leaf: Any) -> Any:
        made = np.zeros_like(leaf)
        return made if np.ndim(leaf) else made[()]

    params = native(params, "params")
    check_floating(params)
    return trees.map(zeros, params)


def _squared(value: Any) -> Any:
    if dtype_of(value).kind == "c":
        return np.square(np.real(value)) + np.square(np.imag(value))
    return np.square(value)


def _scaled(value: Any, factor: Any) -> Any:
    """Return a value times a scalar, of the dtype and kind that it has."""
    return like(value, value * weak(factor, value))


def _added(param: Any, update: Any) -> Any:
    dtype = dtype_of(param)
    total = param + update
    return like(param, total if dtype_of(total) == dtype else total.astype(dtype))


def _check_params(name: str, params: Any) -> None:
    if params is None:
        raise ArgumentError(
            f"{name} needs the parameters: write  opt.update(grads, state, params)."
        )


__all__ = [
    "AdamState",
    "EmptyState",
    "GradientTransformation",
    "RmspropState",
    "SgdState",
    "adam",
    "adamw",
    "add_decayed_weights",
    "apply_updates",
    "chain",
    "clip_by_global_norm",
    "clip_by_value",
    "rmsprop",
    "scale",
    "sgd",
]
