"""The contestants: each makes a case into a call that gives the value and the gradient."""

import importlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from . import memory
from .case import Arguments, Case, leaves, map_leaves

Run = Callable[[], Any]


@dataclass(frozen=True)
class Prepared:
    """A case made ready: calling `run` gives ``(value, gradient)`` in the contestant's arrays.

    `peak` gives the bytes that a call in steady state needs beyond its arguments, or None where
    only an allocation trace of the whole contestant can tell (see `memory.traced_peak`).
    """

    run: Run
    note: str = ""
    peak: Callable[[], int] | None = None


@dataclass(frozen=True)
class Contestant:
    """One way to compute a case, and the package that it needs."""

    name: str
    package: str | None
    prepare: Callable[[Case, Arguments], Prepared]

    @property
    def is_installed(self) -> bool:
        """Whether the package that it needs is there."""
        return self.package is None or find_spec(self.package) is not None

    @property
    def version(self) -> str:
        """The version of its package."""
        return metadata.version(self.package or "numpy")


def threads() -> int:
    """Threads that a contestant may use: the cores this process may run on.

    NumPy's BLAS and XLA take as many by themselves; PyTorch is told.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prepare_pullback(case: Case, args: Arguments) -> Prepared:
    """Compile the case's plain NumPy function; the first call traces it."""
    import pullback as pb

    step = pb.value_and_grad(case.loss)
    return Prepared(lambda: step(*args))


def prepare_numpy(case: Case, args: Arguments) -> Prepared:
    """Call the gradient that is written by hand."""
    return Prepared(lambda: case.by_hand(*args))


def prepare_autograd(case: Case, args: Arguments) -> Prepared:
    """Differentiate the case over autograd's NumPy."""
    autograd: Any = importlib.import_module("autograd")
    xp: Any = importlib.import_module("autograd.numpy")
    step = autograd.value_and_grad(case.loss_over(xp))
    return Prepared(lambda: step(*args))


def prepare_jax(case: Case, args: Arguments) -> Prepared:
    """Compile the case by jax.jit over inputs on the device, in the way that runs fastest."""
    jax: Any = importlib.import_module("jax")
    # Without this, jax makes float32 of float64; arrays of float32 stay what they are.
    jax.config.update("jax_enable_x64", True)
    on_device = jax.device_put(args)
    ways = {"unrolled": case.loss_over(jax.numpy)}
    ways |= {name: partial(function, jax) for name, function in case.jax.items()}
    if len(ways) == 1:
        return _jit(jax, ways["unrolled"], on_device)
    fastest = min(ways, key=lambda name: _seconds_per_call(_jit(jax, ways[name], on_device).run))
    # Made again, so that the first call of the one that races is timed with its compilation.
    return replace(_jit(jax, ways[fastest], on_device), note=fastest)


def _jit(jax: Any, loss: Callable[..., Any], args: Arguments) -> Prepared:
    # A new function object each time: jax.jit remembers those that it has seen.
    step = jax.jit(jax.value_and_grad(lambda *a: loss(*a)))  # noqa: PLW0108

    def peak() -> int:
        plan = step.lower(*args).compile().memory_analysis()
        return int(plan.temp_size_in_bytes + plan.output_size_in_bytes)

    return Prepared(lambda: jax.block_until_ready(step(*args)), peak=peak)


def _seconds_per_call(run: Run, calls: int = 20) -> float:
    run()
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def prepare_torch(case: Case, args: Arguments) -> Prepared:
    """Record the case on PyTorch's tape at every call."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(threads())
    params = map_leaves(lambda a: torch.from_numpy(a.copy()).requires_grad_(), args[0])
    data = map_leaves(lambda a: torch.from_numpy(a.copy()), args[1:])
    wanted = list(leaves(params))

    def run() -> Any:
        value = case.torch(torch, params, *data)
        return value.detach(), torch.autograd.grad(value, wanted)

    return Prepared(run, peak=lambda: memory.torch_peak(torch, run))


PULLBACK = Contestant("pullback", None, prepare_pullback)
NUMPY = Contestant("by hand", None, prepare_numpy)
PEERS = (
    Contestant("jax", "jax", prepare_jax),
    Contestant("torch", "torch", prepare_torch),
    Contestant("autograd", "autograd", prepare_autograd),
)
CONTESTANTS = (PULLBACK, NUMPY, *PEERS)
