"""Learning rates that change with the step: functions from the count of steps to a rate.

`schedule(count)` is plain NumPy on a count that may be traced; the first step has count 0. Any
function of that form is a schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError

Schedule = Callable[[Any], Any]


def constant(value: float) -> Schedule:
    """Return the schedule that is `value` at every step."""
    return lambda count: value


def linear(
    init_value: float, end_value: float, transition_steps: int, transition_begin: int = 0
) -> Schedule:
    """Return the schedule on a line from one value to another, constant before and after.

    Examples
    --------
    >>> import pullback as pb
    >>> schedule = pb.optim.linear(1.0, 0.0, transition_steps=10)
    >>> [float(schedule(n)) for n in (0, 5, 10, 15)]
    [1.0, 0.5, 0.0, 0.0]
    """
    _check("transition_steps", transition_steps)

    def schedule(count: Any) -> Any:
        done = np.clip(count - transition_begin, 0, transition_steps) / transition_steps
        return (init_value - end_value) * (1 - done) + end_value

    return schedule


def exponential_decay(
    init_value: float,
    transition_steps: int,
    decay_rate: float,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> Schedule:
    """Return `init_value * decay_rate ** (count / transition_steps)`.

    Parameters
    ----------
    transition_begin
        The step at which the decay begins.
    staircase
        Decay once in `transition_steps` steps, by the whole rate.
    end_value
        Where the decay ends.
    """
    _check("transition_steps", transition_steps)

    def schedule(count: Any) -> Any:
        past = np.maximum(count - transition_begin, 0)
        times = past // transition_steps if staircase else past / transition_steps
        value = init_value * decay_rate ** (1.0 * times)
        if end_value is None:
            return value
        return (np.maximum if decay_rate < 1 else np.minimum)(value, end_value)

    return schedule


def cosine_decay(
    init_value: float, decay_steps: int, alpha: float = 0.0, exponent: float = 1.0
) -> Schedule:
    """Return half a cosine, from `init_value` to `alpha * init_value`.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", without restarts.

    Parameters
    ----------
    exponent
        The power that the cosine, from 1 to 0, is raised to.
    """
    _check("decay_steps", decay_steps)

    def schedule(count: Any) -> Any:
        done = np.minimum(count, decay_steps) / decay_steps
        cosine = 0.5 * (1 + np.cos(np.pi * done))
        powered = cosine if exponent == 1 else cosine**exponent
        return init_value * ((1 - alpha) * powered + alpha)

    return schedule


def warmup_cosine(
    init_value: float,
    peak_value: float,
    warmup_steps: int,
    decay_steps: int,
    end_value: float = 0.0,
) -> Schedule:
    """Return a line up to a peak, then half a cosine down.

    Parameters
    ----------
    decay_steps
        All steps, those of the warm-up included.

    Examples
    --------
    >>> import pullback as pb
    >>> schedule = pb.optim.warmup_cosine(0.0, 1.0, warmup_steps=10, decay_steps=30)
    >>> [round(float(schedule(n)), 3) for n in (0, 5, 10, 20, 30)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if not decay_steps > warmup_steps:
        raise ArgumentError(
            f"decay_steps={decay_steps} counts the warm-up too, so it must be greater than "
            f"warmup_steps={warmup_steps}."
        )
    up = linear(init_value, peak_value, max(warmup_steps, 1))
    alpha = end_value / peak_value if peak_value else 0.0
    down = cosine_decay(peak_value, decay_steps - warmup_steps, alpha)

    def schedule(count: Any) -> Any:
        is_early: Any = count < warmup_steps
        rate: Any = np.where(is_early, up(count), down(np.maximum(count - warmup_steps, 0)))
        return rate[()]

    return schedule


def piecewise_constant(
    init_value: float, boundaries_and_scales: Mapping[int, float] | None = None
) -> Schedule:
    """Return `init_value` times the scale of each boundary that the count has reached.

    Examples
    --------
    >>> import pullback as pb
    >>> schedule = pb.optim.piecewise_constant(1.0, {10: 0.5, 20: 0.1})
    >>> [float(schedule(n)) for n in (9, 10, 20)]
    [1.0, 0.5, 0.05]
    """
    steps = sorted((boundaries_and_scales or {}).items())

    def schedule(count: Any) -> Any:
        value: Any = init_value
        for boundary, scale in steps:
            value = value * np.where(count >= boundary, scale, 1.0)[()]
        return value

    return schedule


def _check(name: str, steps: int) -> None:
    if not steps > 0:
        raise ArgumentError(f"{name}={steps} is no positive number of steps.")


__all__ = [
    "Schedule",
    "constant",
    "cosine_decay",
    "exponential_decay",
    "linear",
    "piecewise_constant",
    "warmup_cosine",
]
