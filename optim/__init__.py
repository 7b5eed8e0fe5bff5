"""Optimizers, `pb.optim`, in the form of a pair of functions `(init, update)`.

`init(params)` makes the state, a tree of arrays; `update(grads, state, params)` returns what to add
to the parameters, and the next state. Both are plain NumPy on trees: they run as they are, and
inside a compiled function they become part of its program::

    opt = pb.optim.adam(1e-3)

    @pb.compile(donate_argnums=(0, 1))
    def step(params, state, x, y):
        loss, grads = pb.value_and_grad(loss_of)(params, x, y)
        updates, state = opt.update(grads, state, params)
        return pb.optim.apply_updates(params, updates), state, loss

A learning rate is a number or a schedule, a function from the count of steps to a number. Dtypes of
parameters are kept, and the state has them too; moments of complex parameters are of the absolute
value, and their gradients are to be conjugated first.
"""

from __future__ import annotations

from .optimizers import (
    AdamState,
    EmptyState,
    GradientTransformation,
    RmspropState,
    SgdState,
    adam,
    adamw,
    add_decayed_weights,
    apply_updates,
    chain,
    clip_by_global_norm,
    clip_by_value,
    rmsprop,
    scale,
    sgd,
)
from .schedules import (
    Schedule,
    constant,
    cosine_decay,
    exponential_decay,
    linear,
    piecewise_constant,
    warmup_cosine,
)

__all__ = [
    "AdamState",
    "EmptyState",
    "GradientTransformation",
    "RmspropState",
    "Schedule",
    "SgdState",
    "adam",
    "adamw",
    "add_decayed_weights",
    "apply_updates",
    "chain",
    "clip_by_global_norm",
    "clip_by_value",
    "constant",
    "cosine_decay",
    "exponential_decay",
    "linear",
    "piecewise_constant",
    "rmsprop",
    "scale",
    "sgd",
    "warmup_cosine",
]
