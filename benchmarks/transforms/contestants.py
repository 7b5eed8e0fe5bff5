"""The contestants of the tasks: each gives a task's way its package and its kind of arrays."""

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from .. import memory
from ..case import Arguments, map_leaves
from ..contestants import Contestant, Prepared, fastest, jax_precision, threads
from ..timing import Run
from .task import Task

LOOPED = "by hand, looped"
"""What is written by hand for one example, called for each."""

DENSE = "jax, dense"
"""JAX without what it takes a user to tell it about zeros."""


def prepare_pullback(task: Task, args: Arguments, way: str = "") -> Prepared:
    """Transform plain NumPy."""
    return _prepared(task, "pullback", importlib.import_module("pullback"), args)


def prepare_numpy(name: str, task: Task, args: Arguments, way: str = "") -> Prepared:
    """Compute what is written by hand."""
    return _prepared(task, name, np, args)


def prepare_autograd(task: Task, args: Arguments, way: str = "") -> Prepared:
    """Transform over autograd's NumPy."""
    return _prepared(task, "autograd", importlib.import_module("autograd"), args)


def prepare_jax(name: str, task: Task, args: Arguments, way: str = "") -> Prepared:
    """Compile by jax.jit over inputs on the device, in the way that runs fastest."""
    jax: Any = importlib.import_module("jax")
    on_device = jax.device_put(args)

    def ready(way: Any) -> Prepared:
        run = way(jax, *on_device)
        return Prepared(lambda: jax.block_until_ready(run()), peak=partial(_planned_peak, run))

    return fastest(_named(ready, task, name), way)


def prepare_torch(task: Task, args: Arguments, way: str = "") -> Prepared:
    """Transform by torch.func."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(threads())
    tensors = map_leaves(lambda a: torch.from_numpy(a.copy()), args)

    def ready(way: Any) -> Prepared:
        run = way(torch, *tensors)
        return Prepared(run, peak=lambda: memory.torch_peak(torch, run))

    return fastest(_named(ready, task, "torch"), way)


def _named(
    ready: Callable[[Any], Prepared], task: Task, name: str
) -> Mapping[str, Callable[[], Prepared]]:
    return {what: partial(ready, way) for what, way in task.ways_of(name).items()}


def _prepared(task: Task, name: str, module: Any, args: Arguments) -> Prepared:
    (way,) = task.ways_of(name).values()
    run: Run = way(module, *args)
    return Prepared(run) if task.is_steady else Prepared(run, peak=lambda: None)


def _planned_peak(run: Any) -> int | None:
    """Give the bytes that XLA plans, where the call is one jitted function and no more."""
    lower = getattr(getattr(run, "func", None), "lower", None)
    if lower is None:
        return None
    return int(lower(*run.args).compile().memory_analysis().temp_size_in_bytes)


CONTESTANTS = (
    Contestant("pullback", None, prepare_pullback),
    Contestant("by hand", None, partial(prepare_numpy, "by hand")),
    Contestant(LOOPED, None, partial(prepare_numpy, LOOPED)),
    Contestant("jax", "jax", partial(prepare_jax, "jax"), precision=jax_precision),
    Contestant(DENSE, "jax", partial(prepare_jax, DENSE), precision=jax_precision),
    Contestant("torch", "torch", prepare_torch),
    Contestant("autograd", "autograd", prepare_autograd),
)
